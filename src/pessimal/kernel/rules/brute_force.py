r"""Brute force: every sequence, decided exactly.

Theorem. The sequences are enumerated once each (strata.py); each counts as right only if the target's logit is
certainly larger than every other, wrong only if some other is certainly as large. What the fast pass cannot
decide is evaluated one by one in Arb at rising precision (`undecided.py`); what stays undecided (an exact tie)
counts as wrong. So the weight of the sequences counted as wrong is at least that of the wrong ones, and exceeds it by
no more than the weight of the undecided ones.

*Proof.* Every sequence lies in exactly one stratum, on exactly one path of its program, and there in exactly one block;
sums over K tables, or the forward pass itself, enclose its logits up to a summand common to all outputs and a positive
factor (`docs/separable-margin.md`, `docs/modular-addition.md`). A decision asks for enclosures that do not overlap. ∎

One head, no final bias: per query, $G_i(t)_o = w_i(q,t)(V_i(t)_o + D(q)_o)$ is enclosed and rounded outward to
integers with an exponent chosen per stratum, so that sums of K differences $G_o - G_y$ fit in 60 bits and are exact:
the enumeration is integer addition and comparison. Several heads or final biases: enclosures of the logits, sequence
by sequence, in the rule's arithmetic. Uniform attention, or an MLP: integers again (`logits.py`).

A wrong sequence adds its weight (`spec.distribution`), one if all are equally likely; tokens that never stand at a
position are passed over there.
Under `float32` the tables enclose those of every execution (`heads.py`); nothing is passed on to Arb.

Soundness: for all weights and distributions, every architecture of `spec.model`; there are no hints. A stratum whose
    tables are lost (overflow) is left to the exact pass.
Cost: tables, counted over shapes, and about 2 v_out operations per sequence.
Source: exhaustive evaluation; here with shared partial sums.

Contents:
    BruteForceInstance, BruteForceRule — about one question, and about all.
    not_certainly_right — the sequences of a product of token sets that integers do not show to be right.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from itertools import product as cartesian
from math import prod
from operator import add
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import OPS_PER_FLOP, OPS_PER_VISIT, Uncounted, matmul
from pessimal.kernel.counting.integers import IntegerStratum, RivalBounds, token_products
from pessimal.kernel.counting.undecided import Undecided, undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.attended import Attended, attended_flops, attended_tables
from pessimal.kernel.model.folded import Folded, folded_tables, require_folded
from pessimal.kernel.model.heads import separable_heads
from pessimal.kernel.model.logits import BLOCK as LOGITS_BLOCK
from pessimal.kernel.model.logits import Logits
from pessimal.kernel.model.requirements import float32_complaints, require_none
from pessimal.kernel.model.tables import PathTables, path_tables
from pessimal.kernel.model.tensors import has_final_bias
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import (
    SOFTMAX_MLP,
    AbstractInstance,
    AbstractRule,
    CountBound,
    Progress,
    kind_of_attention,
    no_progress,
)
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.architecture import SOFTMAX, UNIFORM, Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

MAX_SEQUENCES = 64**5
CHUNK = 1 << 12
Verdicts = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
BLOCK = 1 << 16
GROUP = 1 << 8


def not_certainly_right(stratum: IntegerStratum, allowed: list[np.ndarray]) -> Iterator[Int[np.ndarray, "n k_1"]]:
    """Sequences of a product of token sets whose largest rival difference may reach zero, some at a time.

    Two groups of positions form the inner block; the others are fixed one choice at a time.
    """
    outer, *inner = _groups([len(tokens) for tokens in allowed])
    choices = [_choices([allowed[i] for i in group]) for group in inner]
    first, second = (_summed(stratum, group, chosen) for group, chosen in zip(inner, choices, strict=True))
    step = max(1, BLOCK // second.shape[1])
    for prefix in cartesian(*(allowed[i].tolist() for i in outer)):
        base = stratum.high_last + sum(stratum.high[i, t] for i, t in zip(outer, prefix, strict=True))
        start = first + base[:, np.newaxis]
        for begin in range(0, start.shape[1], step):
            places = np.nonzero(_largest_sum(start[:, begin : begin + step], second) >= 0)
            if places[0].size:
                earlier = np.empty((places[0].size, len(allowed)), dtype=np.int64)
                earlier[:, outer] = prefix
                for group, chosen, index in zip(inner, choices, (places[0] + begin, places[1]), strict=True):
                    earlier[:, group] = chosen[index]
                yield earlier


def _groups(sizes: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Positions fixed one choice at a time, and two groups that are not: one position each, or more of few tokens."""
    remaining = sorted(range(len(sizes)), key=lambda i: sizes[i])
    groups: list[list[int]] = []
    for _ in range(2):
        group = [remaining.pop()] if remaining else []
        while remaining and prod(sizes[i] for i in [*group, remaining[-1]]) <= GROUP:
            group.append(remaining.pop())
        groups.append(group)
    return remaining, groups[1], groups[0]


def _choices(allowed: list[np.ndarray]) -> Int[np.ndarray, "n group"]:
    """Every choice of one token at each position of a group."""
    tables = np.meshgrid(*allowed, indexing="ij")
    return np.stack([table.ravel() for table in tables], 1) if allowed else np.zeros((1, 0), dtype=np.int64)


def _summed(stratum: IntegerStratum, group: list[int], chosen: Int[np.ndarray, "n group"]) -> Int[np.ndarray, "o n"]:
    """Upper sums of every choice, by rival."""
    sums = np.zeros((chosen.shape[0], stratum.high.shape[2]), dtype=np.int64)
    for i, tokens in zip(group, chosen.T, strict=True):
        sums += stratum.high[i, tokens]
    return sums.T.copy()


def _largest_sum(first: Int[np.ndarray, "o a"], second: Int[np.ndarray, "o b"]) -> Int[np.ndarray, "a b"]:
    """max_o (first[o, a] + second[o, b]), one rival at a time so that the block stays in cache."""
    largest = first[0][:, np.newaxis] + second[0]
    scratch = np.empty_like(largest)
    for of_first, of_second in zip(first[1:], second[1:], strict=True):
        np.add(of_first[:, np.newaxis], of_second, out=scratch)
        np.maximum(largest, scratch, out=largest)
    return np.asarray(largest)


@dataclass(frozen=True, eq=False)
class BruteForceInstance(AbstractInstance):
    """The theorem about one question."""

    @property
    def length(self) -> Hashable:
        """Nothing: shapes say it all, and which tokens ever stand at a position, which is part of the question."""
        return ()

    def uncounted(self) -> Uncounted:
        """Every sequence; its weight is one product more than that of its prefix, and one addition."""
        s, question = self.architecture.shape, self.question
        plain = kind_of_attention(self.architecture) == SOFTMAX
        sequences = s.d_vocab**s.k if plain else prod(here.size for here in _allowed(question))
        if sequences > MAX_SEQUENCES:
            has = f"{s.d_vocab}**{s.k}"
            raise Rejected(Reason.RESOURCES, f"brute force covers at most 64**5 sequences; this task has up to {has}")
        exactly = undecided_ops(s, question, sequences)
        if not plain:
            each = self._each()
            # Both ends of G in integers, by sign; the sums of one block.
            n_bytes = 64 * (s.d_mlp * s.d_vocab_out + LOGITS_BLOCK * s.k * (s.d_mlp + s.d_vocab_out)) + 64 * CHUNK * s.k
            return Uncounted(sequences * s.d_vocab_out, 0, sequences * each, 4 * sequences * each + exactly, n_bytes,
                             decisions=sequences)  # fmt: skip
        general = s.n_heads > 1 or self.architecture.ln_final is not None
        flops = self._enumeration(general=general)
        # An addition and a comparison per sequence and rival; tables, G, and the integers of every stratum, made anew.
        ops = sequences * 2 * (s.d_vocab_out - 1) + exactly
        ops += OPS_PER_FLOP * s.d_vocab**2 * s.k * s.d_vocab_out * (4 + question.task.n_outputs)
        if general:
            ops += OPS_PER_FLOP * sequences * s.n_heads * (2 * s.k + 2) * (s.d_vocab_out + s.d_model)
        if s.n_heads == 1:
            # Every path of a stratum's program is a product of its own.
            n_products = sum(queries * program.visits() for program, queries in strata_of(question.task).all_kinds())
            ops += OPS_PER_VISIT * min(sequences, n_products)
        if question.semantics != REAL:
            flops += 2 * strata_of(question.task).stratum_count * s.k * s.d_vocab * s.d_vocab_out
        per_chunk = 128 * CHUNK * (s.d_vocab_out + s.d_model) * s.k
        per_chunk = per_chunk if general else 32 * BLOCK + 128 * s.k * s.d_vocab * s.d_vocab_out
        return Uncounted(sequences * s.d_vocab_out, 0, flops, ops, per_chunk, decisions=sequences, ops_per_flop=0)

    def _enumeration(self, *, general: bool) -> int:
        """G per query (2 per entry), and per sequence one addition and one comparison per rival.

        Partial sums over all positions but the last are shared: at most one more addition per rival for each prefix.
        Several heads or final biases add the division and the products of every sequence.
        """
        s = self.architecture.shape
        v, k, o, sequences = s.d_vocab, s.k, s.d_vocab_out, s.d_vocab**s.k
        flops: int = 2 * v * v * k * o + sequences * 2 * (o - 1) + v ** max(k - 1, 0) * (o - 1)
        if general:
            flops += sequences * (s.n_heads * (2 * k + 2) * (o + s.d_model) + 3 * s.d_model + 2 * o + 2)
        return flops

    def _each(self) -> int:
        """Per sequence: the sums over positions, the ReLU, the products and one comparison per rival."""
        s = self.architecture.shape
        f, o = s.d_mlp, s.d_vocab_out
        add = (s.k - 1) * (f + o) if self.architecture.attention == UNIFORM else attended_flops(s)
        return add + (f + matmul(1, f, o) + o if f else 0) + o - 1

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """The tables; sequences are enumerated in integers. Whether final biases differ is not known from shapes."""
        biases = {"b_U", "ln_final_b"} & set(self.architecture.biases)
        return self._tables(weights, arith, final_bias=bool(self.architecture.ln_final and biases))

    def _tables(
        self, weights: Weights, arith: AbstractArithmetic, *, final_bias: bool
    ) -> PathTables | Folded | Attended:
        """What the logits of a sequence are made of, in enclosures."""
        if kind_of_attention(self.architecture) != SOFTMAX:
            uniform = self.architecture.attention == UNIFORM
            return (
                folded_tables(weights, arith) if uniform else attended_tables(weights, arith, _allowed(self.question))
            )
        if self.question.semantics == REAL:
            return path_tables(weights, arith, final_bias=final_bias)
        heads, direct = separable_heads(weights, arith, self.question.semantics)
        weight = [arith.stack([head.weight(q) for q in range(direct.shape[0])]) for head in heads]
        return PathTables(weight, [head.value for head in heads], direct, None, arith.fraction(Fraction(0)))

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """The exact weight of the wrong sequences, ties counted as wrong."""
        if self.architecture.shape.d_vocab_out == 1:
            return CountBound(Fraction(0), 0, decided=True)
        undecided = Undecided(weights, self.question)
        tables = self._tables(weights, arith, final_bias=has_final_bias(weights))
        by_query = _by_query(tables, self.question, undecided)
        wrong: Counter[tuple[int, int]] = Counter()
        queries = _allowed(self.question)[-1].tolist()
        for done, q in enumerate(queries):
            wrong.update(by_query(q))
            progress(done + 1, len(queries))
        wrong.update(undecided.by_stratum)
        return CountBound.of(wrong, decided=True, at_least=wrong.total() - undecided.ties)


class BruteForceRule(AbstractRule):
    """Enumerate every sequence and decide it exactly."""

    name: ClassVar[str] = "brute-force"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)
    attention: ClassVar[tuple[str, ...]] = (SOFTMAX, UNIFORM, SOFTMAX_MLP)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Everything the specification describes; under `float32` what its rounding bound covers."""
        kind = kind_of_attention(weights.architecture)
        if kind != SOFTMAX:
            if question.semantics != REAL:
                raise Rejected(Reason.UNSUPPORTED_MODEL, f"rounding is not bounded for {kind} attention")
            require_folded(weights)
            return
        require_none([] if question.semantics == REAL else float32_complaints(weights))

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> BruteForceInstance:
        """Refuse every hint: there are none."""
        hints.only(set(), set())
        return BruteForceInstance(architecture, question)


def _allowed(question: Question) -> list[Int[np.ndarray, " _"]]:
    """By position, the tokens that may stand there; every other sequence weighs nothing."""
    return [question.distribution.tokens(question.task, i) for i in range(question.task.k)]


def _by_query(
    tables: PathTables | Folded | Attended, question: Question, undecided: Undecided
) -> Callable[[int], dict[tuple[int, int], int]]:
    """Weight of the certainly wrong sequences with a query, by stratum; the undecided ones are passed on."""
    if isinstance(tables, PathTables) and len(tables.weight) == 1 and tables.final_bias is None:
        return partial(_separable_query, tables, question, undecided)
    verdicts = partial(_enclosed_verdicts, tables) if isinstance(tables, PathTables) else Logits(tables).verdicts
    return partial(_in_chunks, verdicts, _allowed(question)[:-1], undecided)


def _separable_query(
    tables: PathTables, question: Question, undecided: Undecided, q: int
) -> dict[tuple[int, int], int]:
    """Weight of the certainly wrong sequences with a query, for one head and no final bias: by integers."""
    task = question.task
    weight = tables.weight[0][q].reshape(task.k, task.d_vocab, 1)
    bounds = RivalBounds(tables.value[0] + tables.direct[q], weight, question.semantics)
    wrong: Counter[tuple[int, int]] = Counter()
    strata = strata_of(task)
    for y in range(task.n_outputs):
        program = strata.program(q, y)
        if program.empty:
            continue
        stratum = IntegerStratum(*bounds.of(y), q, y, strata.letter[y])
        wrong[q, y] = 0
        for allowed in token_products(program, strata.letter[y]):
            if stratum.lost:
                undecided.add_token_product(allowed, q)
                continue
            for earlier in not_certainly_right(stratum, allowed):
                sure = stratum.certainly_wrong(earlier)
                wrong[q, y] += undecided.weighing.sequences(earlier[sure], q)
                undecided.add(earlier[~sure], q)
    return wrong


def _in_chunks(
    verdicts: Verdicts, allowed: list[np.ndarray], undecided: Undecided, q: int
) -> dict[tuple[int, int], int]:
    """Weight of the certainly wrong sequences with a query, from verdicts: certainly right, certainly wrong."""
    wrong: Counter[tuple[int, int]] = Counter()
    sizes = [here.size for here in allowed]
    count = prod(sizes)
    for begin in range(0, count, CHUNK):
        index = np.arange(begin, min(begin + CHUNK, count))
        earlier = np.empty((index.size, len(allowed)), dtype=np.int64)
        for i, here in enumerate(allowed):
            earlier[:, i] = here[index // prod(sizes[:i]) % sizes[i]]
        tokens = np.concatenate([earlier, np.full((len(earlier), 1), q)], axis=1)
        target = undecided.task.target(tokens)
        right, is_wrong = verdicts(tokens, target)
        for y in np.unique(target[is_wrong]).tolist():
            wrong[q, y] += undecided.weighing.sequences(earlier[is_wrong & (target == y)], q)
        undecided.add(earlier[~right & ~is_wrong], q)
    return wrong


def _enclosed_verdicts(
    tables: PathTables, tokens: Int[np.ndarray, "n k"], target: Int[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """By enclosures of the logits, of sequences with one query: which are right, and which are wrong."""
    logits = _logits(tables, tokens)
    right_logit = logits[np.arange(len(tokens)), target].reshape(-1, 1)
    is_target = target[:, np.newaxis] == np.arange(logits.shape[1])
    return (right_logit.greater(logits) | is_target).all(1), (logits.greater(right_logit) & ~is_target).any(1)


def _logits(tables: PathTables, tokens: Int[np.ndarray, "n k"]) -> AbstractEnclosure:
    """Logits of sequences with one query, `[n, d_vocab_out]`, all times the same positive number per sequence."""
    parts, q = [], int(tokens[0, -1])
    position = np.arange(tokens.shape[1])
    for weight, value in zip(tables.weight, tables.value, strict=True):
        w = weight[q][position, tokens]
        summed = (value[position, tokens] * w.reshape(*w.shape, 1)).sum(1)
        parts.append(summed / w.sum(1).reshape(-1, 1))
    residual = reduce(add, parts) + tables.direct[q]
    if tables.final_bias is None:
        return residual
    n_out = tables.final_bias.shape[0]
    centred = residual[:, n_out:]
    variance = (centred * centred).sum(1) * Fraction(1, centred.shape[1])
    deviation = (variance + tables.epsilon).sqrt().reshape(-1, 1)
    return residual[:, :n_out] + tables.final_bias * deviation
