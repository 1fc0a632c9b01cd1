"""Analysis: the interpretability evidence, written as small data files that the report draws.

Nothing here is a proof: the numbers are rounded for reading.

Contents:
    circuits.py — the circuit matrices of one model and the spectrum of its QK circuit.
    accuracy.py — accuracy on random inputs.
"""

from pessimal.analysis.accuracy import sampled_accuracy
from pessimal.analysis.circuits import circuit_record

__all__ = ["circuit_record", "sampled_accuracy"]
