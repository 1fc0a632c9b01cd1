r"""Terms of the separable margin, stratum by stratum: what R2 and R3 sum over.

Theorem. For one head, a sequence of stratum $(q, y)$ is wrong against $o$ exactly if $\sum_i g_i(t_i) \le 0$, with
$g_i(t) = w_i(q,t)\,[(D(q)_y - D(q)_o) + (V_i(t)_y - V_i(t)_o)]$: the margin times the softmax denominator
(specification, section 1). The terms below are lower bounds of g for all rivals that a problem stands for.

Several heads (R8). With $N_h / Z_h$ the margin of head h and any thresholds with $D_y - D_o + \sum_h c_h \ge 0$, a
wrong sequence has $N_h \le c_h Z_h$ for some h, otherwise its margin would exceed zero. $N_h - c_h Z_h$ is separable
again, with $-c_h$ in place of the direct margin. Thresholds of all heads but the last are hints; the last one is
$c_H = -(D_y - D_o) - \sum_{h<H} c_h$, so for one head nothing changes. Wrong sequences are summed over heads.

Far tokens: hint `near` = G, Max-of-K only. For $t \le y - G$, $g_i(t) \ge \min(0, m)\,w$ with m the smallest margin
and w the largest weight over those tokens and all positions: one term, times their number.

Pessimal position (R6): $m = \min_i m_i$, $g(t) = \min(w_{lo}m, w_{hi}m)$ with $w_{lo}, w_{hi}$ the extremes over
positions: a lower bound of every $g_i(t)$, so all positions share one term.

Contents:
    TermOptions — rival, position, near, read from hints.
    StratumTerms — the terms of strata that share a program.
    TermBuilder, stratum_terms, all_terms — all of them, query by query.
    joined — the same, several queries side by side.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Hints, dyadics
from pessimal.kernel.model.heads import Head, separable_heads
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.rivals import RIVALS, AbstractRivals, make_rivals, n_problems
from pessimal.kernel.strata.strata import Program, Strata, strata_of
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import MaxOfK
from pessimal.spec.weights import Weights

POSITIONS = ("each", "pessimal")
Tables = tuple[list[Head], AbstractEnclosure]
THRESHOLDS = ("threshold_mantissa", "threshold_exponent")
SHORT_THRESHOLD = "threshold"
# Short thresholds are multiples of 2**-8 from -128 on, in logits.
SHORT_STEP, SHORT_ZERO = -8, 1 << 15


@dataclass(frozen=True)
class TermOptions:
    """Options and thresholds of a certificate.

    Attributes:
        rival: a name of `RIVALS`.
        position: `each` or `pessimal`.
        near: number of tokens next to the target that are treated one by one.
        problems: R.
        thresholds: mantissas and exponents, `[heads - 1, R, strata]` each.
    """

    rival: str
    position: str
    near: int
    problems: int
    thresholds: tuple[np.ndarray, np.ndarray]

    @property
    def pooled(self) -> bool:
        """Whether all positions share one term."""
        return self.position == "pessimal"

    @staticmethod
    def names(hints: Hints, n_heads: int) -> tuple[set[str], set[str]]:
        """Options and arrays that are read."""
        thresholds = {SHORT_THRESHOLD} if SHORT_THRESHOLD in hints.arrays else set(THRESHOLDS)
        return {"rival", "position", "near"}, thresholds if n_heads > 1 else set()

    @classmethod
    def read(cls, hints: Hints, task: AbstractTask, n_heads: int, d_vocab_out: int) -> "TermOptions":
        """Check the form of the hints.

        Raises:
            Rejected: bad-hint.
        """
        rival, position = hints.word("rival", RIVALS), hints.word("position", POSITIONS)
        near = hints.number("near", 1, task.d_vocab)
        if near < task.d_vocab and not isinstance(task, MaxOfK):
            raise Rejected(Reason.BAD_HINT, f"near={near} lumps far tokens, which is done for {MaxOfK.name} only")
        if rival == "joint" and n_heads > 1:
            raise Rejected(Reason.BAD_HINT, "rival=joint covers one head")
        problems = n_problems(rival, d_vocab_out)
        shape = (n_heads - 1, problems, strata_of(task).number)
        empty = np.zeros(shape, dtype=np.int64)
        thresholds = _thresholds(hints, shape) if n_heads > 1 else (empty, empty)
        return cls(rival, position, near, problems, thresholds)


def _thresholds(hints: Hints, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of the thresholds, in either encoding: 16 bits each, or the arrays of `THRESHOLDS`."""
    if SHORT_THRESHOLD not in hints.arrays:
        return dyadics(hints, THRESHOLDS, shape)
    return hints.halfwords(SHORT_THRESHOLD, shape) - SHORT_ZERO, np.full(shape, SHORT_STEP)


@dataclass(frozen=True)
class StratumTerms:
    """Lower bounds of the terms of Y strata (q, y) with one program, for R problems each and one head.

    Attributes:
        query: the q, `[Y]`.
        outputs: the y, `[Y]`.
        number: places of the strata among all, `[Y]`.
        program: their program.
        near: g of the tokens treated one by one, `[R, I, pairs]`; I is K - 1, or 1 when positions share the term.
        token: which tokens they are, `[pairs]`.
        pair: place in `near` of the j-th near token of a stratum, `[Y, G]`.
        letter: its letter, or `DEAD` where there is no j-th token, `[Y, G]`.
        far: g of every far token, `[R, Y]`; their letter is 0.
        n_far: how many far tokens there are, `[Y]`.
        last: g of the query token at the last position, `[R, Y]`.
    """

    query: Int[np.ndarray, " Y"]
    outputs: Int[np.ndarray, " Y"]
    number: Int[np.ndarray, " Y"]
    program: Program
    near: AbstractEnclosure
    token: Int[np.ndarray, " pairs"]
    pair: Int[np.ndarray, "Y G"]
    letter: Int[np.ndarray, "Y G"]
    far: AbstractEnclosure
    n_far: Int[np.ndarray, " Y"]
    last: AbstractEnclosure


def near_tokens(strata: Strata, near: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens next to each output, their letters (`DEAD` past the last), and the numbers of the others."""
    n_outputs = strata.letter.shape[0]
    tokens = np.zeros((n_outputs, near), dtype=np.int64)
    letter = np.full((n_outputs, near), DEAD)
    n_far = np.zeros(n_outputs, dtype=np.int64)
    for y in range(n_outputs):
        alive = np.flatnonzero(strata.letter[y] != DEAD)
        chosen = alive[np.argsort(np.abs(alive - y), kind="stable")][:near]
        tokens[y, : chosen.size], letter[y, : chosen.size] = chosen, strata.letter[y, chosen]
        n_far[y] = alive.size - chosen.size
    return tokens, letter, n_far


class TermBuilder:
    """Tables of a model, and the terms of one query at a time."""

    def __init__(
        self,
        weights: Weights,
        question: Question,
        options: TermOptions,
        arith: AbstractArithmetic,
        tables: Tables | None = None,
    ) -> None:
        """`tables`: `separable_heads` of the model, if they are at hand."""
        task = question.task
        self.heads, self.direct = tables or separable_heads(weights, arith, question.semantics)
        self.strata, self.task, self.options, self.arith = strata_of(task), task, options, arith
        values = [head.value for head in self.heads]
        self.rivals: AbstractRivals = make_rivals(
            options.rival, values, self.direct, task.n_outputs, arith, pooled=options.pooled
        )
        self._near = near_tokens(self.strata, options.near)
        self._heaviest: tuple[tuple[int, int], AbstractEnclosure] | None = None
        self._lowest: dict[int, AbstractEnclosure] = {}  # by head; by query too where margins depend on it

    def terms(self, h: int, q: int, level: AbstractEnclosure | None = None) -> Iterator[StratumTerms]:
        """Terms of one head and query, program by program; `level`, shape (1, 1), is taken off the direct margin."""
        n = self.task.k - 1
        if self.options.rival == "joint":
            self._lowest.clear()
        head, margin = self.heads[h], self.rivals.others(h, q)
        weight = None if self.options.pooled else head.weight(q)
        low, high = (None, None) if not self.options.pooled else head.extreme_weights(q, n)
        for program, outputs in self.strata.by_program(q):
            tokens, letter, n_far = (part[outputs] for part in self._near)
            width = max(1, int((letter != DEAD).sum(1).max()))
            tokens, letter = tokens[:, :width], letter[:, :width]
            rows, columns = np.nonzero(letter != DEAD)
            pair = np.zeros(letter.shape, dtype=np.int64)
            pair[rows, columns] = np.arange(rows.size)
            t, y = tokens[rows, columns], outputs[rows]
            number = self.strata.place[q, outputs]
            direct = self._direct(h, q, outputs, number)
            if level is not None and h == len(self.heads) - 1:
                zero = self.arith.fraction(Fraction(0)).reshape(1, 1)
                direct = (zero if direct is None else direct) - level
                direct = direct[:, np.zeros(outputs.size, dtype=np.int64)] if direct.shape[1] == 1 else direct
            band = margin[:, :, t, y]
            if direct is not None:
                band = band + direct[:, rows].reshape(-1, 1, rows.size)
            if weight is not None:
                g = band * weight[:n, t]
            elif low is not None and high is not None:
                g = (band * low[t]).minimum(band * high[t])
            last = self.rivals.last(h, q, outputs)
            last = last if direct is None else last + direct
            yield StratumTerms(
                np.full(outputs.size, q), outputs, number, program, g, t, pair, letter,
                self._far(margin, direct, h, q, outputs, n_far), n_far, last * head.last_weight(q),
            )  # fmt: skip

    def _direct(self, h: int, q: int, outputs: np.ndarray, number: np.ndarray) -> AbstractEnclosure | None:
        """What stands for the direct margin of head h: -c_h for all heads but the last."""
        mantissa, exponent = (part[:, :, number] for part in self.options.thresholds)

        def minus_threshold(one: int, sign: int) -> AbstractEnclosure:
            flat = self.arith.dyadic(-sign * mantissa[one].ravel(), exponent[one].ravel())
            return flat.reshape(*mantissa[one].shape)

        if h < len(self.heads) - 1:
            return minus_threshold(h, 1)
        total = self.rivals.direct(q, outputs)
        for one in range(len(self.heads) - 1):
            if total is not None:
                total = total + minus_threshold(one, -1)
        return total

    def _far(
        self,
        margin: AbstractEnclosure,
        direct: AbstractEnclosure | None,
        h: int,
        q: int,
        outputs: np.ndarray,
        n_far: np.ndarray,
    ) -> AbstractEnclosure:
        """The worst far term of each stratum; Max-of-K, whose far tokens are 0 .. y - G."""
        zero = self.arith.fraction(Fraction(0))
        if not n_far.any():
            return self.arith.integers(np.zeros((self.options.problems, outputs.size), dtype=np.int64)).enclose()
        if h not in self._lowest:
            self._lowest[h] = margin.min(1).cumulative_min(1)
        last = np.maximum(n_far - 1, 0)
        far = self._lowest[h][:, last, outputs]
        far = far if direct is None else far + direct
        if self._heaviest is None or self._heaviest[0] != (h, q):
            greatest = self.heads[h].greatest_weight(q, self.task.k - 1)
            self._heaviest = ((h, q), greatest.cumulative_max(0))
        return far.minimum(zero) * self._heaviest[1][last]


def stratum_terms(
    weights: Weights,
    question: Question,
    options: TermOptions,
    arith: AbstractArithmetic,
    *,
    tables: Tables | None = None,
) -> Iterator[tuple[int, StratumTerms]]:
    """Heads and terms of all strata, query by query, head by head, program by program."""
    yield from all_terms(TermBuilder(weights, question, options, arith, tables))


def all_terms(
    builder: TermBuilder, level: AbstractEnclosure | None = None, *, queries: Iterable[int] | None = None
) -> Iterator[tuple[int, StratumTerms]]:
    """The same from tables that are there.

    Args:
        builder: has the tables.
        level: taken off every margin, shape (1, 1).
        queries: last tokens to look at; a rule looks at all of them.
    """
    for q in range(builder.task.d_vocab) if queries is None else queries:
        for h in range(len(builder.heads)):
            for terms in builder.terms(h, q, level):
                yield h, terms


def joined(
    found: Iterable[tuple[int, StratumTerms]], arith: AbstractArithmetic, positions: int = 1
) -> Iterator[tuple[int, StratumTerms]]:
    """The same strata with those of one head and program side by side, as many as make a block; every one once.

    `positions`: how many of them are kept apart at least, whether or not they share their terms.
    """
    # Strata without far tokens stay apart, so that none pays for a far term that it does not have.
    waiting: dict[tuple[int, int, bool], list[StratumTerms]] = {}
    held: dict[tuple[int, int, bool], int] = {}
    for head, terms in found:
        key = (head, id(terms.program), bool(terms.n_far.any()))
        group = waiting.setdefault(key, [])
        group.append(terms)
        problems, own = terms.near.shape[:2]
        held[key] = held.get(key, 0) + problems * max(positions, own) * terms.pair.size
        if held[key] >= arith.block:
            yield head, _side_by_side(group, arith)
            group.clear()
            held[key] = 0
    for (head, _, _), group in waiting.items():
        if group:
            yield head, _side_by_side(group, arith)


def _side_by_side(group: Sequence[StratumTerms], arith: AbstractArithmetic) -> StratumTerms:
    """Strata of one program as one object; near pairs of the later ones come after those of the earlier ones."""
    if len(group) == 1:
        return group[0]
    width = max(one.pair.shape[1] for one in group)
    offsets = np.cumsum([0, *(one.near.shape[2] for one in group)])
    pads = [((0, 0), (0, width - one.pair.shape[1])) for one in group]
    return StratumTerms(
        query=np.concatenate([one.query for one in group]),
        outputs=np.concatenate([one.outputs for one in group]),
        number=np.concatenate([one.number for one in group]),
        program=group[0].program,
        near=arith.concatenate([one.near for one in group], 2),
        token=np.concatenate([one.token for one in group]),
        pair=np.concatenate([np.pad(one.pair + o, p) for one, o, p in zip(group, offsets[:-1], pads, strict=True)]),
        letter=np.concatenate(
            [np.pad(one.letter, p, constant_values=DEAD) for one, p in zip(group, pads, strict=True)]
        ),
        far=arith.concatenate([one.far for one in group], 1),
        n_far=np.concatenate([one.n_far for one in group]),
        last=arith.concatenate([one.last for one in group], 1),
    )
