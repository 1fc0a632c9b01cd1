r"""What is left of EQKE after the published low-rank part, and every way to bound its row differences, side by side.

$R = E_q''\,W_Q'\,W_K'^T\,E_k''^T$ (`published/sub_cubic/splits.py`). All numbers here are plain float64: evidence,
not proof.

Contents:
    residual_factors — the four factors.
    error_ladder — upper bounds of the largest row difference, from coarse to exact.
    resampled — is the residual like one with random entries?
    Resampled — largest row differences of products whose factors have random entries.
"""

from dataclasses import dataclass
from functools import reduce
from math import prod, sqrt

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.differences import every_cut, recursive
from pessimal.kernel.rules.published.sub_cubic.splits import subproduct_split
from pessimal.search.midpoints import middle
from pessimal.search.sub_cubic import Workbench

SEED = 1234
Matrix = Float[np.ndarray, "a b"]


def residual_factors(bench: Workbench) -> tuple[AbstractEnclosure, ...]:
    """Enclosures of the four factors, with searched directions."""
    hints = Hints({}, bench.advice("max_diff", "max_diff_subproduct"))
    with bench.arith.running():
        return subproduct_split(bench.paths, hints, bench.arith, "exact").factors


def error_ladder(factors: tuple[AbstractEnclosure, ...]) -> dict[str, float]:
    """Bounds of the largest row difference of the product, largest over queries.

    Returns:
        Frobenius norms, product of largest singular values, largest singular value of the product, nested max-diff,
        max-diff at the best cut, each of those with mean rows split off, and the exact value.
    """
    middles = [middle(factor) for factor in factors]
    product = reduce(np.matmul, middles)
    arith = Float64Arithmetic()
    with arith.running():
        enclosed = {
            "nested max-diff": recursive(factors, means=0),
            "nested max-diff, mean rows": recursive(factors, means=3),
            "max-diff": every_cut(factors, mean=False),
            "max-diff, mean row": every_cut(factors, mean=True),
        }
    return {
        "Frobenius norms": sqrt(2) * prod(float(np.linalg.norm(m)) for m in middles),
        "product of largest singular values": sqrt(2) * prod(float(np.linalg.norm(m, 2)) for m in middles),
        "largest singular value of the product": sqrt(2) * float(np.linalg.norm(product, 2)),
        **{name: float(bound.bounds()[1].max()) for name, bound in enclosed.items()},
        "exact row difference": float(np.ptp(product, axis=1).max()),
    }


@dataclass(frozen=True)
class Resampled:
    """Largest row differences of products whose factors have random entries.

    Attributes:
        actual: of the model.
        values: of the resampled products.
        z: how many standard deviations the actual one lies above their mean.
    """

    actual: float
    values: list[float]
    z: float


def resampled(factors: tuple[AbstractEnclosure, ...], n: int = 100, seed: int = SEED) -> Resampled:
    """Replace every factor by normal entries of its own mean and standard deviation, `n` times.

    A residual without structure has a z-score near zero; a large one means the bounds leave structure unexplained.
    """
    middles = [middle(factor) for factor in factors]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(n):
        drawn = [rng.normal(m.mean(), m.std(), m.shape) for m in middles]
        values.append(float(np.ptp(reduce(np.matmul, drawn), axis=1).max()))
    actual = float(np.ptp(reduce(np.matmul, middles), axis=1).max())
    return Resampled(actual, values, (actual - float(np.mean(values))) / float(np.std(values, ddof=1)))
