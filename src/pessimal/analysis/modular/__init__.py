"""The interpretability evidence of modular addition: numbers and what the report draws. Nothing here is a proof.

Contents:
    evidence.py — one JSON-able record per model.
    neurons.py — how nearly every neuron is a single wave, and its second frequency.
    quadrature.py — a sum over neurons as a quadrature of an integral: its error, and bounds of it in float64.
    identity.py — the half of ReLU that no rule bounds.
    logits.py — clock and pizza forms of the logits, margins, distance irrelevance.
    symmetry.py — gradient symmetricity, circularity, isolated circles.
    drawing.py — what the report draws.
    progress.py, progress_neurons.py, progress_phases.py — grokking: measures of logits and weights, of neurons and by
        ablation, the phases of a run.
"""

from pessimal.analysis.modular.evidence import FORMAT, evidence

__all__ = ["FORMAT", "evidence"]
