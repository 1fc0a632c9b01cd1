"""The band proof.

Contents:
    options.py — its hints.
    centred_rows.py — rows less their means.
    scores.py — attention weights: exact in the band, bounded elsewhere.
    margins.py — margins over near and far rivals.
    rule.py — the theorem.
"""
