"""Comparisons between the right output and its rivals: which are live, and how often they win.

Contents:
    rule.py — the theorem.
    cover.py — in which order the live rivals of a stratum are counted.
    search.py — what live rivals leave open, searched or counted.
"""
