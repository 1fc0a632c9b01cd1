r"""Proof length in closed form (ADR-0002).

`flops`: nominal real operations of the rule on these shapes; elementwise 1 per entry, reductions n - 1, scans n - 1,
matrix product ac(2b - 1), exp 1; hints and search free. Tests compare every formula with `CountingArithmetic`.
`checker_ops`: everything a checker does: reading each weight and hint once, every operation at both ends of its
enclosure with its outward rounding (`OPS_PER_FLOP`), every exponential (`OPS_PER_EXP`). `unexplained_dims`: numbers
the proof treats as a table without structure.

Contents:
    Cost — the three numbers, and the memory.
    additive_tables_flops, path_tables_flops, table_entries — the tables.
    left_first, times_both_flops — rows times two matrices.
    brute_force_cost, cubic_cost, position_minima_cost, exponential_moment_cost — one per rule.
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


def centred_flops(n: int, d: int) -> int:
    """Rows of d numbers, n of them, centred (`tables.py`)."""
    return matmul(n, d, 1) + 2 * n * d


def columns_flops(arch: Architecture, *, gain: bool) -> int:
    """The folded unembedding."""
    m, o = arch.shape.d_model, arch.shape.d_vocab_out
    return (centred_flops(o, m) + gain * m * o) if arch.ln_final else 0


def _direct_flops(arch: Architecture, columns: int) -> int:
    s = arch.shape
    flops = ("b_O" in arch.biases) * s.d_vocab * s.d_model + matmul(s.d_vocab, s.d_model, columns)
    flops += ("b_V" in arch.biases) * s.n_heads * (matmul(1, s.d_head, s.d_model) + s.d_vocab * s.d_model)
    return flops + ("b_U" in arch.biases and not arch.ln_final) * s.d_vocab * columns


def additive_tables_flops(arch: Architecture) -> tuple[int, int]:
    """Operations of `tables.additive_tables`, and how many of them are exponentials."""
    s = arch.shape
    v, k, m, o = s.d_vocab, s.k, s.d_model, s.d_vocab_out
    flops = v * m + times_both_flops(v, m, s.d_head, m) + ("b_Q" in arch.biases) * (matmul(1, s.d_head, m) + v * m)
    flops += matmul(v, m, v) + matmul(v, m, k) + v * (2 * v - 1) + v * (2 * k - 1)
    scaled = arch.attn_scale != "1"
    exps = v * v + v * k
    flops += scaled * (1 + exps) + exps
    flops += columns_flops(arch, gain=arch.ln_final)
    flops += times_both_flops(v + k, m, s.d_head, m) + matmul(v, m, o) + matmul(k, m, o)
    return flops + _direct_flops(arch, o), exps


def path_tables_flops(arch: Architecture) -> tuple[int, int]:
    """Operations of `tables.path_tables`, and how many of them are exponentials; per-position tables throughout."""
    s = arch.shape
    v, m, d, o, rows = s.d_vocab, s.d_model, s.d_head, s.d_vocab_out, s.d_vocab * s.k
    final_bias = arch.ln_final and ("ln_final_b" in arch.biases or "b_U" in arch.biases)
    columns = o + (m if final_bias else 0)
    flops = rows * m + columns_flops(arch, gain=arch.ln_final) + final_bias * centred_flops(m, m)
    flops += final_bias * (("b_U" in arch.biases) * o + ("ln_final_b" in arch.biases) * (matmul(1, m, o) + o))
    flops += arch.ln1 * (centred_flops(rows, m) + rows * (5 * m + 2))
    per_head = ("b_Q" in arch.biases) * (matmul(1, d, m) + v * m) + matmul(v, m, rows)
    per_head += matmul(m, d, m) + matmul(v, m, m) if arch.ln1 else times_both_flops(v, m, d, m)
    per_head += v * (2 * rows - 1) + v * rows + (arch.attn_scale != "1") * (1 + v * rows)
    per_head += matmul(rows, m, columns)
    per_head += times_both_flops(m, d, m, columns) if arch.ln1 else times_both_flops(rows, m, d, m)
    return flops + s.n_heads * per_head + _direct_flops(arch, columns), s.n_heads * v * rows


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


def cubic_cost(arch: Architecture) -> Cost:
    """About K v**3 / 3 comparisons and the per-path margins."""
    s = arch.shape
    v, k, r = s.d_vocab, s.k, s.d_vocab_out - 1
    n = k - 1
    flops, exps = additive_tables_flops(arch)
    flops += v * (n - 1) + 2 * v * (n - 1)  # sorting and the two running sums
    for y in range(v):
        w = y + 1
        flops += k * r + (k - 1) * r + 2 * w * r  # position, token and direct margins
        flops += 2 * w * r + w * (r - 1) * 2 - w * r + 2 * w * w  # r, c, h
        flops += 3 * w * r + 2 * w + 2 * w * r + w * r + w * r  # n = 0
        if y > 0:
            flops += w + 2 * (3 * w * (n - 1) + w) + w * n + 2 * w * n * y
    dims = 3 * v * v + 2 * k * v
    return table_cost(arch, flops, exps, dims, entries=8 * v * v * k)


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
