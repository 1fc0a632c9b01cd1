r"""Brute force: every sequence, decided exactly.

Theorem. The sequences are enumerated once each (strata.py); each counts as right only if the target's logit is
certainly larger than every other, wrong only if some other is certainly as large. What the fast pass cannot
decide is evaluated one by one in Arb at rising precision (`undecided.py`); what stays undecided (an exact tie)
counts as wrong.

One head, no final bias: per query, $G_i(t)_o = w_i(q,t)(V_i(t)_o + D(q)_o)$ is enclosed and rounded outward to
integers at a scale chosen per stratum, so that sums of K differences $G_o - G_y$ fit in 60 bits and are exact:
the enumeration is integer addition and comparison. Otherwise (several heads, final biases): enclosures of the logits,
sequence by sequence, in the rule's arithmetic.

A wrong sequence adds its weight (`spec.distribution`), one if all are equally likely.
Under `float32` the tables enclose those of every execution (`heads.py`); nothing is passed on to Arb.

Soundness: for all weights and distributions, every architecture of `spec.model`; there are no hints. A stratum whose
    tables are lost (overflow) is left to the exact pass.
Cost: `cost.brute_force_cost`, about 2 v_out operations per sequence.
Source: exhaustive evaluation; here with shared partial sums.
"""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import product as cartesian
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import OPS_PER_FLOP, Cost, brute_force_cost, matmul
from pessimal.kernel.folded import Logits, folded_flops, folded_tables, require_folded
from pessimal.kernel.heads import separable_heads, separable_heads_flops
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rounding import float32_complaints
from pessimal.kernel.rules.integer_stratum import IntegerStratum, RivalBounds, boxes
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress
from pessimal.kernel.rules.undecided import Undecided
from pessimal.kernel.strata import strata_of
from pessimal.kernel.tables import PathTables, path_tables
from pessimal.kernel.weighing import weighed
from pessimal.spec.architecture import SOFTMAX, UNIFORM, Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

MAX_SEQUENCES = 64**5
CHUNK = 1 << 12
Verdicts = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
BLOCK = 1 << 16


def not_certainly_right(stratum: IntegerStratum, allowed: list[np.ndarray]) -> Int[np.ndarray, "n k_1"]:
    """Sequences of a box whose largest rival difference may reach zero.

    The two positions with the most tokens form the inner block; the others are fixed one choice at a time.
    """
    by_size = sorted(range(len(allowed)), key=lambda i: len(allowed[i]))
    outer, inner = by_size[:-2], by_size[-2:]
    tables = [stratum.high[i, allowed[i]].T.copy() for i in inner]
    while len(tables) < 2:
        tables.insert(0, np.zeros((stratum.high.shape[2], 1), dtype=np.int64))
    first, second = tables
    step = max(1, BLOCK // second.shape[1])
    found = [np.zeros((0, len(allowed)), dtype=np.int64)]
    for prefix in cartesian(*(allowed[i].tolist() for i in outer)):
        base = stratum.high_last + sum(stratum.high[i, t] for i, t in zip(outer, prefix, strict=True))
        start = first + base[:, np.newaxis]
        for begin in range(0, start.shape[1], step):
            places = np.nonzero(_largest_sum(start[:, begin : begin + step], second) >= 0)
            if not places[0].size:
                continue
            others = np.empty((places[0].size, len(allowed)), dtype=np.int64)
            others[:, outer] = prefix
            for i, index in zip(inner, (places[0] + begin, places[1])[2 - len(inner) :], strict=True):
                others[:, i] = allowed[i][index]
            found.append(others)
    return np.concatenate(found)


def _largest_sum(first: Int[np.ndarray, "o a"], second: Int[np.ndarray, "o b"]) -> Int[np.ndarray, "a b"]:
    """max_o (first[o, a] + second[o, b]), one rival at a time so that the block stays in cache."""
    largest = first[0][:, np.newaxis] + second[0]
    scratch = np.empty_like(largest)
    for one, two in zip(first[1:], second[1:], strict=True):
        np.add(one[:, np.newaxis], two, out=scratch)
        np.maximum(largest, scratch, out=largest)
    return np.asarray(largest)


class BruteForceRule(AbstractRule):
    """Enumerate every sequence."""

    name: ClassVar[str] = "brute-force"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)
    attention: ClassVar[tuple[str, ...]] = (SOFTMAX, UNIFORM)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Closed form; the weight of a sequence is one product more than that of its prefix, and one addition."""
        hints.only(set(), set())
        shape = architecture.shape
        if shape.d_vocab**shape.k > MAX_SEQUENCES:
            has = f"{shape.d_vocab}**{shape.k}"
            raise Rejected(Reason.RESOURCES, f"brute force covers at most 64**5 sequences; this task has {has}")
        if architecture.attention == UNIFORM:
            return weighed(_folded_cost(architecture), question, decisions=shape.d_vocab**shape.k)
        cost = brute_force_cost(architecture)
        if question.semantics != REAL:
            flops, exps = separable_heads_flops(architecture, question.semantics)
            bias = 2 * strata_of(question.task).number * shape.k * shape.d_vocab * shape.d_vocab_out
            cost = cost.plus(flops + bias, exps)
        return weighed(cost, question, decisions=shape.d_vocab**shape.k)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Everything the specification describes; under `float32` what its rounding bound covers."""
        if weights.architecture.attention == UNIFORM:
            if question.semantics != REAL:
                raise Rejected(Reason.UNSUPPORTED_MODEL, f"rounding is not bounded for {UNIFORM} attention")
            require_folded(weights)
            return
        reasons = [] if question.semantics == REAL else float32_complaints(weights)
        if reasons:
            raise Rejected(Reason.UNSUPPORTED_MODEL, "; ".join(reasons))

    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """The exact weight of the wrong sequences, ties counted as wrong."""
        task = question.task
        del hints
        if weights.architecture.shape.d_vocab_out == 1:
            return CountBound(Fraction(0), 0, decided=True)
        undecided = Undecided(weights, question)
        if weights.architecture.attention == UNIFORM:
            folded, separable = Logits(folded_tables(weights, arith)), False
        else:
            folded, tables = None, _tables(weights, arith, question.semantics)
            separable = len(tables.weight) == 1 and tables.final_bias is None
        done, total = 0, task.total()
        wrong: Counter[tuple[int, int]] = Counter()
        for q in range(task.d_vocab):
            if separable:
                wrong.update(_separable_query(tables, question, q, undecided))
            else:
                verdicts = folded.verdicts if folded else _enclosed_verdicts(tables, q, arith)
                wrong.update(_in_chunks(verdicts, task, q, undecided))
            done += task.d_vocab ** (task.k - 1)
            progress(done, total)
        wrong.update(undecided.by_stratum)
        total = wrong.total()
        return CountBound(Fraction(total), total - undecided.ties, decided=True, strata=wrong)


def _folded_cost(arch: Architecture) -> Cost:
    """Tables; per sequence the sums over positions, the ReLU, the products and one comparison per rival."""
    s = arch.shape
    n, f, o = s.d_vocab**s.k, s.d_mlp, s.d_vocab_out
    each = s.k * (f + o) + (matmul(1, f, o) if f else 0) + o - 1
    flops = folded_flops(arch) + n * each
    ops = s.n_parameters() + OPS_PER_FLOP * folded_flops(arch) + 4 * n * each
    memory = 64 * s.d_vocab * (s.k * (f + o) + 8 * o) + 64 * CHUNK * (f + o) * s.k
    return Cost(flops, ops, n * o, memory)


def _tables(weights: Weights, arith: AbstractArithmetic, semantics: str) -> PathTables:
    """Tables of the model, or enclosures of those of its executions."""
    if semantics == REAL:
        return path_tables(weights, arith)
    heads, direct = separable_heads(weights, arith, semantics)
    weight = [arith.stack([head.weight(q) for q in range(direct.shape[0])]) for head in heads]
    return PathTables(weight, [head.value for head in heads], direct, None, arith.fraction(Fraction(0)))


def _separable_query(
    tables: PathTables, question: Question, q: int, undecided: Undecided
) -> dict[tuple[int, int], int]:
    """Weight of the certainly wrong sequences with query q, by stratum; the undecided ones are passed on."""
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
        for allowed in boxes(program, strata.letter[y]):
            if stratum.lost:
                undecided.add_box(allowed, q)
                continue
            others = not_certainly_right(stratum, allowed)
            sure = stratum.certainly_wrong(others)
            wrong[q, y] += undecided.weighing.sequences(others[sure], q)
            undecided.add(others[~sure], q)
    return wrong


def _in_chunks(verdicts: Verdicts, task: AbstractTask, q: int, undecided: Undecided) -> dict[tuple[int, int], int]:
    """The same from verdicts on tokens and targets: which are certainly right, and which certainly wrong."""
    wrong: Counter[tuple[int, int]] = Counter()
    count = task.d_vocab ** (task.k - 1)
    for begin in range(0, count, CHUNK):
        index = np.arange(begin, min(begin + CHUNK, count))
        others = index[:, np.newaxis] // task.d_vocab ** np.arange(task.k - 1) % task.d_vocab
        tokens = np.concatenate([others, np.full((len(others), 1), q)], axis=1)
        target = task.target(tokens)
        right, lost = verdicts(tokens, target)
        for y in np.unique(target[lost]).tolist():
            wrong[q, y] += undecided.weighing.sequences(others[lost & (target == y)], q)
        undecided.add(others[~right & ~lost], q)
    return wrong


def _enclosed_verdicts(tables: PathTables, q: int, arith: AbstractArithmetic) -> Verdicts:
    """By enclosures of the logits."""

    def verdicts(tokens: Int[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        logits = _logits(tables, tokens, q, arith)
        mine = logits[np.arange(len(tokens)), target].reshape(-1, 1)
        is_target = target[:, np.newaxis] == np.arange(logits.shape[1])
        return (mine.greater(logits) | is_target).all(1), (logits.greater(mine) & ~is_target).any(1)

    return verdicts


def _logits(tables: PathTables, tokens: Int[np.ndarray, "n k"], q: int, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Logits of sequences with query q, `[n, d_vocab_out]`, all multiplied by the same positive number per sequence."""
    residual: AbstractEnclosure | None = None
    position = np.arange(tokens.shape[1])
    for weight, value in zip(tables.weight, tables.value, strict=True):
        w = weight[q][position, tokens]
        summed = (value[position, tokens] * w.reshape(*w.shape, 1)).sum(1)
        part = summed / w.sum(1).reshape(-1, 1)
        residual = part if residual is None else residual + part
    if residual is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "a model without heads")
    residual = residual + tables.direct[q]
    if tables.final_bias is None:
        return residual
    n_out = tables.final_bias.shape[0]
    centred = residual[:, n_out:]
    variance = (centred * centred).sum(1) * arith.fraction(Fraction(1, centred.shape[1]))
    deviation = (variance + tables.epsilon).sqrt().reshape(-1, 1)
    return residual[:, :n_out] + tables.final_bias * deviation
