"""Analysis: the interpretability evidence and what the literature computes. Nothing here is a proof.

Contents:
    circuits.py — the circuit matrices of one model and the spectrum of its QK circuit, rounded for drawing.
    accuracy.py — accuracy on random inputs.
    as_published.py — the sub-cubic numbers with the literature's own formulas.
    published_flops.py — proof length in the literature's convention.
    qk_residual.py — bounds of what a rank-one QK circuit leaves out.
    faithfulness.py — ablation scores and estimates by sampling.
    ablations.py — every combination of the five paths switched off.
    progress.py, progress_neurons.py, progress_phases.py — grokking: measures of logits and weights, of neurons and by
        ablation, the phases of a run.
    constructed.py — a right model with another circuit.
    modular/ — the evidence of modular addition.
"""

from pessimal.analysis.accuracy import sampled_accuracy
from pessimal.analysis.circuits import circuit_record
from pessimal.analysis.modular import evidence

__all__ = ["circuit_record", "evidence", "sampled_accuracy"]
