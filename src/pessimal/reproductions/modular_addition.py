"""Grokking of modular addition: progress measures, phases and bounds along one run, beside the published numbers.

Contents:
    ModularAdditionProgress — the reproduction; its configuration names the run.
    PUBLISHED — what the literature reports for p = 113.
"""

from pathlib import Path
from typing import Any, ClassVar

from pessimal.analysis.progress import progress
from pessimal.analysis.progress_neurons import ablations, read_shares
from pessimal.analysis.progress_phases import Curves, phases
from pessimal.circuits.fourier import clusters, key_frequencies
from pessimal.circuits.modular import output_map
from pessimal.circuits.modular_pass import forward
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError, Swept
from pessimal.reproductions.modular_runs import RUN, bound_cell, bounds_at, label, modular_run, read_keys, strategies_of
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
LOSSES = ("train_loss", "test_loss", "restricted_loss", "excluded_loss")
SHARES = ("train_accuracy", "test_accuracy", "fve_clock", "gini_embedding", "gini_output")


class ModularAdditionProgress(AbstractReproduction):
    """One run."""

    name: ClassVar[str] = "modular-addition"
    question: ClassVar[str] = "Does the circuit form before the model generalises, and what is certified on the way?"
    needs_sweep: ClassVar[bool] = False
    configs: ClassVar[Path] = Path("experiments") / "modular-addition"
    sweep: ClassVar[str] = "config"
    keys: ClassVar[frozenset[str]] = RUN | {"seed", "strategies", "key_frequencies"}

    def results(self, swept: Swept) -> dict[str, Any]:
        """Measures and bounds of every checkpoint; frequencies, ablations and phases by the last one."""
        config = read_keys(swept.path, self.keys)
        strategies = strategies_of(config)
        run = modular_run(config, int(config.get("seed", 0)), swept.folder or Path())
        models = list(run.weights())
        final, keys = _final(models[-1][1], str(config.get("key_frequencies", "neurons")))
        rows = []
        for epoch, weights in models:
            row = {"epoch": epoch, "weights_sha256": weights.sha256}
            measured = progress(weights, run.trained(), keys).record()
            rows.append({**row, **measured, "bounds": bounds_at(epoch, weights, run.config.spec_task, strategies)})
        found = None
        if rows[0]["test_loss"] is not None:
            names = ("train_accuracy", "test_accuracy", "excluded_loss")
            ends = phases(Curves([row["epoch"] for row in rows], *([row[name] for row in rows] for name in names)))
            found = {"memorised": ends.memorised, "formed": ends.formed, "cleaned": ends.cleaned}
        published = PUBLISHED if config.get("recipe") == "grokking" and run.config.p == 113 else {}
        return {
            "configuration": config,
            "strategies": [label(entry) for entry in strategies],
            "checkpoints": rows,
            "final": final,
            "phases": found,
            "published": published,
        }

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """The last checkpoint beside the literature; some checkpoints of the run."""
        ours, published = _ours(results), results["published"]
        rows = tuple((LABELS[key], published.get(key, "-"), ours[key]) for key in LABELS)
        tables = {"modular-addition": Table("The trained model", ("", "published", "ours"), rows)}
        names = (*LOSSES, *SHARES, "squared_weights")
        headings = ("epoch", *(name.replace("_", " ") for name in names), *results["strategies"])
        lines = tuple(
            (f"{row['epoch']:,}", *(_number(row[name]) for name in names), *(bound_cell(one) for one in row["bounds"]))
            for row in _thinned(results["checkpoints"])
        )
        tables["progress"] = Table("Along training (losses in nats)", headings, lines)
        names = ("train_loss", "test_loss", "restricted_loss", "excluded_loss", "squared_weights")
        headings = ("", "epoch", *(name.replace("_", " ") for name in names))
        tables["phases"] = Table("At the ends of the phases (losses in nats)", headings, _phase_rows(results, names))
        return tables

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """Losses; accuracies, shares and bounds; the ends of the phases as dotted lines."""
        rows, ends = results["checkpoints"], [end for end in (results["phases"] or {}).values() if end is not None]
        epochs = [row["epoch"] for row in rows]
        paths = [folder / f"modular-addition-{name}.svg" for name in ("losses", "measures")]
        with figure(paths[0], "Losses along training", "epoch", "cross-entropy (nats)") as axes:
            _draw(axes, rows, LOSSES, ends)
            axes.set_yscale("log")
            axes.legend(fontsize=7)
        with figure(paths[1], "Progress measures along training", "epoch", "share") as axes:
            _draw(axes, rows, SHARES, ends)
            top = max(row["squared_weights"] for row in rows)
            label = f"squared weights / {nearest(top, ',.0f')}"
            axes.plot(epochs, [row["squared_weights"] / top for row in rows], color="0.4", linewidth=1, label=label)
            for place, name in enumerate(results["strategies"]):
                found = [(row["epoch"], (row["bounds"][place] or {}).get("certified")) for row in rows]
                drawn = [point for point in found if point[1] is not None]
                if drawn:
                    style = STYLES[place % len(STYLES)]
                    axes.plot(*zip(*drawn, strict=True), f"k{style}", marker="o", markersize=3, linewidth=1, label=name)
            axes.legend(fontsize=7)
        return paths


def _final(weights: Weights, kind: str) -> tuple[dict[str, Any], list[int]]:
    """What the last checkpoint says of the circuit, and its key frequencies."""
    if kind not in KINDS:
        raise ReproductionError(f"key_frequencies {kind!r} is not one of {', '.join(KINDS)}")
    activations, out = forward(weights).hidden, output_map(weights)
    labels = clusters(activations)
    members, by_output = labels.members(), key_frequencies(out, share=OUTPUT_SHARE)
    keys = [k for k, count in members.items() if count >= LEAST] if kind == "neurons" else by_output
    if not keys:
        raise ReproductionError("no frequency has its neurons: train longer, or set key_frequencies to output")
    return {
        "key_frequencies": keys,
        "output_frequencies": by_output,
        "clusters": {str(k): count for k, count in members.items()},
        "neurons": len(labels.share),
        "read_shares": {str(k): list(pair) for k, pair in read_shares(activations, out, keys).items()},
        "ablations": _with_text_keys(ablations(weights, keys)),
    }, keys


def _with_text_keys(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "without_frequency": {str(k): loss for k, loss in found["without_frequency"].items()}}


def _ours(results: dict[str, Any]) -> dict[str, str]:
    """The column of the last checkpoint."""
    final, last = results["final"], results["checkpoints"][-1]
    losses = dict(final["ablations"])
    single = losses.pop("without_frequency").values()
    shares = [share for pair in final["read_shares"].values() for share in pair]
    ends = results["phases"] or dict.fromkeys(("memorised", "formed", "cleaned"))
    return {
        "key_frequencies": ", ".join(map(str, final["key_frequencies"])),
        "neurons": f"{sum(final['clusters'].values())} of {final['neurons']}",
        **{key: _number(value) for key, value in losses.items()},
        "without_frequency": f"{_number(min(single))} to {_number(max(single))}",
        "read_shares": f"{nearest(min(shares), '.1%')} to {nearest(max(shares), '.1%')}",
        "fve_clock": nearest(last["fve_clock"], ".1%"),
        **{key: "-" if end is None else f"{end:,}" for key, end in ends.items()},
    }


def _phase_rows(results: dict[str, Any], names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Measures at the first checkpoint, at the end of every phase, and at the last."""
    rows = {row["epoch"]: row for row in results["checkpoints"]}
    ends = {LABELS[name].removesuffix(" (epoch)"): end for name, end in (results["phases"] or {}).items()}
    places = {"first checkpoint": min(rows), **ends, "last checkpoint": max(rows)}
    return tuple(
        (name, f"{end:,}", *(_number(rows[end][key]) for key in names))
        for name, end in places.items()
        if end is not None
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return nearest(value, ".3g" if 1e-2 < abs(value) < 1e4 else ".2e")


def _thinned(rows: list[dict[str, Any]], most: int = 20) -> list[dict[str, Any]]:
    """At most so many rows, evenly spaced, the last among them."""
    step = -(-len(rows) // most)
    return rows[::-1][::step][::-1]


def _draw(axes: Any, rows: list[dict[str, Any]], names: tuple[str, ...], ends: list[int]) -> None:
    for name in names:
        found = [(row["epoch"], row[name]) for row in rows if row[name] is not None]
        if found:
            axes.plot(*zip(*found, strict=True), linewidth=1.2, label=name.replace("_", " "))
    for end in ends:
        axes.axvline(end, color="0.6", linestyle=":", linewidth=1)
