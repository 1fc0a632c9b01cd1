"""Lower bounds of the terms of the separable margin, stratum by stratum.

Contents:
    options.py — what a certificate says about them.
    stratum.py — the terms of strata that share a program, and strata side by side.
    rivals.py — every rival, or one that stands for all.
    builder.py — from heads and rivals to terms.
"""
