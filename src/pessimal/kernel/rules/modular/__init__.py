"""Rules for addition modulo p, and what they alone use.

Contents:
    sparse_output.py, key_frequency/ — the rules.
    quadrature.py — a sum over neurons against its integral.
"""
