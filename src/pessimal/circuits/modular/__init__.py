"""Circuits of models of addition modulo p, in float64: tables indexed by residues, as sums of waves.

Contents:
    waves.py — tables indexed by residues mod p, as sums of waves.
    tables.py — folded tables and neurons of a model of modular addition, which has an MLP.
    forward.py — its forward pass on many pairs, all of them above all, and the gradient.
"""
