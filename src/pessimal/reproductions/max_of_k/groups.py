"""The rows of the published tables: which strategies a row takes its best from.

Contents:
    Group — a row.
    GROUPS — all of them, in the published order.
    Right — numbers of right sequences by model.
    share — a number of right sequences relative to the truth.
    certified_share — what a proof certifies, relative to the truth.
    best_per_model — the row of every model with the largest number of right sequences.
    best_proofs — the best proof of every model.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from pessimal.kernel.rules.published.sub_cubic.averaging import DROP
from pessimal.records import float_down
from pessimal.reproductions.interface import ReproductionError
from pessimal.reproductions.swept import ProvedRow, SweptRow

Row = TypeVar("Row", bound=SweptRow)
# Number of right sequences by model: counted, or estimated.
Right = Mapping[str, int] | Mapping[str, float]
EXACT_DIRECT = {"max_diff_exact", "global_max_diff_exact"}
EXACT_ERROR = {"exact_EQKE+max_diff_exact", "max_diff_exact"}


def _error_kind(word: str) -> str:
    return "exact" if word in EXACT_ERROR else "quadratic" if word.endswith("recursive") else "low-rank"


def _in(direct: str, error: str, attention: str | None = None, word: str | None = None) -> Callable[[SweptRow], bool]:
    """Members by the kind of direct path (exact or low-rank) and QK error, perhaps with one attention or error word."""

    def member(row: SweptRow) -> bool:
        parts = row.composition
        if parts is None or attention not in {None, parts.attention} or word not in {None, parts.attention_error}:
            return False
        kind = "exact" if parts.direct in EXACT_DIRECT else "low-rank"
        return (kind, _error_kind(parts.attention_error)) == (direct, error)

    return member


@dataclass(frozen=True)
class Group:
    """A row of the published tables.

    Attributes:
        name: as printed.
        member: whether a result belongs to it.
        asymptotic: published asymptotic length.
        published: relative bound, mean and standard deviation over 151 seeds, per (K, d_vocab).
    """

    name: str
    member: Callable[[SweptRow], bool]
    asymptotic: str
    published: Mapping[tuple[int, int], tuple[float, float]]


def _published(*cells: tuple[float, float]) -> dict[tuple[int, int], tuple[float, float]]:
    return dict(zip(((4, 64), (5, 64), (10, 64), (10, 128)), cells, strict=True))


GROUPS = (
    Group("brute force", lambda row: row.strategy == "brute-force", "O(v^(K+1) K d)",
          _published((0.9992, 0.0015), (0.9990, 0.0018), (0.9988, 0.0013), (0.9972, 0.0031))),
    Group("cubic", lambda row: row.strategy == "cubic", "O(v^3 K^2)",
          _published((0.9539, 0.0080), (0.942, 0.010), (0.915, 0.021), (0.885, 0.012))),
    Group("sub-cubic", _in("exact", "exact"), "O(v^2 K^2 + v^2 d)",
          _published((0.821, 0.013), (0.806, 0.013), (0.673, 0.030), (0.760, 0.015))),
    Group("sub-cubic, without mean+diff", _in("exact", "exact", DROP),
          "O(v^2 K^2 + v^2 d)", {}),
    Group("low-rank QK", _in("exact", "low-rank"), "O(v^2 K^2 + v d^2 + v^2 d)",
          _published((0.795, 0.014), (0.785, 0.014), (0.658, 0.028), (0.742, 0.015))),
    Group("low-rank QK, SVD only", _in("exact", "low-rank", DROP, "svd"),
          "O(v^2 K^2 + v d^2 + v^2 d)", {}),
    Group("low-rank EU", _in("low-rank", "exact"), "O(v^2 K^2 + v d + v^2 d)",
          _published((0.653, 0.060), (0.666, 0.053), (0.640, 0.032), (0.626, 0.029))),
    Group("low-rank QK & EU", _in("low-rank", "low-rank"), "O(v^2 K^2 + v d^2 + v^2 d)",
          _published((0.628, 0.060), (0.645, 0.052), (0.626, 0.031), (0.612, 0.028))),
    Group("quadratic QK", _in("exact", "quadratic"), "O(v^2 K^2 + v^2 d)",
          _published((0.390, 0.032), (0.423, 0.029), (0.393, 0.030), (0.451, 0.025))),
    Group("quadratic QK & EU", _in("low-rank", "quadratic"), "O(v^2 K^2 + v^2 d)",
          _published((0.286, 0.036), (0.340, 0.032), (0.391, 0.028), (0.392, 0.024))),
)  # fmt: skip


def share(right: int, row: SweptRow, truth: Right) -> float:
    """So many sequences over the right ones of the row's model, over all where their number is not known; rounded down.

    Raises:
        ReproductionError: the row has no proof, and the model's accuracy is not known.
    """
    whole = truth.get(row.weights, row.total if isinstance(row, ProvedRow) else None)
    if whole is None:
        raise ReproductionError(f"{row.strategy} on {row.weights}: no proof, and the model's accuracy is not known")
    return float_down(Fraction(right) / Fraction(whole))


def certified_share(row: ProvedRow, truth: Right) -> float:
    """What a proof certifies, over the right sequences where their number is known; rounded down."""
    return share(row.correct, row, truth)


def best_per_model(rows: Iterable[Row], right: Callable[[Row], float | None]) -> dict[str, Row]:
    """For every model the row with the largest number of right sequences; rows without one are left out."""
    best: dict[str, tuple[float, Row]] = {}
    for row in rows:
        found = right(row)
        if found is not None and (row.weights not in best or found > best[row.weights][0]):
            best[row.weights] = found, row
    return {weights: row for weights, (_, row) in best.items()}


def best_proofs(rows: Iterable[SweptRow]) -> dict[str, ProvedRow]:
    """For every model the proof of the largest number of right sequences."""
    return best_per_model((row for row in rows if isinstance(row, ProvedRow)), lambda row: row.correct)
