"""Sets of sequences: what they are, how many, what they weigh.

Contents:
    strata.py — all strata (last token, right output) of a task, and their programs.
    weighing.py — exact weights under a distribution.
"""
