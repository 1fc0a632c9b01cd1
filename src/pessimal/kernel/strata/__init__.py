"""Sets of sequences: what they are, how many, what they weigh.

Contents:
    program.py — the layered automaton of a stratum, and sums over its paths.
    strata.py — all strata (last token, right output) of a task.
    unlayered.py — programs whose positions are all alike, by repeated squaring.
    weighing.py — exact weights under a distribution.
"""
