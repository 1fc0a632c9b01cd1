r"""Sparse output: the MLP writes few numbers, each read from few neurons; what is left of its output map is bounded.

Theorem. Models with uniform attention and an MLP (`model/folded.py`): pre-activations $x = \sum_i\mathrm{pre}_i(t_i)$,
output map $G = W_{out}W_U$. For any $A$ `[d_mlp, r]` and $B$ `[r, d_vocab_out]` (hints) let $R = G - AB$. Then

$$ \mathrm{logit}_c = \sum_j z_jB_{jc} + \sum_i h_iR_{ic} + \mathrm{skip}_c,\qquad h = \mathrm{ReLU}(x),\; z = hA, $$

and only the non-zero entries of A are multiplied. Option `rest` is one of two ways to bound
the middle sum, by neuron:

* `whole`: $h_i \in [0, u_i]$, $u_i$ the largest pre-activation that tables allow, or 0;
* `half`: $h = x/2 + |x|/2$. The first half is a sum over positions and is added to skip, exactly;
  $|x_i|/2 \in [0, u_i]$, $u_i$ half the largest magnitude.

With $h_i$ or $|x_i|/2$ anywhere in $[0, u_i]$, the middle sum of target y less that of rival c is at least (option
`box`)

* `separable`: $-\sum_iu_iR^-_{iy} - \sum_iu_iR^+_{ic}$;
* `pairs`: $-\sum_i u_i(R_{iy} - R_{ic})^-$, which is no smaller.

where $r^+ = \max(0, r)$, $r^- = \max(0, -r)$.

*Proof.* $hG = hAB + hR$. The difference of the middle sums is $\sum_ih_i(R_{iy} - R_{ic})$, linear in every $h_i$ and
least at an end of its range: 0, or $u_i(R_{iy} - R_{ic})$ where that is negative, which gives `pairs`; and
$(a - b)^- \le a^- + b^+$ gives `separable`. The two halves of h add up to it (`docs/modular-addition.md`). ∎

R may be taken less its mean over outputs: a number that all logits share changes no difference.
An input whose difference is certainly positive against every rival is right; every other counts as wrong.

Soundness: for all weights, all A and B.
Cost: counted by running the rule over shapes: 2 operations per input and non-zero entry of A, in place of 2 per input,
    neuron and output.
Source: new.

Contents:
    SparseOptions — hints.
    SparseOutputInstance, SparseOutputRule — about one question, and about all.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Uncounted
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.folded import folded_tables, output_map, require_folded
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.spec.architecture import UNIFORM, Architecture, ModelShape
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

REST = ("whole", "half")
BOX = ("separable", "pairs")
MAX_RANK = 256
MAX_INPUTS = 1 << 22
CHUNK = 1 << 12


@dataclass(frozen=True)
class SparseOptions:
    """Hints of the rule: the sparse output map, and how its rest is bounded.

    Attributes:
        rest: `whole` or `half`.
        box: `separable` or `pairs`.
        reads: A, `[d_mlp, r]`.
        writes: B, `[r, d_vocab_out]`.
    """

    rest: str
    box: str
    reads: Float[np.ndarray, "f r"]
    writes: Float[np.ndarray, "r o"]

    @staticmethod
    def read(hints: Hints, shape: ModelShape) -> "SparseOptions":
        """The hints, or `Rejected(bad-hint)`."""
        hints.only({"rest", "box", "rank"}, {"reads", "writes"})
        rank = hints.number("rank", 1, MAX_RANK)
        return SparseOptions(
            rest=hints.word("rest", REST),
            box=hints.word("box", BOX),
            reads=hints.floats("reads", (shape.d_mlp, rank)),
            writes=hints.floats("writes", (rank, shape.d_vocab_out)),
        )


class _Outputs:
    """Logits of many inputs from below and above."""

    def __init__(self, weights: Weights, options: SparseOptions, arith: AbstractArithmetic) -> None:
        self.options, self.arith = options, arith
        tables = folded_tables(weights, arith, output=False)
        if tables.pre is None:
            raise Rejected(Reason.UNSUPPORTED_MODEL, "the model has no MLP")
        self.pre, self.skip = tables.pre, tables.skip
        self.writes = arith.matrix(options.writes).enclose()
        self.support = [np.flatnonzero(column) for column in options.reads.T]
        self.reads = arith.matrix(options.reads).enclose()
        # Exact: what A and B leave out, whatever they are.
        rest = (output_map(weights, arith) - arith.matrix(options.reads) @ arith.matrix(options.writes)).enclose()
        # Only differences of logits matter: any number may be taken from all outputs of a neuron, here the mean.
        mean = rest.sum(1) * Fraction(1, rest.shape[1])
        rest = rest - mean.reshape(-1, 1)
        positions = [self.pre[i] for i in range(self.pre.shape[0])]
        largest = reduce(add, (table.max(0) for table in positions))
        if options.rest == "half":
            half = Fraction(1, 2)
            magnitude = largest.maximum(reduce(add, ((-table).max(0) for table in positions))) * half
            self.skip = self.skip + arith.stack([(table * half) @ rest for table in positions])
        else:
            magnitude = largest.maximum(arith.fraction(Fraction(0)))
        self.below, self.above = self._bounds_of_rest(rest, magnitude)

    def _bounds_of_rest(
        self, rest: AbstractEnclosure, magnitude: AbstractEnclosure
    ) -> tuple[AbstractEnclosure, AbstractEnclosure | None]:
        """What a target may lose and a rival gain, `[o]` each; with pairs, by target and rival, `[o, o]`, and None."""
        zero, column = self.arith.fraction(Fraction(0)), magnitude.reshape(-1, 1)
        if self.options.box == "separable":
            scaled = rest * column
            return scaled.minimum(zero).sum(0), scaled.maximum(zero).sum(0)
        rows = []
        for y in range(rest.shape[1]):
            apart = (rest[:, y : y + 1] - rest).minimum(zero)
            rows.append((apart * column).sum(0))
        return self.arith.stack(rows), None

    def margins(self, tokens: Int[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> AbstractEnclosure:
        """Lower bounds of the target's logit less every logit, `[n, o]`; of no meaning at the target itself."""
        zero = self.arith.fraction(Fraction(0))
        position = range(tokens.shape[1])
        hidden = reduce(add, (self.pre[i][tokens[:, i]] for i in position)).maximum(zero)
        logits = reduce(add, (self.skip[i][tokens[:, i]] for i in position))
        for j, neurons in enumerate(self.support):
            if neurons.size:
                z = (hidden[:, neurons] * self.reads[neurons, j]).sum(1)
                logits = logits + z.reshape(-1, 1) * self.writes[j]
        right_logit = logits[np.arange(len(tokens)), target].reshape(-1, 1)
        if self.above is None:
            return right_logit - logits + self.below[target]
        return (right_logit + self.below[target].reshape(-1, 1)) - (logits + self.above)


@dataclass(frozen=True, eq=False)
class SparseOutputInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        options: the sparse output map, and how its rest is bounded.
    """

    options: SparseOptions

    @property
    def length(self) -> Hashable:
        """Rest, box, and which neurons are read."""
        return self.options.rest, self.options.box, (self.options.reads != 0).tobytes(), self.options.reads.shape

    def uncounted(self) -> Uncounted:
        """The numbers of the tables and of the hints."""
        s, options = self.architecture.shape, self.options
        if s.d_vocab**s.k > MAX_INPUTS:
            raise Rejected(
                Reason.RESOURCES, f"at most {MAX_INPUTS} inputs are looked at; the task has {s.d_vocab**s.k}"
            )
        tables = s.k * s.d_vocab * (s.d_mlp + s.d_vocab_out) + s.d_mlp * s.d_vocab_out
        return Uncounted(tables, int(np.count_nonzero(options.reads)) + options.writes.size)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Inputs that are not certainly right."""
        outputs = _Outputs(weights, self.options, arith)
        task = self.question.task
        wrong: Counter[tuple[int, int]] = Counter()
        for begin in range(0, task.total(), CHUNK):
            index = np.arange(begin, min(begin + CHUNK, task.total()))
            tokens = index[:, np.newaxis] // task.d_vocab ** np.arange(task.k) % task.d_vocab
            target = task.target(tokens)
            margin = outputs.margins(tokens, target)
            is_target = target[:, np.newaxis] == np.arange(margin.shape[1])
            # SOUND: a lost number is not greater than zero.
            sure = (margin.greater(arith.fraction(Fraction(0))) | is_target).all(1)
            wrong.update(zip(tokens[~sure, -1].tolist(), target[~sure].tolist(), strict=True))
            progress(int(index[-1]) + 1, task.total())
        return CountBound.of(wrong, decided=True)


class SparseOutputRule(AbstractRule):
    """Count the inputs that a sparse output map gets right."""

    name: ClassVar[str] = "sparse-output"
    attention: ClassVar[tuple[str, ...]] = (UNIFORM,)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Uniform attention, an MLP, no LayerNorm, at least two outputs."""
        if question.semantics != REAL:
            raise Rejected(Reason.UNSUPPORTED_MODEL, f"rounding is not bounded for {UNIFORM} attention")
        if not weights.architecture.shape.d_mlp:
            raise Rejected(Reason.UNSUPPORTED_MODEL, f"{self.name} covers models with uniform attention and an MLP")
        if weights.architecture.shape.d_vocab_out < 2:
            raise Rejected(Reason.UNSUPPORTED_MODEL, "W_U has a single output, so there is no rival")
        require_folded(weights)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> SparseOutputInstance:
        """Read the sparse output map, and how its rest is bounded."""
        return SparseOutputInstance(architecture, question, SparseOptions.read(hints, architecture.shape))
