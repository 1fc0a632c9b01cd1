"""The main table: the best strategy of every group per model, ours beside the published and the as-published number.

Contents:
    MainTable — the reproduction.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from statistics import median, stdev
from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis import sampled_accuracy
from pessimal.analysis.published_flops import published_flops
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.groups import GROUPS, Group, Row, best_per_model, share
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import MaxOfK

PUBLISHED_WIDTH = 32
SAMPLES = 1 << 16


def summary(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, standard deviation (one degree of freedom less), least, median, greatest; None if there is nothing."""
    if not values:
        return None
    spread = stdev(values) if len(values) > 1 else 0.0
    return {"mean": mean_down(values), "std": spread, "min": min(values), "median": median(values), "max": max(values)}


def mean_down(values: Iterable[float]) -> float:
    """The mean, rounded down, so that a mean of lower bounds is one."""
    exact = [Fraction(value) for value in values]
    return api.float_down(sum(exact, Fraction()) / len(exact))


def relative(best: dict[str, Row], key: str, truth: Mapping[str, float]) -> list[float]:
    """Bound over number of right sequences per model; over the total where that is not known."""
    return [share(row, key, truth) for _, row in sorted(best.items())]


def sampled_truth(swept: Swept) -> dict[str, float]:
    """Estimated number of right sequences per model, from random sequences.

    Cost: 0.2 s per model at K = 5.
    """
    task = MaxOfK(swept.config["k"], swept.config["d_vocab"])
    total = task.total()
    return {path.stem: total * sampled_accuracy(api.load_weights(path), task, SAMPLES) for path in swept.checkpoints}


class MainTable(AbstractReproduction):
    """One row per published group."""

    name: ClassVar[str] = "main-table"
    question: ClassVar[str] = "How much does each kind of published proof certify, and at what length?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Per group: our bound, the as-published number, lengths."""
        shape = (swept.config["k"], swept.config["d_vocab"])
        exact = swept.truth()
        truth: Mapping[str, float] = exact or sampled_truth(swept)
        found = [self._group(group, [row for row in swept.rows if group.member(row)], truth, shape) for group in GROUPS]
        total = shape[1] ** shape[0]
        return {
            "groups": found,
            "models": len({row["weights"] for row in swept.rows}),
            "truth": "exact" if exact else f"sampled, {SAMPLES} sequences: an estimate, not a proof",
            "true_accuracy": summary([right / total for right in truth.values()]),
        }

    def _group(
        self, group: Group, rows: list[Row], truth: Mapping[str, float], shape: tuple[int, int]
    ) -> dict[str, Any]:
        best = best_per_model(rows, "correct")
        as_published = best_per_model(rows, "correct_as_published")
        bounds = [int(row["correct"]) / int(row["total"]) for row in best.values()]
        lengths = [published_length(row, shape) for row in rows if "direct" in row]
        published = group.published.get(shape)
        chosen = [row["strategy"] for row in best.values()]
        return {
            "group": group.name,
            "asymptotic": group.asymptotic,
            "bound": summary(bounds),
            "relative": summary(relative(best, "correct", truth)),
            "as_published_not_a_proof": summary(relative(as_published, "correct_as_published", truth)),
            "published": None if published is None else {"mean": published[0], "std": published[1]},
            "best_strategy": max(set(chosen), key=chosen.count) if chosen else None,
            **{key: summary([float(row[key]) for row in best.values()]) for key in
               ("flops", "unexplained_dims", "checker_ops", "certificate_bytes")},
            "flops_published_convention": summary([float(x) for x in lengths]),
            "check_seconds": summary([float(row["seconds"]) for row in rows if row["correct"] is not None]),
            "prove_seconds": summary([float(row["prove_seconds"]) for row in rows if row["correct"] is not None]),
        }  # fmt: skip

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """The main table."""
        headings = (
            "proof", "bound (proved)", "relative to truth", "as published, not a proof", "published", "flops",
            "flops, published convention", "unexplained dims", "checker ops", "certificate bytes",
        )  # fmt: skip
        rows = tuple(
            (
                one["group"],
                _spread(one["bound"]),
                _spread(one["relative"]),
                _estimate(one["as_published_not_a_proof"]),
                _estimate(one["published"]),
                *(_count(one[key]) for key in ("flops", "flops_published_convention", "unexplained_dims",
                                               "checker_ops", "certificate_bytes")),
            )
            for one in results["groups"]
            if one["bound"] is not None
        )  # fmt: skip
        title = (
            f"Best of each group per model, mean ± standard deviation over {results['models']} models;"
            f" true accuracy {_estimate(results['true_accuracy'])} ({results['truth']})"
        )
        return {"main-table": Table(title, headings, rows)}


def published_length(row: Row, shape: tuple[int, int]) -> int:
    """Length of a sub-cubic row in the published convention, for (K, d_vocab) and the published width."""
    words = (row["direct"], row["attention"], row["attention_error"])
    return sum(published_flops(shape[1], shape[0], PUBLISHED_WIDTH, words).values())


def _spread(value: dict[str, float] | None) -> str:
    """The mean of bounds, rounded down, and how much they vary."""
    return "" if value is None else f"{down(value['mean'])} ± {nearest(value['std'], '.4f')}"


def _estimate(value: dict[str, float] | None) -> str:
    """The same of what is no bound."""
    return "" if value is None else f"{nearest(value['mean'], '.4f')} ± {nearest(value['std'], '.4f')}"


def _count(value: dict[str, float] | None) -> str:
    return "" if value is None else nearest(value.get("median", value["mean"]), ",.0f")
