"""Circuits: the weight products through which a one-layer transformer computes, in float64.

Nothing here is a bound and nothing is rounded outward: the kernel recomputes what it needs. Circuits describe
the *weights only*: where a model has LayerNorms, the products leave them (and their gains and biases) out.

With attention pattern `a` at the last position, query token `q` and tokens `t_i`, an attention-only model of one head
without LayerNorm has

    logits = EU[q] + sum_i a_i (EVOU[t_i] + PVOU[i]),
    a = softmax_i(attn_scale (EQKE[q, t_i] + EQKP[q, i])).

Contents:
    residual.py — rows of the residual stream that the circuits read.
    ov.py — `EVOU`, `PVOU`: what attending to a token or a position writes, in logits.
    qk.py — `EQKE`, `EQKP`: where the query looks, in attention scores before the scale.
    direct.py — `EU`: the path around the attention layer, in logits.
    modular/ — tables, neurons and forward pass of models of modular addition, as sums of waves.

References:
    Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (QK and OV circuits).
    Gross et al. 2024, Compact Proofs of Model Performance via Mechanistic Interpretability, arXiv 2406.11779.
"""

from pessimal.circuits.direct import EU
from pessimal.circuits.ov import EVOU, PVOU
from pessimal.circuits.qk import EQKE, EQKP

__all__ = ["EQKE", "EQKP", "EU", "EVOU", "PVOU"]
