"""The literature's own formulas for sub-cubic proofs and for the length of one. Nothing here is a proof.

Contents:
    formulas.py — the sub-cubic numbers with the literature's own formulas.
    flops.py — proof length in the literature's convention.
"""
