"""Bounds of the weight of wrong sequences from terms: one evaluator a file.

Contents:
    integers.py — one stratum in exact integers.
    moments.py — sums of products of exponentials.
    polynomials.py — products of enclosed polynomials.
    undecided.py — what is left, in Arb.
"""
