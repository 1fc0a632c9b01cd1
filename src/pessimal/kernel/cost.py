r"""Proof length (ADR 0002), counted by running a rule over shapes (ADR 0006).

`flops`: nominal real operations of the rule on these shapes; elementwise 1 per entry, reductions n - 1, scans n - 1,
matrix product ac(2b - 1), exp 1; hints and search free. `checker_ops`: everything a checker does: reading each weight
and hint once, every operation at both ends of its enclosure with its outward rounding (`OPS_PER_FLOP`), every
exponential (`OPS_PER_EXP`). `unexplained_dims`: numbers the proof treats as a table without structure.

Contents:
    OPS_PER_FLOP, OPS_PER_EXP, OPS_PER_VISIT — operations of a checker for a real operation, an exponential, a step.
    Cost — the three numbers, and the memory.
    Uncounted — what a run over shapes does not show.
    counted_cost, blank_weights — by running a rule over shapes.
    n_strata, matmul — sizes and operations by shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.spec.architecture import Architecture
from pessimal.spec.weights import AXES, Weights

OPS_PER_FLOP = 8
OPS_PER_EXP = 120
# A step of a search in Python, some tens of microseconds.
OPS_PER_VISIT = 1 << 15
# What a check holds beside its numbers: strata, their programs and bounds, some hundred bytes for each.
BYTES_BESIDE = 1 << 18


@dataclass(frozen=True)
class Cost:
    """Length of a proof.

    Attributes:
        flops: nominal real operations.
        checker_ops: elementary operations of a checker.
        unexplained_dims: numbers treated as an unstructured table.
        bytes_needed: memory a checker needs in float64, in bytes, within a factor of two.
    """

    flops: int
    checker_ops: int
    unexplained_dims: int
    bytes_needed: int


@dataclass(frozen=True)
class Uncounted:
    """What a run over shapes does not show of a proof.

    Attributes:
        table_numbers: numbers the proof treats as a table without structure.
        hint_numbers: numbers of advice that are read.
        flops: operations of the proof on integers.
        checker_ops: operations of the checker beside those that are counted and those of weights.
        n_bytes: memory of the integers that are made from the tables.
        decisions: how many decisions are weighed, where sequences do not weigh one each.
        passes: how often the weights of all strata are passed through.
        ops_per_flop: operations of the checker for each one that is counted, exponentials apart; 0 where `checker_ops`
            has those of the tables.
    """

    table_numbers: int
    hint_numbers: int = 0
    flops: int = 0
    checker_ops: int = 0
    n_bytes: int = 0
    decisions: int = 0
    passes: int = 1
    ops_per_flop: int = OPS_PER_FLOP


def n_strata(d_vocab: int) -> int:
    """Number of pairs q <= y."""
    return d_vocab * (d_vocab + 1) // 2


def matmul(a: int, b: int, c: int) -> int:
    """Operations of [a, b] @ [b, c]."""
    return a * c * (2 * b - 1)


def counted_cost(
    arch: Architecture, run: Callable[[Weights, AbstractArithmetic], object], uncounted: Uncounted
) -> Cost:
    """Cost of a rule by running it over shapes (`CountingArithmetic`): exact by construction.

    Args:
        arch: the model's architecture; a model of zeros stands in for it.
        run: what the rule does in its arithmetic; what it returns is held while integers are made.
        uncounted: the rest.

    Raises:
        Rejected: resources, if the rule would hold or make too much even to count.
    """
    # Whoever reads a theorem need not read how its operations are counted.
    from pessimal.kernel.arithmetic.counting import CountingArithmetic  # noqa: PLC0415

    arith = CountingArithmetic()
    tables = run(blank_weights(arch), arith)
    tally = arith.tally
    peak = max(tally.peak, tally.held + uncounted.n_bytes)
    del tables
    ops = arch.shape.n_parameters() + uncounted.hint_numbers + uncounted.checker_ops
    ops += uncounted.ops_per_flop * (tally.flops - tally.exps) + OPS_PER_EXP * tally.exps
    n_bytes = peak + 8 * arch.shape.n_parameters() + BYTES_BESIDE
    return Cost(tally.flops + uncounted.flops, ops, uncounted.table_numbers, n_bytes)


def blank_weights(arch: Architecture) -> Weights:
    """Tensors of the right shapes, all zero and without memory."""
    sizes = {"h": arch.shape.n_heads, "v": arch.shape.d_vocab, "o": arch.shape.d_vocab_out, "p": arch.n_ctx,
             "m": arch.shape.d_model, "d": arch.shape.d_head, "f": arch.shape.d_mlp}  # fmt: skip
    gains = {"ln1_w": arch.ln1, "ln_final_w": arch.ln_final}
    mlp = {"W_in", "W_out"} if not arch.shape.d_mlp else set()
    names = [n for n in AXES if (n.startswith("W_") and n not in mlp) or n in arch.biases or gains.get(n)]
    tensors = {n: np.broadcast_to(np.float32(0), tuple(sizes[axis] for axis in AXES[n].split())) for n in names}
    return Weights(tensors, arch, "", {})
