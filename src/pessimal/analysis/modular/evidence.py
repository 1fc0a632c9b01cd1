"""The evidence about one model of modular addition, over all p^2 inputs, as a record.

Contents:
    evidence — numbers, and what the report draws.

References:
    Nanda et al. 2023, arXiv 2301.05217; Zhong et al. 2023, arXiv 2306.17844; Yip, Agrawal, Chan, Gross 2024,
    arXiv 2412.03773.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pessimal.analysis.circuits import rounded
from pessimal.analysis.modular import logits as forms
from pessimal.analysis.modular import quadrature
from pessimal.analysis.modular.drawing import drawn
from pessimal.analysis.modular.neurons import wave_numbers
from pessimal.analysis.modular.symmetry import circle_scores, circularity, gradient_symmetricity, isolated_circle
from pessimal.circuits.modular.forward import Pass, forward
from pessimal.circuits.modular.tables import Neurons, folded_tables, modulus, neurons_of, output_map
from pessimal.circuits.modular.waves import ModularError, clusters, key_frequencies, powers
from pessimal.spec import Weights
from pessimal.spec.architecture import UNIFORM

FORMAT = "pessimal-modular/1"
# Memorising models have dozens of key frequencies; circles are isolated and drawn for those with most output energy.
MAX_CIRCLES = 8
# Entries of the largest array, activations or logits of all pairs; half a gigabyte, of which a few are held.
MAX_ENTRIES = 1 << 26


def evidence(weights: Weights) -> dict[str, Any]:
    """Everything that is measured on one model of modular addition.

    Args:
        weights: a model with an MLP, uniform or softmax attention, two tokens or two and "=".

    Returns:
        A dictionary of numbers, strings and lists, 4 significant digits, null for what does not exist: `format`,
        `weights_sha256`, `p`, `attention`, `k`, `sizes`; `inputs`, `correct`, `correct_without_skip` (by the logits
        that go through the neurons alone); `key_frequencies`; `neurons` (`neurons.wave_numbers`, null with softmax
        attention); `clustered`, neurons in a cluster; `frequencies`, a dictionary for each key frequency: `k`,
        `output_share`, `cluster` (neurons), `clock_coefficient`, `pizza_coefficient` (logits), `q_clock`, `q_pizza`
        (of the isolated circle), `quadrature` (errors over the signal, null without neurons); `logits`: `fve_clock`,
        `fve_pizza`, `ideal_margin`, `residual`, `true_margin` (logits), `distance_irrelevance`;
        `gradient_symmetricity`, `circularity`; `drawn` (`drawing.drawn`).

    Raises:
        ModularError: not such a model, too large, a NaN or an overflow, or no key frequency or live neuron.

    Cost: a forward pass on all pairs, one more for each of at most 8 circles, and an FFT per neuron.
    """
    p = modulus(weights)
    if p**2 * max(p, weights.architecture.shape.d_mlp) > MAX_ENTRIES:
        raise ModularError(f"p={p} is too large for an analysis of all p^2 inputs in memory")
    with np.errstate(over="ignore", invalid="ignore"):
        out, passed = output_map(weights), forward(weights)
        finite = np.isfinite(out).all() and np.isfinite(passed.logits).all()
    if not finite:
        raise ModularError("the logits overflow float64")
    keys = key_frequencies(out)
    share = powers(out.T)
    shown = sorted(sorted(keys, key=lambda k: -share[k - 1])[:MAX_CIRCLES])
    logits = forms.centred(passed.logits)
    clock, pizza = forms.clock_form(logits, keys), forms.pizza_form(logits, keys)
    members = clusters(passed.hidden).members()
    neurons = None
    if weights.architecture.attention == UNIFORM:
        tables = folded_tables(weights)
        neurons = neurons_of(tables.left, tables.right, tables.out)
    record = {
        **_head(weights, p),
        **_accuracy(passed),
        "key_frequencies": keys,
        "neurons": None if neurons is None else wave_numbers(neurons, p),
        "clustered": sum(members.values()),
        "frequencies": _frequencies(weights, clock, pizza, neurons, members, keys=keys, share=share, shown=shown),
        "logits": _logit_numbers(passed, logits, clock, pizza, keys),
        "gradient_symmetricity": gradient_symmetricity(weights),
        "circularity": circularity(weights),
        "drawn": drawn(weights, out, neurons, logits, clock, keys=keys, shown=shown),
    }
    return {name: _rounded(value) for name, value in record.items()}


def _frequencies(  # noqa: PLR0913 - a row puts together what was found apart
    weights: Weights,
    clock: forms.Form,
    pizza: forms.Form,
    neurons: Neurons | None,
    members: dict[int, int],
    *,
    keys: list[int],
    share: Float[np.ndarray, " half"],
    shown: list[int],
) -> list[dict[str, Any]]:
    """A row for each key frequency; circles are isolated for those shown."""
    circles = {k: circle_scores(isolated_circle(weights, k), k) for k in shown}
    return [
        {
            "k": k,
            "output_share": float(share[k - 1]),
            "cluster": members.get(k, 0),
            "clock_coefficient": float(clock.coefficients[i]),
            "pizza_coefficient": float(pizza.coefficients[i]),
            "q_clock": circles[k][0] if k in circles else None,
            "q_pizza": circles[k][1] if k in circles else None,
            "quadrature": None if neurons is None else _quadrature(neurons, k),
        }
        for i, k in enumerate(keys)
    ]


def _head(weights: Weights, p: int) -> dict[str, Any]:
    shape = weights.architecture.shape
    return {
        "format": FORMAT,
        "weights_sha256": weights.sha256,
        "p": p,
        "attention": weights.architecture.attention,
        "k": shape.k,
        "sizes": {"d_model": shape.d_model, "d_head": shape.d_head, "n_heads": shape.n_heads, "d_mlp": shape.d_mlp},
    }


def _accuracy(passed: Pass) -> dict[str, int]:
    """Inputs, and how many of them have the right logit strictly largest."""
    margins = [forms.wrong_margins(part) for part in (passed.logits, passed.from_mlp)]
    whole, without = (int((margin > 0).sum()) for margin in margins)
    return {"inputs": margins[0].size, "correct": whole, "correct_without_skip": without}


def _logit_numbers(
    passed: Pass, logits: Float[np.ndarray, "p p p"], clock: forms.Form, pizza: forms.Form, keys: list[int]
) -> dict[str, float]:
    margins = forms.margins_of(logits, clock, keys)
    return {
        "fve_clock": clock.fve,
        "fve_pizza": pizza.fve,
        "ideal_margin": margins.ideal,
        "residual": margins.residual,
        "true_margin": margins.true,
        "distance_irrelevance": forms.distance_irrelevance(passed.logits),
    }


def _quadrature(neurons: Neurons, k: int) -> dict[str, float | int] | None:
    """Errors of the neurons of one frequency, over the signal; None if it has none."""
    mine: Int[np.ndarray, " some"] = neurons.of(k)
    if not len(mine):
        return None
    phi, psi, weight = neurons.phi[mine], neurons.psi[mine], (neurons.r * neurons.s)[mine]
    weight = weight / weight.sum()
    return {
        "neurons": len(mine),
        "sup_error_phi": quadrature.sup_error(phi, 2 * phi, weight),
        "sup_error": quadrature.sup_error(phi, psi, weight),
        "box_abs": quadrature.box_bound_abs(phi, weight),
        "box_identity": quadrature.box_bound_identity(phi, weight),
        "angle": quadrature.angle_term(phi, psi, weight),
        "moment_20": quadrature.moment_bound(phi, psi, weight, 20),
        "moment_100": quadrature.moment_bound(phi, psi, weight, 100),
    }


def _rounded(value: Any) -> Any:
    """Floats to the digits of circuit records, null where JSON has no number."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return rounded(value) if isinstance(value, float) else value
