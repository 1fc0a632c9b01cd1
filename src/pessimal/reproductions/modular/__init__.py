"""Published figures about models of addition modulo p.

Contents:
    modular_runs.py — runs of training, where missing, and the bounds along them.
    training_length.py, modular_addition.py — from such runs.
"""
