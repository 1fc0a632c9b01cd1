"""Float32 executions of the forward pass, for tests: any order, fused or not, exp off by as much as is allowed.

Numbers are float64 arrays that hold float32 values: a sum, product or quotient of two of them rounded to float64 and
then to float32 is correctly rounded (53 >= 2 * 24 + 2 bits); a fused product is rounded to odd first. `Adversary` is
stronger than any machine: every operation is off by almost u, with signs of its own choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.model.heads import Head
from pessimal.spec import Weights
from pessimal.spec.semantics import EXP_FLUSH, EXP_ULPS, SHIFT

U = 2.0**-24


class Execution:
    """One machine: how it rounds, and in which order it adds; every choice from one generator."""

    def __init__(self, seed: int, *, exp_ulps: int = EXP_ULPS) -> None:
        self.rng = np.random.default_rng(seed)
        self.exp_ulps = exp_ulps

    def round(self, x: np.ndarray) -> np.ndarray:
        """To nearest float32."""
        return np.asarray(x).astype(np.float32).astype(np.float64)

    def fused(self, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """ab + c with one rounding: to odd in float64, then to nearest."""
        p = a * b  # exact: 48 bits
        total = p + c
        part = total - p
        rest = (p - (total - part)) + (c - part)
        even = (np.asarray(total).view(np.int64) & 1) == 0
        odd = np.where((rest != 0) & even, np.nextafter(total, np.where(rest > 0, np.inf, -np.inf)), total)
        return self.round(odd)

    def sum(self, parts: list[np.ndarray]) -> np.ndarray:
        """A sum in a random association of a random order."""
        parts = [parts[i] for i in self.rng.permutation(len(parts))]
        kind = self.rng.integers(3)
        while len(parts) > 1:
            i, j = (0, 1) if kind == 0 else (len(parts) // 2 - 1, -1) if kind == 1 else sorted(
                self.rng.choice(len(parts), 2, replace=False)
            )  # fmt: skip
            second, first = parts.pop(j), parts.pop(i)
            parts.insert(0, self.round(first + second))
        return parts[0]

    def dot(self, pairs: list[tuple[np.ndarray, np.ndarray]], others: Sequence[np.ndarray] = ()) -> np.ndarray:
        """Sum of products and of other numbers: blocks of chains, fused or not, then a sum."""
        order, blocks = self.rng.permutation(len(pairs)), []
        while order.size:
            size = int(self.rng.integers(1, order.size + 1))
            head, order = order[:size], order[size:]
            fused = self.rng.random() < 0.5
            total = self.round(pairs[head[0]][0] * pairs[head[0]][1])
            for j in head[1:]:
                a, b = pairs[j]
                total = self.fused(a, b, total) if fused else self.round(total + self.round(a * b))
            blocks.append(total)
        return self.sum([*blocks, *others])

    def matmul(self, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """Rows of x times w, plus a bias."""
        pairs = [(x[..., j, np.newaxis], w[j]) for j in range(w.shape[0])]
        return self.dot(pairs, () if bias is None else (np.broadcast_to(bias, (*x.shape[:-1], w.shape[1])),))

    def exp(self, x: np.ndarray) -> np.ndarray:
        """Off by up to `exp_ulps`, each entry on its own; sometimes flushed where that is allowed."""
        nearest = np.exp(x).astype(np.float32)
        off = self.rng.choice([-1, 0, 1], nearest.shape) * max(self.exp_ulps - 1, 0)
        moved = np.maximum(nearest.astype(np.float64) + off * np.spacing(nearest).astype(np.float64), 0.0)
        if self.rng.random() < 0.5:
            moved = np.where(np.exp(x) <= 2.0**EXP_FLUSH * (1 - 2.0**-20), 0.0, moved)
        return np.asarray(moved)

    def shift(self, scores: np.ndarray) -> np.ndarray:
        """The row's maximum, nothing, or something near the maximum."""
        top = scores.max(-1, keepdims=True)
        kind = self.rng.integers(3)
        if kind == 0:
            return top
        near = self.round(top + self.rng.uniform(-0.9, 0.9) * SHIFT)
        return near if kind == 1 else np.where(np.abs(top) <= SHIFT, 0.0, top)

    def logits(self, weights: Weights, tokens: np.ndarray) -> np.ndarray:
        """Logits of sequences `[n, K]`, `[n, d_vocab_out]`."""
        with np.errstate(all="ignore"):
            return self._logits(weights, tokens)

    def _logits(self, weights: Weights, tokens: np.ndarray) -> np.ndarray:
        t = {name: array.astype(np.float64) for name, array in weights.tensors.items()}
        shape = weights.architecture.shape
        x = self.round(t["W_E"][tokens] + t["W_pos"][: shape.k])
        mixed = []
        for h in range(shape.n_heads):
            bias = {n: t[f"b_{n}"][h] if f"b_{n}" in t else None for n in "QKV"}
            q = self.matmul(x[:, -1], t["W_Q"][h], bias["Q"])
            k, v = (self.matmul(x, t[f"W_{n}"][h], bias[n]) for n in "KV")
            attention = self._attention(self._scores(weights, q, k))
            pairs = [(attention[:, i, np.newaxis], v[:, i]) for i in range(shape.k)]
            mixed.append(self.dot(pairs))
        z, w_o = np.concatenate(mixed, -1), t["W_O"].reshape(-1, shape.d_model)
        pairs = [(z[:, j, np.newaxis], w_o[j]) for j in range(w_o.shape[0])]
        others = [x[:, -1]] + ([np.broadcast_to(t["b_O"], x[:, -1].shape)] if "b_O" in t else [])
        return self.matmul(self.dot(pairs, others), t["W_U"], t.get("b_U"))

    def _scores(self, weights: Weights, q: np.ndarray, k: np.ndarray) -> np.ndarray:
        d = weights.architecture.shape.d_head
        place = self.rng.integers(4) if weights.architecture.attn_scale != "1" else -1
        root = self.round(np.sqrt(np.float64(d)))
        inverse = self.round(1 / root)
        if place == 0:
            q = self.round(q / root)
        elif place == 1:
            k = self.round(k * inverse)
        scores = self.dot([(q[:, np.newaxis, j], k[..., j]) for j in range(d)])
        if place == 2:
            scores = self.round(scores / root)
        return self.round(scores * inverse) if place == 3 else scores

    def _attention(self, scores: np.ndarray) -> np.ndarray:
        shifted = self.round(scores - self.shift(scores))
        e = self.exp(shifted)
        again = e if self.rng.random() < 0.5 else self.exp(shifted)
        total = self.sum([again[:, i] for i in range(again.shape[1])])[:, np.newaxis]
        if self.rng.random() < 0.5:
            return self.round(e / total)
        return self.round(e * self.round(1 / total))


def right_in_runs(
    weights: Weights, tokens: np.ndarray, target: np.ndarray, seeds: range
) -> tuple[np.ndarray, np.ndarray]:
    """Which sequences every one of some executions gets right, and which at least one does."""
    rows = np.arange(len(tokens))
    right, ever = np.ones(len(tokens), dtype=bool), np.zeros(len(tokens), dtype=bool)
    for seed in seeds:
        logits = Execution(seed).logits(weights, tokens)
        mine = logits[rows, target].copy()
        logits[rows, target] = -np.inf
        ok = mine > logits.max(1)
        right, ever = right & ok, ever | ok
    return right, ever


class Adversary(Execution):
    """Every operation on every entry off by almost u, relatively, with signs from a list."""

    def __init__(self, seed: int, signs: np.ndarray, *, exp_ulps: int = EXP_ULPS) -> None:
        super().__init__(seed, exp_ulps=exp_ulps)
        self.signs, self.count = signs, 0

    def round(self, x: np.ndarray) -> np.ndarray:
        self.count += 1
        places = (7 * self.count + 31 * np.arange(x.size)) % self.signs.size
        return np.asarray(x * (1 + self.signs[places].reshape(x.shape) * U * (1 - 2.0**-20)))

    def fused(self, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        return self.round(a * b + c)


@dataclass(frozen=True)
class Box:
    """What the tables say of every execution: bounds of logit differences, exact fractions."""

    heads: list[Head]
    direct: AbstractEnclosure

    def margin(self, tokens: Sequence[int], y: int, o: int) -> tuple[Fraction, Fraction] | None:
        """Least and greatest logit_y - logit_o; None where lost."""
        q = tokens[-1]
        d_lo, d_hi = self.direct[q].bounds()
        low, high = _difference(d_lo, d_hi, y, o)
        ends = [low, high]
        for head in self.heads:
            w_lo, w_hi = (part[range(len(tokens)), tokens] for part in head.weight(q).bounds())
            v_lo, v_hi = (part[range(len(tokens)), tokens] for part in head.value.bounds())
            if not all(np.isfinite(part).all() for part in (w_lo, w_hi, v_lo, v_hi, d_lo, d_hi)):
                return None
            margins = [_difference(lo, hi, y, o) for lo, hi in zip(v_lo, v_hi, strict=True)]
            corners = [(Fraction(a), Fraction(b)) for a, b in zip(w_lo.tolist(), w_hi.tolist(), strict=True)]
            for end, pick in enumerate((min, max)):
                means = [
                    sum(w * m[end] for w, m in zip(ws, margins, strict=True)) / sum(ws)
                    for ws in product(*corners)
                    if sum(ws) > 0
                ]
                ends[end] = ends[end] + pick(means)
        return ends[0], ends[1]


def _difference(lo: np.ndarray, hi: np.ndarray, y: int, o: int) -> tuple[Fraction, Fraction]:
    if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
        return Fraction(0), Fraction(0)
    return Fraction(lo[y]) - Fraction(hi[o]), Fraction(hi[y]) - Fraction(lo[o])
