"""Bounds of the weight of wrong sequences from terms: one evaluator a file.

Contents:
    minima.py — sums of smallest terms: what is certainly right.
    pruning.py — rivals that a tree of node maxima does not prune.
    smallest.py — the same for rivals of a node at once.
    pruning.py — which rivals such minima leave.
    tilts.py — the tilts of a certificate.
    moments.py — sums of products of exponentials.
    grid.py — products of polynomials in integers.
    polynomials.py — products of enclosed polynomials.
    fillings.py — sums at most zero, counted for many sums at once.
    layers.py — sums over sequences from counts at several margins.
    branches.py — depth-first search with a tally.
    ranked.py — the same where next tokens are looked up by rank, rival by rival.
    integers.py — one stratum in exact integers.
    conditioned.py — sums at most zero, counted for every pair of tokens at two positions.
    ordered.py — rivals in an order, each less a multiple of an earlier one.
    live.py — one stratum against its live rivals.
    undecided.py — what is left, in Arb.
"""
