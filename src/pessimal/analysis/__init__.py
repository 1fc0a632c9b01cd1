"""Analysis: the interpretability evidence and what the literature computes. Nothing here is a proof.

Contents:
    circuits.py — the circuit matrices of one model and the spectrum of its QK circuit, rounded for drawing.
    accuracy.py — accuracy on random inputs.
    qk_residual.py — bounds of what a rank-one QK circuit leaves out.
    faithfulness.py — ablation scores and estimates by sampling.
    ablations.py — every combination of the five paths switched off.
    constructed.py — a right model with another circuit.
    modular/ — the evidence of modular addition, and measures of its progress along a run.
    published/ — the literature's own formulas.
"""

from pessimal.analysis.accuracy import sampled_accuracy
from pessimal.analysis.circuits import circuit_record
from pessimal.analysis.modular import evidence

__all__ = ["circuit_record", "evidence", "sampled_accuracy"]
