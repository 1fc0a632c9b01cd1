r"""Brute force: every sequence, decided exactly.

Theorem. The sequences are enumerated once each (strata.py); each counts as right only if the target's logit is
certainly larger than every other, wrong only if some other is certainly as large. What the fast pass cannot
decide is evaluated one by one in Arb at rising precision (`undecided.py`); what stays undecided (an exact tie)
counts as wrong.

One head, no final bias: per query, $G_i(t)_o = w_i(q,t)(V_i(t)_o + D(q)_o)$ is enclosed and rounded outward to
integers at a scale chosen per stratum, so that sums of K differences $G_o - G_y$ fit in 60 bits and are exact:
the enumeration is integer addition and comparison. Several heads or final biases: enclosures of the logits, sequence
by sequence, in the rule's arithmetic. Uniform attention, or an MLP: integers again (`logits.py`).

A wrong sequence adds its weight (`spec.distribution`), one if all are equally likely; tokens that never stand at a
position are passed over there.
Under `float32` the tables enclose those of every execution (`heads.py`); nothing is passed on to Arb.

Soundness: for all weights and distributions, every architecture of `spec.model`; there are no hints. A stratum whose
    tables are lost (overflow) is left to the exact pass.
Cost: `cost.brute_force_cost`, about 2 v_out operations per sequence.
Source: exhaustive evaluation; here with shared partial sums.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product as cartesian
from math import prod
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.counting import CountingArithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import OPS_PER_EXP, OPS_PER_FLOP, OPS_PER_VISIT, Cost, blank_weights, matmul, table_entries
from pessimal.kernel.counting.integers import IntegerStratum, RivalBounds, boxes
from pessimal.kernel.counting.undecided import Undecided, undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.attended import attended_flops, attended_tables
from pessimal.kernel.model.folded import folded_flops, folded_tables, require_folded
from pessimal.kernel.model.heads import separable_heads, separable_heads_flops
from pessimal.kernel.model.logits import Logits
from pessimal.kernel.model.rounding import float32_complaints
from pessimal.kernel.model.tables import PathTables, path_tables, path_tables_flops
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import SOFTMAX_MLP, AbstractRule, CountBound, Progress, kind_of_attention
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed
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
    """Sequences of a box whose largest rival difference may reach zero, some at a time.

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
                others = np.empty((places[0].size, len(allowed)), dtype=np.int64)
                others[:, outer] = prefix
                for group, chosen, index in zip(inner, choices, (places[0] + begin, places[1]), strict=True):
                    others[:, group] = chosen[index]
                yield others


def _groups(sizes: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Positions fixed one choice at a time, and two groups that are not: one position each, or more of few tokens."""
    left = sorted(range(len(sizes)), key=lambda i: sizes[i])
    groups: list[list[int]] = []
    for _ in range(2):
        group = [left.pop()] if left else []
        while left and prod(sizes[i] for i in [*group, left[-1]]) <= GROUP:
            group.append(left.pop())
        groups.append(group)
    return left, groups[1], groups[0]


def _choices(allowed: list[np.ndarray]) -> Int[np.ndarray, "n group"]:
    """Every choice of one token at each position of a group."""
    tables = np.meshgrid(*allowed, indexing="ij")
    return np.stack([table.ravel() for table in tables], 1) if allowed else np.zeros((1, 0), dtype=np.int64)


def _summed(stratum: IntegerStratum, group: list[int], chosen: Int[np.ndarray, "n group"]) -> Int[np.ndarray, "o n"]:
    """Upper sums of every choice, by rival."""
    found = np.zeros((chosen.shape[0], stratum.high.shape[2]), dtype=np.int64)
    for i, tokens in zip(group, chosen.T, strict=True):
        found += stratum.high[i, tokens]
    return found.T.copy()


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
    attention: ClassVar[tuple[str, ...]] = (SOFTMAX, UNIFORM, SOFTMAX_MLP)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Closed form; the weight of a sequence is one product more than that of its prefix, and one addition."""
        hints.only(set(), set())
        shape = architecture.shape
        allowed = _allowed(question)
        plain = kind_of_attention(architecture) == SOFTMAX
        sequences = shape.d_vocab**shape.k if plain else prod(here.size for here in allowed)
        if sequences > MAX_SEQUENCES:
            has = f"{shape.d_vocab}**{shape.k}"
            raise Rejected(Reason.RESOURCES, f"brute force covers at most 64**5 sequences; this task has up to {has}")
        exactly = undecided_ops(shape, question, sequences)
        if not plain:
            return weighed(_summed_cost(architecture, allowed).checked(exactly), question, decisions=sequences)
        # The integers of every stratum are made anew (`integer_stratum.py`).
        integers = OPS_PER_FLOP * shape.d_vocab**2 * question.task.n_outputs * shape.k * shape.d_vocab_out
        cost = brute_force_cost(architecture).checked(exactly + integers)
        if shape.n_heads == 1:
            # Every path of a stratum's program is a box of its own.
            n_boxes = sum(queries * program.visits() for program, queries in strata_of(question.task).all_kinds())
            cost = cost.checked(OPS_PER_VISIT * min(sequences, n_boxes))
        if question.semantics != REAL:
            flops, exps = separable_heads_flops(architecture, question.semantics)
            bias = 2 * strata_of(question.task).number * shape.k * shape.d_vocab * shape.d_vocab_out
            cost = cost.plus(flops + bias, exps)
        return weighed(cost, question, decisions=sequences)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Everything the specification describes; under `float32` what its rounding bound covers."""
        kind = kind_of_attention(weights.architecture)
        if kind != SOFTMAX:
            if question.semantics != REAL:
                raise Rejected(Reason.UNSUPPORTED_MODEL, f"rounding is not bounded for {kind} attention")
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
        del hints
        if weights.architecture.shape.d_vocab_out == 1:
            return CountBound(Fraction(0), 0, decided=True)
        undecided = Undecided(weights, question)
        by_query = _by_query(weights, question, arith, undecided)
        wrong: Counter[tuple[int, int]] = Counter()
        queries = _allowed(question)[-1].tolist()
        for done, q in enumerate(queries):
            wrong.update(by_query(q))
            progress(done + 1, len(queries))
        wrong.update(undecided.by_stratum)
        total = wrong.total()
        return CountBound(Fraction(total), total - undecided.ties, decided=True, strata=wrong)


def _allowed(question: Question) -> list[Int[np.ndarray, " _"]]:
    """By position, the tokens that may stand there; every other sequence weighs nothing."""
    return [question.distribution.tokens(question.task, i) for i in range(question.task.k)]


def _by_query(
    weights: Weights, question: Question, arith: AbstractArithmetic, undecided: Undecided
) -> Callable[[int], dict[tuple[int, int], int]]:
    """Weight of the certainly wrong sequences with a query, by stratum; the undecided ones are passed on."""
    allowed = _allowed(question)
    if kind_of_attention(weights.architecture) == SOFTMAX:
        tables = _tables(weights, arith, question.semantics)
        if len(tables.weight) == 1 and tables.final_bias is None:
            return lambda q: _separable_query(tables, question, q, undecided)
        return lambda q: _in_chunks(_enclosed_verdicts(tables, q, arith), allowed[:-1], q, undecided)
    uniform = weights.architecture.attention == UNIFORM
    logits = Logits(folded_tables(weights, arith) if uniform else attended_tables(weights, arith, allowed))
    return lambda q: _in_chunks(logits.verdicts, allowed[:-1], q, undecided)


def _summed_cost(arch: Architecture, allowed: list[np.ndarray]) -> Cost:
    """Tables; per sequence the sums over positions, the ReLU, the products and one comparison per rival."""
    s = arch.shape
    n, f, o, rows = prod(here.size for here in allowed), s.d_mlp, s.d_vocab_out, sum(here.size for here in allowed)
    if arch.attention == UNIFORM:
        tables, exps, add, entries = folded_flops(arch), 0, (s.k - 1) * (f + o), s.k * s.d_vocab * (f + o)
    else:
        arith = CountingArithmetic()
        attended_tables(blank_weights(arch), arith, allowed)
        tables, exps, add = arith.tally.flops, arith.tally.exps, attended_flops(s)
        entries = s.n_heads * rows * (f + o + allowed[-1].size)
    each = add + (f + matmul(1, f, o) + o if f else 0) + o - 1
    ops = s.n_parameters() + OPS_PER_FLOP * (tables - exps) + OPS_PER_EXP * exps + 4 * n * each
    memory = 64 * (entries + 8 * f * o + table_entries(arch)) + 64 * CHUNK * (f + o) * s.k
    return Cost(tables + n * each, ops, n * o, memory)


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
    """One head, no final bias."""
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
        for allowed in boxes(program, strata.letter[y]):
            if stratum.lost:
                undecided.add_box(allowed, q)
                continue
            for others in not_certainly_right(stratum, allowed):
                sure = stratum.certainly_wrong(others)
                wrong[q, y] += undecided.weighing.sequences(others[sure], q)
                undecided.add(others[~sure], q)
    return wrong


def _in_chunks(
    verdicts: Verdicts, allowed: list[np.ndarray], q: int, undecided: Undecided
) -> dict[tuple[int, int], int]:
    """The same from verdicts on tokens and targets: which are certainly right, and which certainly wrong."""
    wrong: Counter[tuple[int, int]] = Counter()
    sizes = [here.size for here in allowed]
    count = prod(sizes)
    for begin in range(0, count, CHUNK):
        index = np.arange(begin, min(begin + CHUNK, count))
        others = np.empty((index.size, len(allowed)), dtype=np.int64)
        for i, here in enumerate(allowed):
            others[:, i] = here[index // prod(sizes[:i]) % sizes[i]]
        tokens = np.concatenate([others, np.full((len(others), 1), q)], axis=1)
        target = undecided.task.target(tokens)
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


def brute_force_cost(arch: Architecture) -> Cost:
    """Tables, G per query (2 per entry), and per sequence one addition and one comparison per rival.

    Partial sums over all positions but the last are shared: at most one more addition per rival for each prefix.
    Several heads or final biases add the division and the products of every sequence.
    """
    s = arch.shape
    v, k, o = s.d_vocab, s.k, s.d_vocab_out
    flops, exps = path_tables_flops(arch)
    general = s.n_heads > 1 or arch.ln_final
    sequences = v**k
    flops += 2 * v * v * k * o + sequences * 2 * (o - 1) + v ** max(k - 1, 0) * (o - 1)
    if general:
        flops += sequences * (s.n_heads * (2 * k + 2) * (o + s.d_model) + 3 * s.d_model + 2 * o + 2)
    ops = s.n_parameters() + sequences * 2 * (o - 1) + OPS_PER_FLOP * 4 * v * v * k * o + OPS_PER_EXP * exps
    ops += general * OPS_PER_FLOP * sequences * (s.n_heads * (2 * k + 2) * (o + s.d_model))
    per_chunk = 4096 * (o + s.d_model) * k * 4 if general else 1 << 22
    held = v * v * k * s.n_heads + v * k * o * s.n_heads + per_chunk
    return Cost(flops, ops, v**k * o, 64 * (held + table_entries(arch)))
