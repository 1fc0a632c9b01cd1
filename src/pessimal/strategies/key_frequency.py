"""Key frequencies of modular addition: which ones, which neurons are read for them, and through how many directions."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

from pessimal.kernel.hints import Hints
from pessimal.kernel.model.folded import folded_tables
from pessimal.kernel.rules.interface import AbstractInstance, Progress
from pessimal.kernel.rules.modular.key_frequency import FORM, HIDDEN, READ_OUT, KeyFrequencyRule
from pessimal.search.plain import PlainArithmetic, rounded
from pessimal.search.profiles import profiles_of
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, StrategyError

# Frequencies with less than this share of the energy of the output map are left to the remainder.
ENERGY = 1e-4
EXTRAS = (0, 64, 256, 1024)
BITS = 20
# Nodes of the interval form per half circle.
GRID = 1 << 12


@dataclass(frozen=True)
class KeyFrequency(AbstractStrategy):
    """The logits as waves at the key frequencies, turned to the right answer; everything else is bounded.

    Options that are not given are searched, short proofs first, until one certifies every input.

    Attributes:
        frequencies: how many, those with the most energy first (default: all with more than 1e-4 of it).
        extra: neurons read beyond their own frequency, as (neuron, frequency) pairs, those with the largest reach
            first.
        columns: directions through which pre-activations are computed, singular vectors of W_in; 0: exact.
        read_out: what neurons write beside the key frequencies: `bounded` by norms or `exact`.
        hidden: how activations are evaluated: `neurons`, one by one; `profiles`, one for several neurons;
            `quadrature`, one integral per frequency.
        profiles: how many, with `hidden=profiles`.
        terms: moments of the quadrature's bound; 0: its interval form.
        budget: largest number of flops (default: any).

    Soundness: `kernel.rules.modular.key_frequency`, for every hint.
    Cost: 2 d_vocab^2 per neuron, 4 d_vocab^2 per pair, and folding: about d_vocab d_model^2 + d_model d_mlp
        (columns + 4 frequencies).
    Source: new.
    """

    name: ClassVar[str] = "key-frequency"
    rule: ClassVar[str] = "key-frequency"
    asymptotic: ClassVar[str] = "O(v m^2 + m f n + v^2 f)"
    source: ClassVar[str] = "new"
    summary: ClassVar[str] = "modular addition: waves at the key frequencies, turned to the answer; the rest bounded"

    frequencies: int | None = None
    extra: int | None = None
    columns: int | None = None
    read_out: str | None = None
    hidden: str = HIDDEN[0]
    profiles: int = 96
    terms: int = 20
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers out of range."""
        self._require_words(read_out=READ_OUT, hidden=HIDDEN)
        self._require_numbers(1, None, "frequencies", "profiles")
        self._require_numbers(0, None, "extra", "columns", "terms")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The shortest that certifies every input, or those that certify most."""
        trials = self._within(self.budget, self._trials(weights), weights, question)
        best: tuple[int, Hints] | None = None
        for done, one in enumerate(trials):
            wrong, hints = _refined(weights, question, one, self.budget)
            if best is None or wrong < best[0]:
                best = wrong, hints
            progress(done + 1, len(trials))
            if not wrong:
                break
        if best is None:
            raise StrategyError("there is nothing to try")
        return best[1]

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of the shortest proof with these options."""
        return min(self._flops(one, weights, question) for one in self._trials(weights))

    def _trials(self, weights: Weights) -> list[Hints]:
        """What is tried, short before long."""
        shape = weights.architecture.shape
        for field, most in (("frequencies", (shape.d_vocab - 1) // 2), ("columns", shape.d_model)):
            if (getattr(self, field) or 0) > most:
                raise StrategyError(f"option {field}={getattr(self, field)} is more than this model's {most}")
        model = _ModularWeights(weights)
        chosen = model.key_frequencies(self.frequencies)
        exact = [self.columns] if self.columns is not None else [min(4 * len(chosen) + 2, shape.d_model), 0]
        read = [self.read_out] if self.read_out is not None else list(READ_OUT)
        every = shape.d_mlp * len(chosen)
        extras = {"neurons": [*EXTRAS, every], "profiles": [every], "quadrature": [0]}[self.hidden]
        extras = extras if self.extra is None else [self.extra]
        folds = [(c, r) for c, r in product(exact, read) if (c == 0) == (r == "exact")] or list(product(exact, read))
        extras = list(dict.fromkeys(min(one, shape.d_mlp * (len(chosen) - 1)) for one in extras))
        return [
            self._hidden(model, model.hints(chosen, extra, columns, read_out))
            for (columns, read_out), extra in product(folds, extras)
        ]

    def _hidden(self, model: "_ModularWeights", hints: Hints) -> Hints:
        """Hints with those of the way to evaluate activations."""
        if self.hidden == "profiles":
            return model.with_profiles(hints, self.profiles)
        return model.with_quadrature(hints, self.terms) if self.hidden == "quadrature" else hints


class _ModularWeights:
    """What the search needs of a model, in float64."""

    def __init__(self, weights: Weights) -> None:
        self.w_in = np.asarray(weights["W_in"], dtype=np.float64)
        self.w_out = np.asarray(weights["W_out"], dtype=np.float64)
        self.unembed = np.asarray(weights["W_U"], dtype=np.float64)
        self.p = self.unembed.shape[1]
        self.waves = self._waves(np.arange(1, max((self.p - 1) // 2, 1) + 1))
        self.out = self.w_out @ self.unembed @ self.waves
        arith = PlainArithmetic()
        with arith.running():
            pre = folded_tables(weights, arith, output=False).pre
        self.pre = np.zeros((2, self.p, len(self.out))) if pre is None else pre.bounds()[0]

    def _waves(self, frequencies: Int[np.ndarray, " n"]) -> Complex[np.ndarray, "p n"]:
        return np.asarray(2 / self.p * np.exp(2j * np.pi / self.p * np.outer(np.arange(self.p), frequencies)))

    def key_frequencies(self, count: int | None) -> Int[np.ndarray, " n"]:
        """Frequencies with the most energy, in rising order."""
        energy = (np.abs(self.out) ** 2).sum(0)
        order = np.argsort(-energy, kind="stable")
        share = energy / max(energy.sum(), np.finfo(float).tiny)
        n = count if count is not None else max(1, int((share > ENERGY).sum()))
        return np.asarray(np.sort(order[:n]) + 1)

    def hints(self, chosen: Int[np.ndarray, " n"], extra: int, columns: int, read_out: str) -> Hints:
        """Hints that look at no input by itself: every difference class is coarse."""
        out, n = self.out[:, chosen - 1], len(chosen)
        # The largest pre-activation is about the norm of a neuron's weights times a number all neurons share.
        reach = np.abs(out) * np.linalg.norm(self.w_in, axis=0)[:, np.newaxis]
        kept = np.zeros(out.shape, dtype=bool)
        kept[np.arange(len(out)), np.abs(out).argmax(1)] = True
        kept.ravel()[np.argsort(np.where(kept, -1.0, reach).ravel(), kind="stable")[::-1][:extra]] = True
        arrays = {"frequencies": chosen.astype(np.int64), "kept": np.flatnonzero(kept)}
        if columns:
            arrays["directions"] = rounded(np.linalg.svd(self.w_in, full_matrices=False)[0][:, :columns], BITS)
            columns = arrays["directions"].shape[1]
        if read_out == "bounded":
            written = self.unembed @ self.waves[:, chosen - 1]
            waves = np.concatenate([written.real, written.imag], axis=1)
            arrays["shrink"] = rounded(np.linalg.pinv(waves.T @ waves), BITS)
        options: dict[str, int | str] = {
            "read_out": read_out,
            "hidden": "neurons",
            "columns": columns,
            "frequencies": n,
        }
        return Hints(options | {"kept": int(kept.sum()), "fine": 0}, arrays)

    def with_profiles(self, hints: Hints, count: int) -> Hints:
        """Profiles of the neurons with one own frequency."""
        out = np.abs(self.out[:, hints.arrays["frequencies"] - 1])
        tables = self.pre.transpose(2, 0, 1).reshape(len(out), -1)
        shared = profiles_of(tables, np.linalg.norm(out, axis=1), out.argmax(1), count)
        arrays = {
            "profile": shared.profile,
            "scale": rounded(shared.scale[np.newaxis], BITS)[0],
            "share": rounded(shared.share[np.newaxis], BITS)[0],
        }
        options = {**hints.options, "hidden": "profiles", "profiles": int(shared.profile.max()) + 1}
        return Hints(options, {**hints.arrays, **arrays})

    def with_quadrature(self, hints: Hints, terms: int) -> Hints:
        """Each neuron reads the mean wave of both positions at the frequency it writes most of."""
        frequencies, n = hints.arrays["frequencies"], len(hints.arrays["frequencies"])
        frequency_of = np.abs(self.out[:, frequencies - 1]).argmax(1)
        waves = self.waves[:, frequencies - 1].conj()
        read = np.einsum("iaf,af->f", self.pre, waves[:, frequency_of]) / 2
        read = np.where(read == 0, np.finfo(np.float32).tiny, read)
        arrays = {**hints.arrays, "read": np.stack([read.real, read.imag])}
        options = {**hints.options, "hidden": "quadrature", "form": FORM[0], "terms": terms}
        if terms:
            return Hints(options, arrays)
        del options["terms"]
        kept = np.zeros(len(frequency_of) * n, dtype=bool)
        kept[hints.arrays.get("kept", np.zeros(0, dtype=np.int64))] = True
        orders, nodes, offsets = [], [], []
        for neurons, column in zip(kept.reshape(-1, n).T, self.out[:, frequencies - 1].T, strict=True):
            order, node, offset = _boxes(np.flatnonzero(neurons), read, np.abs(column))
            orders.append(order)
            nodes.append(node)
            offsets.append(offset)
        arrays |= {"offsets": np.array(offsets, dtype=np.int64)}
        if kept.any():
            arrays |= {"order": np.concatenate(orders), "nodes": np.concatenate(nodes)}
        return Hints({**options, "form": FORM[1], "grid": GRID}, arrays)


def _boxes(
    neurons: Int[np.ndarray, " kept"], read: Complex[np.ndarray, " f"], height: Float[np.ndarray, " f"]
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept"], int]:
    """Order, nodes and offset on the half circle: intervals laid where their middles are nearest to their nodes."""
    if not neurons.size:
        return neurons, neurons, 0
    phase = np.angle(read[neurons]) % np.pi
    order = np.argsort(phase, kind="stable")
    nodes = np.rint(phase[order] / np.pi * GRID).astype(np.int64)
    width = (np.abs(read) * height)[neurons][order]
    width = width / max(width.sum(), np.finfo(float).tiny) * GRID
    return neurons[order], nodes, int(np.rint(np.median(nodes - np.cumsum(width) + width / 2)))


def _refined(weights: Weights, question: Question, hints: Hints, budget: int | None) -> tuple[int, Hints]:
    """Inputs that are not certified, and the hints with the differences where looking at every input helps."""
    coarse = _lost(weights, question, hints)
    if not coarse.any():
        return 0, hints
    p = len(coarse)
    fine = _lost(weights, question, _with_fine(hints, np.ones(p, dtype=bool)))
    better = fine < coarse
    refined = _with_fine(hints, better)
    if budget is not None and _instance(weights, question, refined).cost().flops > budget:
        return int(coarse.sum()), hints
    return int(np.where(better, fine, coarse).sum()), refined


def _instance(weights: Weights, question: Question, hints: Hints) -> AbstractInstance:
    return KeyFrequencyRule().read(hints, weights.architecture, question)


def _with_fine(hints: Hints, fine: Bool[np.ndarray, " p"]) -> Hints:
    options = {**hints.options, "fine": int(fine.sum())}
    return Hints(options, {**hints.arrays, "fine": np.flatnonzero(fine)} if fine.any() else hints.arrays)


def _lost(weights: Weights, question: Question, hints: Hints) -> Int[np.ndarray, " p"]:
    """Inputs the rule would not count, without rounding, by difference a - b."""
    instance, arith = _instance(weights, question, hints), PlainArithmetic()
    p = weights.architecture.shape.d_vocab
    with arith.running():
        strata = instance.bound(weights, arith).strata
    lost = np.zeros(p, dtype=np.int64)
    for (b, y), count in strata.items():
        lost[(y - 2 * b) % p] += int(count)
    return lost
