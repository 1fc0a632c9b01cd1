"""Hints of the rule `key-frequency`."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import Hints
from pessimal.spec.architecture import ModelShape

READ_OUT = ("bounded", "exact")
MAX_FREQUENCIES = 512


@dataclass(frozen=True)
class KeyFrequency:
    """Hints.

    Attributes:
        frequencies: K, different, from 1 to (p - 1) / 2.
        kept: which neurons are multiplied for each frequency; the others are boxed, `[d_mlp, n]`.
        fine: for which differences a - b every input is looked at by itself, `[p]`.
        directions: Q, `[d_model, c]`, or None: pre-activations are exact.
        read_out: `exact` multiplies the remainder of the output map out; `bounded` takes it by T and a norm.
        shrink: T, `[2 n, 2 n]`; None if exact.
    """

    frequencies: Int[np.ndarray, " n"]
    kept: Bool[np.ndarray, "f n"]
    fine: Bool[np.ndarray, " p"]
    directions: Float[np.ndarray, "m c"] | None
    read_out: str
    shrink: Float[np.ndarray, "w w"] | None

    @staticmethod
    def read(hints: Hints, shape: ModelShape) -> "KeyFrequency":
        """The hints, or `Rejected(bad-hint)`."""
        read_out = hints.word("read_out", READ_OUT)
        columns = hints.number("columns", 0, shape.d_model)
        n = hints.number("frequencies", 1, max(1, min(MAX_FREQUENCIES, (shape.d_vocab - 1) // 2)))
        n_kept = hints.number("kept", 0, shape.d_mlp * n)
        n_fine = hints.number("fine", 0, shape.d_vocab)
        needed = {
            "frequencies": True,
            "kept": n_kept > 0,
            "fine": n_fine > 0,
            "directions": columns > 0,
            "shrink": read_out == "bounded",
        }
        arrays = {name for name, needs in needed.items() if needs}
        hints.only({"read_out", "columns", "frequencies", "kept", "fine"}, arrays)
        frequencies = _different(hints, "frequencies", n, 1, (shape.d_vocab - 1) // 2)
        kept = np.zeros(shape.d_mlp * n, dtype=bool)
        kept[_different(hints, "kept", n_kept, 0, kept.size - 1)] = True
        fine = np.zeros(shape.d_vocab, dtype=bool)
        fine[_different(hints, "fine", n_fine, 0, shape.d_vocab - 1)] = True
        return KeyFrequency(
            frequencies=frequencies,
            kept=kept.reshape(shape.d_mlp, n),
            fine=fine,
            directions=hints.floats("directions", (shape.d_model, columns)) if columns else None,
            read_out=read_out,
            shrink=hints.floats("shrink", (2 * n, 2 * n)) if read_out == "bounded" else None,
        )


def _different(hints: Hints, name: str, size: int, low: int, high: int) -> Int[np.ndarray, " size"]:
    """Rising integers of a range; no array if there are none."""
    if not size:
        return np.zeros(0, dtype=np.int64)
    numbers = hints.integers(name, (size,))
    if numbers[0] < low or numbers[-1] > high or (np.diff(numbers) <= 0).any():
        raise Rejected(Reason.BAD_HINT, f"array {name} must hold rising integers from {low} to {high}")
    return numbers
