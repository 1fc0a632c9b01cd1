"""Hints of the rule `key-frequency`.

Contents:
    KeyFrequencyOptions — all of them, read and checked.
    Profiles, Quadrature — two ways to evaluate kept pairs.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import ModelShape

READ_OUT = ("bounded", "exact")
HIDDEN = ("neurons", "profiles", "quadrature")
FORM = ("moment", "box")
MAX_FREQUENCIES = 512
MAX_TERMS = 1 << 12
MAX_GRID = 1 << 16


@dataclass(frozen=True)
class Profiles:
    """Neurons that share a profile.

    Attributes:
        profile: which one, `[f]`.
        scale: r, what a neuron's pre-activation is of the profile, `[f]`.
        share: what a neuron adds to the profile, `[f]`.
    """

    profile: Int[np.ndarray, " f"]
    scale: Float[np.ndarray, " f"]
    share: Float[np.ndarray, " f"]

    @property
    def numbers(self) -> tuple[object, ...]:
        """What the number of operations depends on."""
        return (self.profile.tobytes(),)


@dataclass(frozen=True)
class Quadrature:
    """Neurons as nodes of one integral per frequency.

    Attributes:
        read: the wave that a neuron reads, real and imaginary part, `[2, f]`.
        terms: M of the moment form, or 0 for the interval form.
        order: the kept neurons of each frequency as they stand beside each other, frequency by frequency, `[kept]`.
        nodes: where, in units of pi / grid, in the same order, `[kept]`.
        offsets: where the first interval of each frequency begins, in the same units, `[n]`.
        grid: nodes per half circle.
    """

    read: Float[np.ndarray, "2 f"]
    terms: int
    order: Int[np.ndarray, " kept"]
    nodes: Int[np.ndarray, " kept"]
    offsets: Int[np.ndarray, " n"]
    grid: int

    @property
    def numbers(self) -> tuple[object, ...]:
        """What the number of operations depends on."""
        return self.terms, self.grid


@dataclass(frozen=True)
class KeyFrequencyOptions:
    """Hints of the rule, read and checked.

    Attributes:
        frequencies: all different, from 1 to (p - 1) / 2.
        kept: which neurons are evaluated for each frequency; the others are bounded, `[d_mlp, n]`.
        fine: for which differences a - b every input is looked at by itself, `[p]`.
        directions: Q, `[d_model, c]`, or None: pre-activations are exact.
        shrink: T, `[2 n, 2 n]`, or None: the remainder of the output map is multiplied out.
        hidden: how kept pairs are evaluated; None: neuron by neuron.
    """

    frequencies: Int[np.ndarray, " n"]
    kept: Bool[np.ndarray, "f n"]
    fine: Bool[np.ndarray, " p"]
    directions: Float[np.ndarray, "m c"] | None
    shrink: Float[np.ndarray, "w w"] | None
    hidden: Profiles | Quadrature | None = None

    @property
    def numbers(self) -> tuple[object, ...]:
        """What the number of operations depends on."""
        shapes = [None if array is None else array.shape for array in (self.directions, self.shrink)]
        return (
            len(self.frequencies),
            self.kept.tobytes(),
            self.fine.tobytes(),
            *shapes,
            self.hidden and self.hidden.numbers,
        )

    @staticmethod
    def read(hints: Hints, shape: ModelShape) -> "KeyFrequencyOptions":
        """The hints, or `Rejected(bad-hint)`."""
        read_out, hidden = hints.word("read_out", READ_OUT), hints.word("hidden", HIDDEN)
        columns = hints.number("columns", 0, shape.d_model)
        n = hints.number("frequencies", 1, max(1, min(MAX_FREQUENCIES, (shape.d_vocab - 1) // 2)))
        n_kept = hints.number("kept", 0, shape.d_mlp * n)
        n_fine = hints.number("fine", 0, shape.d_vocab)
        form = hints.word("form", FORM) if hidden == "quadrature" else ""
        needed = {
            "frequencies": True, "kept": n_kept > 0, "fine": n_fine > 0, "directions": columns > 0,
            "shrink": read_out == "bounded", "profile": hidden == "profiles", "scale": hidden == "profiles",
            "share": hidden == "profiles", "read": hidden == "quadrature", "order": form == "box" and n_kept > 0,
            "nodes": form == "box" and n_kept > 0, "offsets": form == "box",
        }  # fmt: skip
        more = {"": set(), "moment": {"form", "terms"}, "box": {"form", "grid"}}[form]
        more |= {"profiles"} if hidden == "profiles" else set()
        hints.only(
            {"read_out", "hidden", "columns", "frequencies", "kept", "fine"} | more,
            {name for name, needs in needed.items() if needs},
        )
        frequencies = _rising(hints, "frequencies", n, 1, (shape.d_vocab - 1) // 2)
        flat = np.zeros(shape.d_mlp * n, dtype=bool)
        flat[_rising(hints, "kept", n_kept, 0, flat.size - 1)] = True
        fine = np.zeros(shape.d_vocab, dtype=bool)
        fine[_rising(hints, "fine", n_fine, 0, shape.d_vocab - 1)] = True
        kept = flat.reshape(shape.d_mlp, n)
        return KeyFrequencyOptions(
            frequencies=frequencies,
            kept=kept,
            fine=fine,
            directions=hints.floats("directions", (shape.d_model, columns)) if columns else None,
            shrink=hints.floats("shrink", (2 * n, 2 * n)) if read_out == "bounded" else None,
            hidden={"neurons": _neurons, "profiles": _profiles, "quadrature": _quadrature}[hidden](hints, kept),
        )


def _rising(hints: Hints, name: str, size: int, low: int, high: int) -> Int[np.ndarray, " size"]:
    """Rising integers of a range; no array if there are none."""
    if not size:
        return np.zeros(0, dtype=np.int64)
    numbers = _within(hints, name, (size,), low, high)
    if (np.diff(numbers) <= 0).any():
        raise Rejected(Reason.BAD_HINT, f"array {name} must hold rising integers")
    return numbers


def _within(hints: Hints, name: str, shape: tuple[int, ...], low: int, high: int) -> Int[np.ndarray, "..."]:
    """An array of integers of a range."""
    numbers = hints.integers(name, shape)
    if ((numbers < low) | (numbers > high)).any():
        raise Rejected(Reason.BAD_HINT, f"array {name} must hold integers from {low} to {high}")
    return numbers


def _neurons(hints: Hints, kept: Bool[np.ndarray, "f n"]) -> None:
    del hints, kept


def _profiles(hints: Hints, kept: Bool[np.ndarray, "f n"]) -> Profiles:
    f = len(kept)
    number = hints.number("profiles", 1, f)
    return Profiles(
        _within(hints, "profile", (f,), 0, number - 1), hints.floats("scale", (f,)), hints.floats("share", (f,))
    )


def _quadrature(hints: Hints, kept: Bool[np.ndarray, "f n"]) -> Quadrature:
    read = hints.floats("read", (2, len(kept)))
    size, none = int(kept.sum()), np.zeros(0, dtype=np.int64)
    if hints.word("form", FORM) == "moment":
        return Quadrature(read, hints.number("terms", 1, MAX_TERMS), none, none, none, 1)
    grid = hints.number("grid", 1, MAX_GRID)
    far = 1 << 40
    offsets = _within(hints, "offsets", (kept.shape[1],), -far, far)
    if not size:
        return Quadrature(read, 0, none, none, offsets, grid)
    order = hints.integers("order", (size,))
    # Column by column the order names exactly the kept neurons.
    expected = np.nonzero(kept.T)
    given = np.lexsort((order, expected[0]))
    if (order[given] != expected[1]).any():
        raise Rejected(Reason.BAD_HINT, "array order must name the kept neurons of every frequency once")
    return Quadrature(read, 0, order, _within(hints, "nodes", (size,), -far, far), offsets, grid)
