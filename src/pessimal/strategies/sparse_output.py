"""Sparse output maps of the MLP of modular addition: by singular vectors, or every neuron at its own frequency."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.folded import folded_tables
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.rules.modular.sparse_output import BOX, REST, SparseOutputRule
from pessimal.search.plain import PlainArithmetic, rounded
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy

FORMS = ("low-rank", "own-frequency")
RANKS = (2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
# Cheap before tight.
BOUNDS = (("whole", "separable"), ("half", "separable"), ("whole", "pairs"), ("half", "pairs"))
# Directions beyond this share of the energy of the output map are left to the bound of the rest.
ENERGY = 1e-4
BITS = 12


@dataclass(frozen=True)
class SparseOutput(AbstractStrategy):
    """What the MLP writes, read from few neurons per number.

    Attributes:
        form: `low-rank`, the largest singular vectors of the output map, every neuron read for each; or
            `own-frequency`, cosine and sine at the frequencies that carry the output, each neuron read for the
            frequency it writes most of and for `extra` more.
        rank: numbers written (default: low-rank, the fewest that certify every input, or most; own-frequency, two per
            frequency with more than 1e-4 of the energy).
        extra: entries beyond a neuron's own frequency, those with the largest reach first.
        rest: how what is left is bounded: `whole` or `half` (default: searched with box, cheap before tight).
        box: `separable` or `pairs`.
        budget: largest number of flops (default: any).

    Soundness: `kernel.rules.modular.sparse_output`, for every hint.
    Cost: folding, about d_vocab d_mlp (d_model + 2 d_vocab), and 2 d_vocab^2 per neuron and number read from it.
    Source: new.
    """

    name: ClassVar[str] = "sparse-output"
    rule: ClassVar[str] = "sparse-output"
    asymptotic: ClassVar[str] = "O(v f (d + v) + v^2 f r)"
    source: ClassVar[str] = "new"
    summary: ClassVar[str] = "modular addition: a sparse output map of the MLP, a box for the rest"

    form: str = "low-rank"
    rank: int | None = None
    extra: int = 0
    rest: str | None = None
    box: str | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers out of range."""
        self._require_words(form=FORMS, rest=REST, box=BOX)
        self._require_numbers(1, None, "rank")
        self._require_numbers(0, None, "extra")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """Factors A and B of the output map, the first that certify every input, or the best."""
        trials = self._within(self.budget, self._trials(weights), weights, question)
        tried: list[tuple[float, Hints]] = []
        for done, one in enumerate(trials):
            tried.append((_wrong(weights, question, one) if len(trials) > 1 else 0.0, one))
            progress(done + 1, len(trials))
            if not tried[-1][0]:
                break
        return min(tried, key=lambda pair: pair[0])[1]

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of the shortest proof with these options."""
        return min(self._flops(one, weights, question) for one in self._trials(weights))

    def _trials(self, weights: Weights) -> list[Hints]:
        """What is tried, short before long."""
        out = np.asarray(weights["W_out"], dtype=np.float64) @ np.asarray(weights["W_U"], dtype=np.float64)
        out = out - out.mean(1, keepdims=True)
        if self.form == "own-frequency":
            maps = [self._own_frequency(weights, out)]
        else:
            u, s, v = np.linalg.svd(out, full_matrices=False)
            ranks = [self.rank] if self.rank else [r for r in RANKS if r < s.size] + [s.size]
            maps = [(u[:, :r] * s[:r], v[:r]) for r in ranks]
        bounds = [one for one in BOUNDS if self.rest in {None, one[0]} and self.box in {None, one[1]}]
        return [_hints(reads, writes, rest, box) for (reads, writes), (rest, box) in product(maps, bounds)]

    def _own_frequency(
        self, weights: Weights, out: Float[np.ndarray, "f p"]
    ) -> tuple[Float[np.ndarray, "f r"], Float[np.ndarray, "r p"]]:
        """Cosine and sine rows of the frequencies that carry the output, and what each neuron writes of them."""
        p = out.shape[1]
        angle = 2 * np.pi / p * np.outer(np.arange(1, (p + 1) // 2), np.arange(p))
        cos, sin = 2 / p * out @ np.cos(angle).T, 2 / p * out @ np.sin(angle).T
        energy = cos**2 + sin**2
        order = np.argsort(-energy.sum(0), kind="stable")
        share = energy.sum(0)[order] / energy.sum()
        chosen = order[: max(1, (self.rank or 2 * int((share > ENERGY).sum())) // 2)]
        arith = Float64Arithmetic()
        with arith.running():
            pre = folded_tables(weights, arith, output=False).pre
            lo, hi = pre.bounds() if pre is not None else (np.zeros(1), np.zeros(1))
        reach = np.maximum(np.abs(lo).max(1).sum(0), np.abs(hi).max(1).sum(0))
        size = np.sqrt(energy[:, chosen]) * reach[:, np.newaxis]
        kept = np.zeros(size.shape, dtype=bool)
        kept[np.arange(len(size)), energy[:, chosen].argmax(1)] = True
        further = np.argsort(np.where(kept, -1.0, size).ravel())[::-1][: self.extra]
        kept.ravel()[further] = True
        reads = np.concatenate([cos[:, chosen] * kept, sin[:, chosen] * kept], axis=1)
        return reads, np.concatenate([np.cos(angle[chosen]), np.sin(angle[chosen])])


def _hints(reads: Float[np.ndarray, "f r"], writes: Float[np.ndarray, "r p"], rest: str, box: str) -> Hints:
    """Rounded, which the rule does not mind: what rounding leaves out is in the rest."""
    options: dict[str, int | str] = {"rest": rest, "box": box, "rank": reads.shape[1]}
    return Hints(options, {"reads": rounded(reads, BITS), "writes": rounded(writes, BITS)})


def _wrong(weights: Weights, question: Question, hints: Hints) -> float:
    """Inputs the rule would not count, without rounding."""
    instance, arith = SparseOutputRule().read(hints, weights.architecture, question), PlainArithmetic()
    with arith.running():
        return float(instance.bound(weights, arith).wrong_at_most)
