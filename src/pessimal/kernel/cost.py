r"""Proof length (ADR-0002).

`flops`: nominal real operations of the rule on these shapes; elementwise 1 per entry, reductions n - 1, scans n - 1,
matrix product ac(2b - 1), exp 1; hints and search free. Tests compare every formula with `CountingArithmetic`.
`checker_ops`: everything a checker does: reading each weight and hint once, every operation at both ends of its
enclosure with its outward rounding (`OPS_PER_FLOP`), every exponential (`OPS_PER_EXP`). `unexplained_dims`: numbers
the proof treats as a table without structure.

Contents:
    Cost — the three numbers, and the memory.
    matmul, exclusive_max, n_strata, left_first, times_both_flops — operations and sizes by shape.
    table_cost, table_entries — of a rule that works on tables.
    counted_cost, blank_weights — by running a rule over shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pessimal.kernel.arithmetic.counting import CountingArithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import UNIFORM, Architecture
from pessimal.spec.weights import AXES, Weights

OPS_PER_FLOP = 8
OPS_PER_EXP = 120
# A step of a search in Python, some tens of microseconds.
OPS_PER_VISIT = 1 << 15
# Arrays that are indexed while a rule is counted are as long.
MAX_ENTRIES = 1 << 28


@dataclass(frozen=True)
class Cost:
    """Length of a proof.

    Attributes:
        flops: nominal real operations.
        checker_ops: elementary operations of a checker.
        unexplained_dims: numbers treated as an unstructured table.
        bytes_needed: memory a checker needs at most, in bytes (an estimate from shapes).
    """

    flops: int
    checker_ops: int
    unexplained_dims: int
    bytes_needed: int

    def plus(self, flops: int, exps: int) -> "Cost":
        """The same with further operations on enclosures, `exps` of them exponentials."""
        ops = OPS_PER_FLOP * (flops - exps) + OPS_PER_EXP * exps
        return Cost(self.flops + flops, self.checker_ops + ops, self.unexplained_dims, self.bytes_needed)

    def checked(self, ops: int) -> "Cost":
        """The same with further operations of the checker that are none of the proof."""
        return replace(self, checker_ops=self.checker_ops + ops)


def n_strata(d_vocab: int) -> int:
    """Number of pairs q <= y."""
    return d_vocab * (d_vocab + 1) // 2


def matmul(a: int, b: int, c: int) -> int:
    """[a, b] @ [b, c]."""
    return a * c * (2 * b - 1)


def exclusive_max(n: int) -> int:
    """Largest of the other entries, for each of n."""
    return 3 * n - 2


def left_first(n: int, a: int, b: int, c: int) -> bool:
    """Whether [n, a] @ [a, b] @ [b, c] takes fewer operations from the left than from the right."""
    return matmul(n, a, b) + matmul(n, b, c) < matmul(a, b, c) + matmul(n, a, c)


def times_both_flops(n: int, a: int, b: int, c: int) -> int:
    """[n, a] @ [a, b] @ [b, c] from the shorter side (`tables.times_both`)."""
    return min(matmul(n, a, b) + matmul(n, b, c), matmul(a, b, c) + matmul(n, a, c))


def table_cost(arch: Architecture, flops: int, exps: int, dims: int, *, hints: int = 0, entries: int) -> Cost:
    """Cost of a rule that works on tables: `exps` of the flops are exponentials, `entries` are those beside tables."""
    ops = arch.shape.n_parameters() + hints + OPS_PER_FLOP * (flops - exps) + OPS_PER_EXP * exps
    return Cost(flops, ops, dims, 64 * (entries + table_entries(arch)))


def table_entries(arch: Architecture) -> int:
    """Numbers that the tables and what leads to them hold at once, with what a number needs: 64 bytes for each."""
    s = arch.shape
    v, m, o = s.d_vocab, s.d_model, s.d_vocab_out
    # Measured at v = 1,024: 100 bytes per entry at the peak; 256 are granted.
    found = 4 * (v * v + 2 * v * o + s.k * (v + o)) + 8 * s.n_parameters()
    if arch.ln1 or s.n_heads > 1:
        found += (3 + s.n_heads) * s.k * v * (v + o)
    # These take a table of the residual stream by itself.
    final_bias = arch.ln_final and not {"b_U", "ln_final_b"}.isdisjoint(arch.biases)
    square = arch.ln1 or final_bias or arch.attention == UNIFORM
    return found + 4 * square * m * m + 4 * (arch.ln1 or final_bias) * s.k * v * m


def counted_cost(
    arch: Architecture, run: Callable[[Weights, AbstractArithmetic], object], dims: int, *, hints: int, entries: int
) -> Cost:
    """Cost of a rule by running it over shapes (`CountingArithmetic`): exact by construction.

    Args:
        arch: the model's architecture; a model of zeros stands in for it.
        run: the rule's bound.
        dims: numbers the proof treats as a table without structure.
        hints: numbers of advice.
        entries: numbers held at once, beside the tables; bounded before anything runs.

    Raises:
        Rejected: resources, if the tables would be too large even to count.
    """
    if entries > MAX_ENTRIES:
        raise Rejected(Reason.RESOURCES, f"the rule would hold {entries} numbers at once, allowed are {MAX_ENTRIES}")
    arith = CountingArithmetic()
    run(blank_weights(arch), arith)
    return table_cost(arch, arith.tally.flops, arith.tally.exps, dims, hints=hints, entries=entries)


def blank_weights(arch: Architecture) -> Weights:
    """Tensors of the right shapes, all zero and without memory."""
    sizes = {"h": arch.shape.n_heads, "v": arch.shape.d_vocab, "o": arch.shape.d_vocab_out, "p": arch.n_ctx,
             "m": arch.shape.d_model, "d": arch.shape.d_head, "f": arch.shape.d_mlp}  # fmt: skip
    gains = {"ln1_w": arch.ln1, "ln_final_w": arch.ln_final}
    mlp = {"W_in", "W_out"} if not arch.shape.d_mlp else set()
    names = [n for n in AXES if (n.startswith("W_") and n not in mlp) or n in arch.biases or gains.get(n)]
    tensors = {n: np.broadcast_to(np.float32(0), tuple(sizes[axis] for axis in AXES[n].split())) for n in names}
    return Weights(tensors, arch, "", {})
