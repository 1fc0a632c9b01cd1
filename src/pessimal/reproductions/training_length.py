"""Bounds of models that answer alike but were trained for different lengths.

Contents:
    TrainingLength — the reproduction; its configuration names seeds, epochs and strategies.
"""

from pathlib import Path
from typing import Any, ClassVar

from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError, Swept
from pessimal.reproductions.modular_runs import RUN, bound_cell, bound_row, modular_run, read_keys, strategies_of
from pessimal.reproductions.tables import Table

BRUTE = {"strategy": "brute-force", "options": {}}


class TrainingLength(AbstractReproduction):
    """Exact accuracy, bounds and lengths by epoch."""

    name: ClassVar[str] = "training-length"
    question: ClassVar[str] = "Of models that are equally right, is the one trained longer easier to certify?"
    needs_sweep: ClassVar[bool] = False
    configs: ClassVar[Path] = Path("experiments") / "training-length"
    sweep: ClassVar[str] = "config"
    keys: ClassVar[frozenset[str]] = RUN | {"seeds", "strategies"}

    def results(self, swept: Swept) -> dict[str, Any]:
        """Brute force and every strategy of the configuration, on every checkpoint of every seed."""
        config = read_keys(swept.path, self.keys)
        strategies = strategies_of(config)
        seeds = config.get("seeds", [0])
        if not strategies or not isinstance(seeds, list):
            raise ReproductionError("training-length needs a list of seeds and at least one strategy")
        if any(entry["at"] is not None for entry in strategies):
            raise ReproductionError("training-length tries every strategy at every epoch: leave at out of strategies")
        models = []
        for seed in seeds:
            run = modular_run(config, int(seed), swept.folder or Path())
            for epoch, weights in run.weights():
                exact, *bounds = (bound_row(weights, run.config.spec_task, entry) for entry in [BRUTE, *strategies])
                row = {"seed": int(seed), "epoch": epoch, "weights_sha256": weights.sha256}
                models.append({**row, "exact": exact, "bounds": bounds})
        return {"configuration": config, "models": models}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """One row per model: certified accuracy and length by strategy."""
        models = results["models"]
        names = [one["label"] for one in models[0]["bounds"]]
        headings = ("seed, epoch", "exact accuracy, flops", *names)
        rows = tuple(
            (
                f"{one['seed']}, {one['epoch']:,}",
                bound_cell(one["exact"]),
                *(bound_cell(bound) for bound in one["bounds"]),
            )
            for one in sorted(models, key=lambda one: (one["epoch"], one["seed"]))
        )
        return {"training-length": Table("Certified accuracy and MFLOP by epoch of training", headings, rows)}

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """Certified accuracy, and length, against epochs; one line per seed and strategy."""
        paths = []
        for key, name in (("certified", "certified accuracy"), ("flops", "flops")):
            path = folder / f"training-length-{key}.svg"
            with figure(path, f"{name.capitalize()} and training length", "epochs", name) as axes:
                _lines(axes, results["models"], key)
                axes.set_xscale("log")
                if key == "flops":
                    axes.set_yscale("log")
                axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
            paths.append(path)
        return paths


def _lines(axes: Any, models: list[dict[str, Any]], key: str) -> None:
    """A colour per strategy, brute force first."""
    seeds = sorted({one["seed"] for one in models})
    for place in range(len(models[0]["bounds"]) + 1):
        for seed in seeds:
            mine = sorted((one for one in models if one["seed"] == seed), key=lambda one: int(one["epoch"]))
            found = [[one["exact"], *one["bounds"]][place] for one in mine]
            drawn = [i for i, bound in enumerate(found) if bound[key] is not None]
            axes.plot(
                [mine[i]["epoch"] for i in drawn],
                [found[i][key] for i in drawn],
                color=f"C{place}",
                marker="o",
                markersize=3,
                linewidth=1,
                label=found[0]["label"] if seed == seeds[0] else None,
            )
