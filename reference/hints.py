"""Hints of exponential-moment and grid-count, read as section 4 of `docs/certificate-format.md` says.

Contents:
    Options — words, numbers, tilts, steps and thresholds; conditions 19 and 22.
"""

from certificate import Certificate, Rejected, entries_of
from tasks import Distribution, Strata

MAX_MANTISSA, MAX_EXPONENT = 2**53, 1000
MAX_CELLS = 1 << 16


def _bad(detail: str) -> Rejected:
    return Rejected("bad-hint", detail)


class Options:
    """Hints of `exponential-moment` and `grid-count`, checked.

    Attributes:
        rival, position, near: words and number.
        problems: R.
        tilt, step, threshold: (mantissas, exponents), by head, then problem, then stratum; `step` is None without a
            grid.
        cells: of the grid.
    """

    def __init__(self, certificate: Certificate, model: dict, strata: Strata, distribution: Distribution) -> None:
        self._options, self._model = certificate.header["options"], model
        arrays = {n: one for n, one in certificate.arrays.items() if not n.startswith("distribution_")}
        grid = certificate.header["rule"] == "grid-count"
        heads, d_vocab = model["n_heads"], strata.machine.d_vocab
        short_tilt = "tilt" in arrays and not grid
        short_threshold = "threshold" in arrays
        names = {"tilt"} if short_tilt else {"tilt_mantissa", "tilt_exponent"}
        if heads > 1:
            names |= {"threshold"} if short_threshold else {"threshold_mantissa", "threshold_exponent"}
        names |= {"step_mantissa", "step_exponent"} if grid else set()
        words = {"rival", "position", "near"} | ({"cells", "sides"} if grid else set())
        if set(self._options) != words or set(arrays) != names:
            raise _bad(f"the rule reads exactly {', '.join(sorted(words | names))}")
        self.rival = self._word("rival", ("plain", "centred", "joint", "every"))
        self.position = self._word("position", ("each", "pessimal"))
        self.near = self._number("near", d_vocab)
        task = certificate.header["task"]["name"]
        if self.near < d_vocab and (task != "max-of-k" or distribution.rows is None):
            raise _bad("far tokens are for max-of-k with independent positions")
        if self.rival == "joint" and heads > 1:
            raise _bad("rival=joint covers one head")
        self.problems = model["d_vocab_out"] - 1 if self.rival == "every" else 1
        n = len(strata.order)
        shape, shape_c = (heads * self.problems, n), (heads - 1, self.problems, n)
        self.tilt = _short_tilts(arrays["tilt"], shape) if short_tilt else _dyadics(arrays, "tilt", shape, 0)
        self.step = _dyadics(arrays, "step", shape, 0) if grid else None
        self.threshold: tuple = ((), ())
        if heads > 1 and short_threshold:
            numbers = _packed(arrays["threshold"], shape_c)
            self.threshold = [one - 32768 for one in numbers], [-8] * len(numbers)
        elif heads > 1:
            self.threshold = _dyadics(arrays, "threshold", shape_c, -MAX_MANTISSA)
        if grid:
            self.cells = self._number("cells", MAX_CELLS)
            true_terms = self.rival == "every" and self.position == "each" and self.near == d_vocab and heads == 1
            if self._number("sides", 2) == 2 and not true_terms:
                raise _bad("sides=2 needs rival=every, position=each, near=d_vocab and one head")

    def _word(self, name: str, allowed: tuple[str, ...]) -> str:
        if self._options[name] not in allowed:
            raise _bad(f"{name} is one of {', '.join(allowed)}")
        return self._options[name]

    def _number(self, name: str, most: int) -> int:
        if type(self._options[name]) is not int or not 1 <= self._options[name] <= most:
            raise _bad(f"{name} is a number from 1 to {most}")
        return self._options[name]


def _entries(array: tuple, shape: tuple[int, ...]) -> tuple[int, ...]:
    if array[:2] != ("int64", shape):
        raise _bad(f"an array is not int64 of shape {list(shape)}")
    return entries_of(array)


def _dyadics(arrays: dict, name: str, shape: tuple[int, ...], least: int) -> tuple:
    mantissa, exponent = (_entries(arrays[f"{name}_{part}"], shape) for part in ("mantissa", "exponent"))
    if min(mantissa) < least or max(mantissa) > MAX_MANTISSA or max(map(abs, exponent)) > MAX_EXPONENT:
        raise _bad(f"{name}: mantissas from {least} to 2**53, exponents at most {MAX_EXPONENT}")
    return mantissa, exponent


def _packed(array: tuple, shape: tuple[int, ...]) -> list[int]:
    """16-bit numbers, four to an entry, the first in the lowest bits, zeros after the last."""
    count = 1
    for side in shape:
        count *= side
    entries = _entries(array, (-(-count // 4),))
    numbers = [(one >> place) & 0xFFFF for one in entries for place in (0, 16, 32, 48)]
    if any(numbers[count:]):
        raise _bad("bits after the last packed number")
    return numbers[:count]


def _short_tilts(array: tuple, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    numbers = _packed(array, shape)
    if max(numbers) // 8 - 1001 > MAX_EXPONENT:
        raise _bad(f"tilt: exponents at most {MAX_EXPONENT}")
    return [8 + n % 8 if n >= 8 else 0 for n in numbers], [n // 8 - 1001 if n >= 8 else 0 for n in numbers]
