"""The published sub-cubic proofs as one rule made of small parts.

Contents:
    rule.py — the theorem and the count.
    paths.py — factors and tables of the model.
    direct_path.py — factor A, five options.
    averaging.py — factor B.
    qk_path.py — factor C, ten options.
    splits.py, differences.py — its lemmas.
    attention.py — the ends of attention.
"""
