"""Grokking of modular addition: progress measures, phases and bounds along one run, beside the published numbers.

Contents:
    ModularAdditionProgress — the reproduction; its configuration names the run.
    ModularAdditionRows — its numbers.
    Checkpoint, Circuit, Ablations — those of one checkpoint; what the last one says of the circuit.
    PUBLISHED — what the literature reports for p = 113.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pessimal.analysis.modular.progress import Progress, progress
from pessimal.analysis.modular.progress_neurons import ablations, read_shares
from pessimal.analysis.modular.progress_phases import Curves, Phases, phases
from pessimal.circuits.modular.forward import forward
from pessimal.circuits.modular.tables import output_map
from pessimal.circuits.modular.waves import clusters, key_frequencies
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.modular.modular_runs import (
    RUN,
    Bound,
    bound_cell,
    bounds_at,
    modular_run,
    read_keys,
    strategies_of,
)
from pessimal.reproductions.record import INLINE, Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import Weights

KINDS = ("neurons", "output")
# Fewer neurons than this at a frequency are strays.
LEAST = 5
# Of the energy of W_L: a frequency with less is not one that the model writes.
OUTPUT_SHARE = 0.01
# Nanda et al. 2023, the mainline run (p = 113, three tokens, 40,000 epochs).
PUBLISHED: dict[str, str] = {
    "key_frequencies": "14, 35, 41, 42, 52",
    "neurons": "433 of 512",
    "full": "2.41e-07",
    "sum_directions": "5.54e-08",
    "key_blocks": "7.24e-08",
    "polynomial_neurons": "2.48e-07",
    "read_span": "1.19e-07",
    "read_complement": "5.27",
    "without_frequency": "2.0e-04 to 2.4e-02",
    "read_shares": "93.2% to 98.2%",
    "fve_clock": "95%",
    "memorised": "1,400",
    "formed": "9,400",
    "cleaned": "14,000",
}
LABELS: dict[str, str] = {
    "key_frequencies": "key frequencies",
    "neurons": "neurons with more than 0.85 of their energy at one frequency",
    "full": "loss on all pairs",
    "sum_directions": "loss, logits restricted to cos and sin of a+b",
    "key_blocks": "loss, logits restricted to the blocks of the key frequencies",
    "polynomial_neurons": "loss, neurons replaced by their block",
    "read_span": "loss, activations projected on what W_L reads at the key frequencies",
    "read_complement": "loss, activations projected on the complement",
    "without_frequency": "loss, activations without one key frequency",
    "read_shares": "variance of what W_L reads that is cos or sin of a+b",
    "fve_clock": "variance of the logits that is cos(w(a+b-c))",
    "memorised": "memorisation ends (epoch)",
    "formed": "circuit formation ends",
    "cleaned": "clean-up ends",
}
STYLES = ("--", ":", "-.")
Measures = Mapping[str, Callable[[Progress], float | None]]
LOSSES: Measures = {
    "train loss": lambda measured: measured.train_loss,
    "test loss": lambda measured: measured.test_loss,
    "restricted loss": lambda measured: measured.restricted_loss,
    "excluded loss": lambda measured: measured.excluded_loss,
}
SHARES: Measures = {
    "train accuracy": lambda measured: measured.train_accuracy,
    "test accuracy": lambda measured: measured.test_accuracy,
    "fve clock": lambda measured: measured.fve_clock,
    "gini embedding": lambda measured: measured.gini_embedding,
    "gini output": lambda measured: measured.gini_output,
}
SIZE: Measures = {"squared weights": lambda measured: measured.squared_weights}


@dataclass(frozen=True)
class Checkpoint(Rows):
    """Measures and bounds of one checkpoint.

    Attributes:
        epoch: which.
        weights_sha256: digest of the weights.
        measured: its progress measures, by the key frequencies of the last checkpoint.
        bounds: by every strategy, in the order of the configuration; None where it was not tried.
    """

    epoch: int
    weights_sha256: str
    measured: Progress = field(metadata=INLINE)
    bounds: tuple[Bound | None, ...]


@dataclass(frozen=True)
class Ablations(Rows):
    """Losses of the model and of what ablations leave of it (`analysis.modular.progress_neurons.ablations`)."""

    full: float
    sum_directions: float
    key_blocks: float
    polynomial_neurons: float
    read_span: float
    read_complement: float
    without_frequency: Mapping[int, float]


@dataclass(frozen=True)
class Circuit(Rows):
    """What the last checkpoint says of the circuit.

    Attributes:
        key_frequencies: of the neurons, or of the output where the configuration says so.
        output_frequencies: frequencies that the model writes.
        clusters: number of neurons by frequency.
        neurons: number of all.
        read_shares: by key frequency, shares of what W_L reads for its cosine and sine that are those of a+b.
        ablations: losses.
    """

    key_frequencies: tuple[int, ...]
    output_frequencies: tuple[int, ...]
    clusters: Mapping[int, int]
    neurons: int
    read_shares: Mapping[int, tuple[float, float]]
    ablations: Ablations


@dataclass(frozen=True)
class ModularAdditionRows(Rows):
    """One run.

    Attributes:
        configuration: the keys of the configuration file.
        strategies: names of the strategies.
        checkpoints: in order of epoch.
        final: the circuit of the last one.
        phases: where they end, None where all pairs are trained on.
        published: what the literature reports of this run, by the keys of `LABELS`; empty for other runs.
    """

    configuration: Mapping[str, Any]
    strategies: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    final: Circuit
    phases: Phases | None
    published: Mapping[str, str]

    def ends(self) -> dict[str, int | None]:
        """The ends of the phases, by the keys of `LABELS`."""
        found = self.phases or Phases(None, None, None)
        return {"memorised": found.memorised, "formed": found.formed, "cleaned": found.cleaned}


class ModularAdditionProgress(AbstractReproduction[ModularAdditionRows]):
    """One run."""

    kind = ModularAdditionRows
    name: ClassVar[str] = "modular-addition"
    question: ClassVar[str] = "Does the circuit form before the model generalises, and what is certified on the way?"
    needs_sweep: ClassVar[bool] = False
    configs: ClassVar[Path] = Path("experiments") / "modular-addition"
    sweep: ClassVar[str] = "config"
    keys: ClassVar[frozenset[str]] = RUN | {"seed", "strategies", "key_frequencies"}

    def results(self, swept: Swept) -> ModularAdditionRows:
        """Measures and bounds of every checkpoint; frequencies, ablations and phases by the last one."""
        config = read_keys(swept.path, self.keys)
        strategies = strategies_of(config)
        run = modular_run(config, int(config.get("seed", 0)), swept.folder or Path())
        models = list(run.weights())
        final = _final(models[-1][1], str(config.get("key_frequencies", "neurons")))
        checkpoints = []
        for epoch, weights in models:
            measured = progress(weights, run.trained(), final.key_frequencies)
            bounds = bounds_at(epoch, weights, run.config.spec_task, strategies)
            checkpoints.append(Checkpoint(epoch, weights.sha256, measured, bounds))
        published = PUBLISHED if config.get("recipe") == "grokking" and run.config.p == 113 else {}
        return ModularAdditionRows(
            configuration=config,
            strategies=tuple(attempt.label for attempt in strategies),
            checkpoints=tuple(checkpoints),
            final=final,
            phases=_phases(checkpoints),
            published=published,
        )

    def tables(self, results: ModularAdditionRows) -> dict[str, Table]:
        """The last checkpoint beside the literature; some checkpoints of the run."""
        ours = _ours(results)
        rows = tuple((LABELS[key], results.published.get(key, "-"), ours[key]) for key in LABELS)
        measures = {**LOSSES, **SHARES, **SIZE}
        lines = tuple(
            (f"{one.epoch:,}", *_numbers(one.measured, measures), *map(bound_cell, one.bounds))
            for one in _thinned(results.checkpoints)
        )
        few = {**LOSSES, **SIZE}
        return {
            "modular-addition": Table("The trained model", ("", "published", "ours"), rows),
            "progress": Table("Along training (losses in nats)", ("epoch", *measures, *results.strategies), lines),
            "phases": Table(
                "At the ends of the phases (losses in nats)", ("", "epoch", *few), _phase_rows(results, few)
            ),
        }

    def figures(self, results: ModularAdditionRows, folder: Path) -> list[Path]:
        """Losses; accuracies, shares and bounds; the ends of the phases as dotted lines."""
        checkpoints, ends = results.checkpoints, [end for end in results.ends().values() if end is not None]
        paths = [folder / f"modular-addition-{name}.svg" for name in ("losses", "measures")]
        with figure(paths[0], "Losses along training", "epoch", "cross-entropy (nats)") as axes:
            _draw(axes, checkpoints, LOSSES, ends)
            axes.set_yscale("log")
            axes.legend(fontsize=7)
        with figure(paths[1], "Progress measures along training", "epoch", "share") as axes:
            _draw(axes, checkpoints, SHARES, ends)
            sizes = [one.measured.squared_weights for one in checkpoints]
            label = f"squared weights / {nearest(max(sizes), ',.0f')}"
            shares = [size / max(sizes) for size in sizes]
            axes.plot([one.epoch for one in checkpoints], shares, color="0.4", linewidth=1, label=label)
            for place, name in enumerate(results.strategies):
                tried = [(one.epoch, bound) for one in checkpoints if (bound := one.bounds[place]) is not None]
                drawn = [(epoch, bound.certified) for epoch, bound in tried if bound.certified is not None]
                if drawn:
                    style = STYLES[place % len(STYLES)]
                    axes.plot(*zip(*drawn, strict=True), f"k{style}", marker="o", markersize=3, linewidth=1, label=name)
            axes.legend(fontsize=7)
        return paths


def _final(weights: Weights, kind: str) -> Circuit:
    """What the last checkpoint says of the circuit, its key frequencies among it."""
    if kind not in KINDS:
        raise ReproductionError(f"key_frequencies {kind!r} is not one of {', '.join(KINDS)}")
    activations, out = forward(weights).hidden, output_map(weights)
    labels = clusters(activations)
    members, by_output = labels.members(), key_frequencies(out, share=OUTPUT_SHARE)
    keys = [k for k, count in members.items() if count >= LEAST] if kind == "neurons" else by_output
    if not keys:
        raise ReproductionError("no frequency has its neurons: train longer, or set key_frequencies to output")
    return Circuit(
        key_frequencies=tuple(keys),
        output_frequencies=tuple(by_output),
        clusters=members,
        neurons=len(labels.share),
        read_shares=read_shares(activations, out, keys),
        ablations=Ablations(**ablations(weights, keys)),
    )


def _phases(checkpoints: Sequence[Checkpoint]) -> Phases | None:
    """The ends of the phases; None where all pairs are trained on."""
    measured = [one.measured for one in checkpoints]
    tested = [one.test_accuracy for one in measured if one.test_accuracy is not None]
    if not tested:
        return None
    epochs = [one.epoch for one in checkpoints]
    trained, excluded = [one.train_accuracy for one in measured], [one.excluded_loss for one in measured]
    return phases(Curves(epochs, trained, tested, excluded))


def _ours(results: ModularAdditionRows) -> dict[str, str]:
    """The column of the last checkpoint, by the keys of `LABELS`."""
    final, losses = results.final, results.final.ablations
    single = losses.without_frequency.values()
    shares = [share for pair in final.read_shares.values() for share in pair]
    return {
        "key_frequencies": ", ".join(map(str, final.key_frequencies)),
        "neurons": f"{sum(final.clusters.values())} of {final.neurons}",
        "full": _number(losses.full),
        "sum_directions": _number(losses.sum_directions),
        "key_blocks": _number(losses.key_blocks),
        "polynomial_neurons": _number(losses.polynomial_neurons),
        "read_span": _number(losses.read_span),
        "read_complement": _number(losses.read_complement),
        "without_frequency": f"{_number(min(single))} to {_number(max(single))}",
        "read_shares": f"{nearest(min(shares), '.1%')} to {nearest(max(shares), '.1%')}",
        "fve_clock": nearest(results.checkpoints[-1].measured.fve_clock, ".1%"),
        **{key: "-" if end is None else f"{end:,}" for key, end in results.ends().items()},
    }


def _phase_rows(results: ModularAdditionRows, measures: Measures) -> tuple[tuple[str, ...], ...]:
    """Measures at the first checkpoint, at the end of every phase, and at the last."""
    measured = {one.epoch: one.measured for one in results.checkpoints}
    ends = {LABELS[name].removesuffix(" (epoch)"): end for name, end in results.ends().items()}
    places = {"first checkpoint": min(measured), **ends, "last checkpoint": max(measured)}
    return tuple(
        (name, f"{end:,}", *_numbers(measured[end], measures)) for name, end in places.items() if end is not None
    )


def _numbers(measured: Progress, measures: Measures) -> tuple[str, ...]:
    return tuple(_number(measure(measured)) for measure in measures.values())


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return nearest(value, ".3g" if 1e-2 < abs(value) < 1e4 else ".2e")


def _thinned(checkpoints: Sequence[Checkpoint], most: int = 20) -> Sequence[Checkpoint]:
    """At most so many checkpoints, evenly spaced, the last among them."""
    step = -(-len(checkpoints) // most)
    return checkpoints[::-1][::step][::-1]


def _draw(axes: Any, checkpoints: Sequence[Checkpoint], measures: Measures, ends: Sequence[int]) -> None:
    for name, measure in measures.items():
        found = [(one.epoch, y) for one in checkpoints if (y := measure(one.measured)) is not None]
        if found:
            axes.plot(*zip(*found, strict=True), linewidth=1.2, label=name)
    for end in ends:
        axes.axvline(end, color="0.6", linestyle=":", linewidth=1)
