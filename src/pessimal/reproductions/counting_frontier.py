"""Counting proofs against the published ones: the best bound at each length, brackets, exact counts.

Contents:
    CountingFrontier — the reproduction.
"""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pessimal.report.numbers import down, nearest, up_significant
from pessimal.reproductions.drawing import panels
from pessimal.reproductions.groups import Row, best_per_model, share
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.main_table import summary
from pessimal.reproductions.tables import Table

# (K, log2 of the budget): what was asked for, and the best published proof of that length.
TARGETS: dict[tuple[int, float], tuple[float, str]] = {
    (4, 19): (0.35, "none"), (10, 19): (0.60, "none"), (20, 19): (0.60, "none"),
    (4, 20): (0.85, "none below 2^20.9"), (10, 20): (0.92, "none below 2^20.9"), (20, 20): (0.88, "none below 2^20.9"),
    (4, 21): (0.965, "0.39"), (10, 21): (0.99, "0.39"), (20, 21): (0.99, "none"),
    (4, 22): (0.975, "0.82"), (10, 22): (0.997, "0.67"), (20, 22): (0.998, "0.56"),
    (4, 25): (0.999, "0.954"),
}  # fmt: skip
LENGTHS = {"flops": "flops", "checker_ops": "checker ops", "certificate_bytes": "certificate bytes"}
BUDGETS = (19.0, 19.5, 20.0, 20.5, 21.0, 22.0, 25.0)
SOURCE = Path("bound-versus-flops")


def _numbers(rows: list[Row]) -> dict[str, Any]:
    """Means over models."""
    return {
        "bound": summary([share(row, "correct", {}) for row in rows]),
        "models": len(rows),
        **{key: summary([float(row[key]) for row in rows]) for key in
           ("flops", "checker_ops", "certificate_bytes", "unexplained_dims", "prove_seconds", "seconds")},
    }  # fmt: skip


class CountingFrontier(AbstractReproduction):
    """Every budget, every K."""

    name: ClassVar[str] = "counting-frontier"
    question: ClassVar[str] = "How tight is a counting proof of a given length, beside the published ones?"
    sweep: ClassVar[str] = "counting-k4"
    smoke_sweep: ClassVar[str] = "counting-smoke"
    others: ClassVar[tuple[str, ...]] = (
        *(f"counting-k{k}" for k in (5, 10, 20)),
        *(f"brackets-k{k}" for k in (4, 10, 20)),
    )

    def results(self, swept: Swept) -> dict[str, Any]:
        """Per K: budgets, strategies, brackets, exact counts, published points."""
        by_k: dict[int, Swept] = {}
        for one in (swept, *swept.others):
            k = one.config["k"]
            by_k[k] = replace(by_k[k], rows=by_k[k].rows + one.rows) if k in by_k else one
        return {"k": {str(k): self._one(one) for k, one in by_k.items()}}

    def _one(self, swept: Swept) -> dict[str, Any]:
        models = {row["weights"] for row in swept.rows}
        within = {}
        for exponent in BUDGETS:
            best = list(best_per_model((row for row in swept.rows if row["flops"] <= 2**exponent), "correct").values())
            # A mean over those models that have a proof would flatter the budget.
            if len(best) == len(models):
                within[str(exponent)] = _numbers(best)
        by_strategy = defaultdict(list)
        for row in swept.rows:
            if row["correct"] is not None:
                by_strategy[row.get("asked", row["strategy"])].append(row)
        brackets = [
            row for row in swept.rows if row["strategy"] == "grid-count" and row["accuracy_upper_bound"] is not None
        ]
        exact = [row for row in swept.rows if row["strategy"] == "exact" and row["correct"] is not None]
        return {
            "models": len(models),
            "within": within,
            "strategies": {name: _numbers(rows) for name, rows in by_strategy.items()},
            "bracket_width": summary([row["accuracy_upper_bound"] - row["accuracy_lower_bound"] for row in brackets]),
            "bracket_seconds": summary([row["prove_seconds"] + row["seconds"] for row in brackets]),
            "exact": {row["weights"]: row["correct"] for row in exact},
            "exact_accuracy": summary([share(row, "correct", {}) for row in exact]),
            "exact_check_seconds": summary([row["seconds"] for row in exact]),
            "published": self._published(swept),
        }

    @staticmethod
    def _published(swept: Swept) -> list[dict[str, Any]]:
        """Points of the published strategies, made sound, on 151 models, where that experiment's file is at hand."""
        if swept.folder is None:
            return []
        try:
            path = swept.folder.parent / SOURCE / f"k{swept.config['k']}" / "results.json"
            points = json.loads(path.read_text(encoding="utf-8"))["results"]["points"]
        except (OSError, ValueError, KeyError):
            return []
        keys = ("strategy", "group", "relative", "flops")
        return [{key: point[key] for key in keys} for point in points if point["strategy"] != "brute-force"]

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Bounds within budgets; every strategy; brackets and exact counts."""
        return {
            "frontier": self._frontier(results),
            "strategies": self._strategies(results),
            "brackets": self._brackets(results),
        }

    @staticmethod
    def _frontier(results: dict[str, Any]) -> Table:
        headings = (
            "K, budget",
            "bound, mean (least)",
            "asked",
            "published",
            "flops",
            "checker ops",
            "certificate bytes",
            "models",
        )
        rows = []
        for k, one in results["k"].items():
            for exponent, numbers in one["within"].items():
                target, published = TARGETS.get((int(k), float(exponent)), ("", ""))
                bound = numbers["bound"]
                rows.append(
                    (
                        f"{k}, 2^{float(exponent):g}",
                        f"{down(bound['mean'])} ({down(bound['min'])})",
                        str(target),
                        published,
                        *(
                            nearest(numbers[key]["median"], ",.0f")
                            for key in ("flops", "checker_ops", "certificate_bytes")
                        ),
                        str(numbers["models"]),
                    )
                )
        return Table("Best bound within a budget of flops", headings, tuple(rows))

    @staticmethod
    def _strategies(results: dict[str, Any]) -> Table:
        headings = ("K, strategy", "bound", *LENGTHS.values(), "prove, s", "check, s")
        rows = []
        for k, one in results["k"].items():
            for name, numbers in one["strategies"].items():
                middle = {key: numbers[key]["median"] for key in numbers if key not in {"bound", "models"}}
                rows.append(
                    (
                        f"{k}, {name}",
                        down(numbers["bound"]["mean"], 6),
                        *(nearest(middle[key], ",.0f") for key in LENGTHS),
                        *(nearest(middle[key], ".2f") for key in ("prove_seconds", "seconds")),
                    )
                )
        return Table("Every strategy of the sweep, mean bound and median length", headings, tuple(rows))

    @staticmethod
    def _brackets(results: dict[str, Any]) -> Table:
        headings = ("K", "bracket width, mean (largest)", "prove and check, s", "exact accuracy", "exact check, s")
        rows = []
        for k, one in results["k"].items():
            width, seconds = one["bracket_width"], one["bracket_seconds"]
            truth, check = one["exact_accuracy"], one["exact_check_seconds"]
            rows.append(
                (
                    k,
                    "" if width is None else f"{up_significant(width['mean'], 3)} ({up_significant(width['max'], 3)})",
                    "" if seconds is None else nearest(seconds["mean"], ".0f"),
                    "" if truth is None else down(truth["mean"], 6),
                    "" if check is None else nearest(check["mean"], ".1f"),
                )
            )
        return Table("Brackets by grid counting, exact counts by branch and bound", headings, tuple(rows))

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """Counting proofs and published strategies, one panel per K."""
        path = folder / "counting-frontier.svg"
        titles = [f"K = {k}" for k in results["k"]]
        with panels(path, titles, "flops", "certified accuracy") as all_axes:
            for axes, one in zip(all_axes, results["k"].values(), strict=True):
                published = one["published"]
                axes.scatter([p["flops"] for p in published], [p["relative"] for p in published], s=10, color="#f58518",
                             label="published, made sound")  # fmt: skip
                points = sorted((n["flops"]["median"], n["bound"]["mean"]) for n in one["within"].values())
                axes.plot([p[0] for p in points], [p[1] for p in points], "-o", markersize=4, color="#4c78a8",
                          label="counting, within a budget")  # fmt: skip
                axes.set_xscale("log", base=2)
                axes.legend(fontsize=7, loc="lower right")
        return [path]
