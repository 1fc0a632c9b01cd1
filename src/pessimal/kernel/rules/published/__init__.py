"""The published proofs of Max-of-K, made sound.

Contents:
    cubic.py — the cubic proof.
    sub_cubic/ — the hundred compositions of shorter ones.
"""
