"""Models of modular addition with uniform attention whose neurons are exact waves."""

import numpy as np

from support.modular import ModularSizes


def wave_modular(p: int, phases: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Neurons cos(theta k a + phi) + cos(theta k b + phi) that write cos(theta k c + 2 phi) / n, n of them per k.

    Channels of the residual: the waves of the last token, of the sum, and of the class, two per k; nothing skips the MLP.
    Values gain 2^12 on the way to the sum, and the MLP on the way to the class, so that small rows matter most.
    """
    gain = 2.0**12
    ks, n = list(phases), sum(map(len, phases.values()))
    width = 2 * len(ks)
    angle = 2 * np.pi / p * np.outer(np.arange(p), np.repeat(ks, 2))
    wave = np.where(np.arange(width) % 2, np.sin(angle), np.cos(angle))
    t = {
        name: np.zeros(shape)
        for name, shape in ModularSizes(p, 3 * width, width, n).shapes().items()
        if not name.startswith("b_")
    }
    t["W_E"][:, :width] = wave
    t["W_V"][0, :width] = 2 * gain * np.eye(width)
    t["W_O"][0, :, width : 2 * width] = np.eye(width)
    t["W_U"][2 * width :] = wave.T / gain
    begin = 0
    for j, phi in enumerate(phases.values()):
        mine, plane = slice(begin, begin + len(phi)), slice(2 * j, 2 * j + 2)
        t["W_in"][width:][plane, mine] = np.stack([np.cos(phi), -np.sin(phi)]) / gain
        t["W_out"][mine, 2 * width :][:, plane] = (
            gain * np.stack([np.cos(2 * phi), -np.sin(2 * phi)], axis=1) / len(phi)
        )
        begin += len(phi)
    return {name: a.astype(np.float32) for name, a in t.items()}
