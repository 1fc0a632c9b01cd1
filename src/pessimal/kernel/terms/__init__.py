"""Lower bounds of the terms of the separable margin, stratum by stratum.

Contents:
    options.py — what a certificate says about them.
    stratum.py — the terms of strata that share a program, and strata side by side.
    near.py — tokens next to a target.
    rivals.py — every rival, or one that stands for all.
    others.py — the largest of all other outputs.
    tree.py — rivals of a node of a tree as one.
    nodes.py — terms of many comparisons, each a stratum and a node of that tree.
    builder.py — from heads and rivals to terms.
"""
