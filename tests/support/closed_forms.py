"""Lengths in closed form: a second opinion on what a run over shapes counts.

Contents:
    additive_tables_flops, folded_flops — of tables, by architecture.
    cubic_flops, position_minima_flops — of two rules.
"""

from pessimal.kernel.cost import matmul
from pessimal.kernel.strata.program import Program
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.task import AbstractTask


def _times_both(n: int, a: int, b: int, c: int) -> int:
    """[n, a] @ [a, b] @ [b, c] from the shorter side."""
    return min(matmul(n, a, b) + matmul(n, b, c), matmul(a, b, c) + matmul(n, a, c))


def _columns(arch: Architecture) -> int:
    """The unembedding with a final LayerNorm or RMSNorm and its gain folded in."""
    m, o = arch.shape.d_model, arch.shape.d_vocab_out
    if arch.ln_final == "rms":
        return o * m + m * o
    return (matmul(o, m, 1) + 2 * o * m + m * o) if arch.ln_final else 0


def _direct(arch: Architecture, columns: int) -> int:
    s = arch.shape
    flops = ("b_O" in arch.biases) * s.d_vocab * s.d_model + matmul(s.d_vocab, s.d_model, columns)
    flops += ("b_V" in arch.biases) * s.n_heads * (matmul(1, s.d_head, s.d_model) + s.d_vocab * s.d_model)
    return flops + ("b_U" in arch.biases and not arch.ln_final) * s.d_vocab * columns


def additive_tables_flops(arch: Architecture) -> int:
    """Operations of `kernel.model.tables.additive_tables`."""
    s = arch.shape
    v, k, m, o = s.d_vocab, s.k, s.d_model, s.d_vocab_out
    flops = v * m + _times_both(v, m, s.d_head, m) + ("b_Q" in arch.biases) * (matmul(1, s.d_head, m) + v * m)
    flops += matmul(v, m, v) + matmul(v, m, k) + v * (2 * v - 1) + v * (2 * k - 1)
    scaled = arch.attn_scale != "1"
    exps = v * v + v * k
    flops += (arch.scale() is None) + scaled * exps + exps + _columns(arch)
    flops += _times_both(v + k, m, s.d_head, m) + matmul(v, m, o) + matmul(k, m, o)
    return flops + _direct(arch, o)


def folded_flops(arch: Architecture) -> int:
    """Operations of `kernel.model.folded.folded_tables`."""
    s, has = arch.shape, set(arch.biases)
    v, k, m, f, o = s.d_vocab, s.k, s.d_model, s.d_mlp, s.d_vocab_out

    def through(n: int, *, bias: bool) -> int:
        return matmul(2 * v + k + 1, m, n) + (v + k) * n + bias * n + (k + 2) * v * n

    flops = s.n_heads * matmul(m, s.d_head, m) + (s.n_heads - 1) * m * m + matmul(v + k, m, m)
    flops += ("b_O" in has) * m + ("b_V" in has) * s.n_heads * (matmul(1, s.d_head, m) + m)
    if not f:
        return flops + through(o, bias="b_U" in has)
    flops += through(f, bias="b_in" in has) + through(o, bias=bool(has & {"b_U", "b_out"})) + matmul(f, m, o)
    return flops + ("b_out" in has) * matmul(1, m, o) + (has >= {"b_U", "b_out"}) * o


def cubic_flops(arch: Architecture) -> int:
    """About K v^3 / 3 comparisons and the per-path margins."""
    s = arch.shape
    v, k, r = s.d_vocab, s.k, s.d_vocab_out - 1
    n = k - 1
    flops = additive_tables_flops(arch) + v * (n - 1) + 2 * v * (n - 1)
    for y in range(v):
        w = y + 1
        flops += k * r + (k - 1) * r + 2 * w * r
        flops += 2 * w * r + w * (r - 1) * 2 - w * r + 2 * w * w
        flops += 3 * w * r + 2 * w + 2 * w * r + w * r + w * r
        if y > 0:
            flops += w + 2 * (3 * w * (n - 1) + w) + w * n + 2 * w * n * y
    return flops


def position_minima_flops(arch: Architecture, task: AbstractTask) -> int:
    """Three operations per (y, q, t, i, o), and the passes over the programs; one head without LayerNorm before it."""
    s, strata = arch.shape, strata_of(task)
    v, n, r = s.d_vocab, s.k - 1, s.d_vocab_out - 1
    flops = additive_tables_flops(arch) + s.k * v * s.d_vocab_out + v * (s.k * v)
    for y in range(task.n_outputs):
        w = sum(strata.letter_counts[y])
        kinds = [(program, len(queries)) for program, queries in strata.by_query(y, s.d_vocab)]
        flops += bool(kinds) * n * w * r
        for program, queries in kinds:
            used = {letter for layer in program.layers for _, letters in layer for letter in letters}
            minima = sum(strata.letter_counts[y][letter] - 1 for letter in used)
            flops += queries * (4 * r + 2 * n * w * r + n * minima * r + r * _program_flops(program))
    return flops


def _program_flops(program: Program) -> int:
    """Operations per rival for the smallest sum through every move."""
    sets = {letters for layer in program.layers for _, letters in layer}
    n = len(program.layers)
    flops = sum(n * (len(letters) - 1) for letters in sets)

    def passes(some: Program, extra: int) -> int:
        moves = [len(layer) for layer in some.layers]
        states = [len({target for (_, target), _ in layer}) for layer in some.layers]
        return sum(m - s for m, s in zip(moves, states, strict=True)) + sum(moves[1:]) + extra * moves[0]

    moves = [len(layer) for layer in program.layers]
    flops += passes(program, 1) + passes(program.reversed(), 0)
    return flops + sum(moves) + sum(moves[:-1]) + sum(moves)
