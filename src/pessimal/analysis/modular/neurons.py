r"""How nearly every neuron is a single wave, and what its second frequency is.

A live neuron reads $r\cos(\theta ka+\phi)$ and $r\cos(\theta kb+\phi)$ and writes $s\cos(\theta kc+\psi)$. The
shares of energy (FVE, fractions of variance explained) are pooled over live neurons; weighted means have weights rs.

Contents:
    wave_numbers — the table.
    angle_between — the difference of two phases.

References:
    Yip, Agrawal, Chan, Gross 2024, arXiv 2412.03773 (phases, psi = 2 phi, secondary frequencies).
"""

import numpy as np
from jaxtyping import Float

from pessimal.circuits.modular.tables import Neurons
from pessimal.circuits.modular.waves import ModularError, folded_frequency


def angle_between(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """|x - y| modulo a full turn, in radians, at most pi."""
    return np.abs(np.angle(np.exp(1j * (x - y))))


def wave_numbers(neurons: Neurons, p: int) -> dict[str, float | int]:
    r"""What a table of neurons says, over live neurons.

    Args:
        neurons: frequencies, amplitudes and phases.
        p: the modulus.

    Returns:
        `neurons`, `live`; `frequency_agreement`, the share that reads and writes the same frequency; `fve_input`,
        `fve_output`; `phase_left_right`, weighted mean of $|\phi_L-\phi_R|$ in radians; `amplitude_ratio`, median of
        $r_R/r_L$; `offset_over_amplitude`, mean of |mean of the pre-activation| / r; `phase_doubling`, weighted mean of
        $|\psi-2\phi|$ in radians over neurons that agree; `second_is_double`, the share whose second frequency is 2k
        folded; `second_amplitude`, the median of its amplitude over the first; `second_of_rest`, its share of the
        energy beside the first.

    Raises:
        ModularError: no neuron is live.
    """
    live = neurons.live
    if not live.any():
        raise ModularError("no neuron both reads the summands and writes logits")
    weight = (neurons.r * neurons.s)[live]
    agree = (neurons.frequency == neurons.output_frequency)[live]
    doubling = angle_between(neurons.psi, 2 * neurons.phi)[live]
    rest = (neurons.input_energy - neurons.explained_input)[live]
    first, double = neurons.frequency[live], neurons.second[live]
    is_double = (double == folded_frequency(2 * first, p)) & (neurons.second_energy[live] > 0)
    ratio = np.sqrt(neurons.second_energy[live] / neurons.explained_input[live])
    with np.errstate(divide="ignore"):
        amplitudes = neurons.r_right[live] / neurons.r_left[live]
    return {
        "neurons": len(live),
        "live": int(live.sum()),
        "frequency_agreement": float(agree.mean()),
        "fve_input": float(neurons.explained_input[live].sum() / neurons.input_energy[live].sum()),
        "fve_output": float(neurons.explained_output[live].sum() / neurons.output_energy[live].sum()),
        "phase_left_right": float(weight @ angle_between(neurons.phi_left, neurons.phi_right)[live] / weight.sum()),
        "amplitude_ratio": float(np.median(amplitudes)),
        "offset_over_amplitude": float(np.mean(np.abs(neurons.offset[live]) / neurons.r[live])),
        "phase_doubling": float(weight[agree] @ doubling[agree] / weight[agree].sum()) if agree.any() else np.nan,
        "second_is_double": float(is_double.mean()),
        "second_amplitude": float(np.median(ratio)),
        "second_of_rest": float(neurons.second_energy[live].sum() / rest.sum()) if rest.sum() > 0 else np.nan,
    }
