"""Bounds of the weight of wrong sequences from terms: one evaluator a file.

Contents:
    minima.py — sums of smallest terms: what is certainly right.
    tilts.py — the tilts of a certificate.
    moments.py — sums of products of exponentials.
    grid.py — products of polynomials in integers.
    polynomials.py — products of enclosed polynomials.
    branches.py — depth-first search with a tally.
    integers.py — one stratum in exact integers.
    undecided.py — what is left, in Arb.
"""
