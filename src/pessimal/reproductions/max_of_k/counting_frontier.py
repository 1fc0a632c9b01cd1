"""Counting proofs against the published ones: the best bound at each length, brackets, exact counts.

Contents:
    CountingFrontier — the reproduction.
    CountingRows, AtLength — its numbers, and those of one K.
    Numbers, PublishedPoint — some proofs, mean over models; a published strategy.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pessimal.report.numbers import down, nearest, up_significant
from pessimal.reproductions.drawing import panels
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.max_of_k.groups import best_per_model, best_proofs, certified_share
from pessimal.reproductions.max_of_k.lengths import FrontierRows
from pessimal.reproductions.record import Rows
from pessimal.reproductions.statistics import Summary, summary, summary_of
from pessimal.reproductions.swept import ProvedRow, Swept
from pessimal.reproductions.tables import Table

# (K, log2 of the budget): what was asked for, and the best published proof of that length.
TARGETS: dict[tuple[int, float], tuple[float, str]] = {
    (4, 19): (0.35, "none"), (10, 19): (0.60, "none"), (20, 19): (0.60, "none"),
    (4, 20): (0.85, "none below 2^20.9"), (10, 20): (0.92, "none below 2^20.9"), (20, 20): (0.88, "none below 2^20.9"),
    (4, 21): (0.965, "0.39"), (10, 21): (0.99, "0.39"), (20, 21): (0.99, "none"),
    (4, 22): (0.975, "0.82"), (10, 22): (0.997, "0.67"), (20, 22): (0.998, "0.56"),
    (4, 22.5): (0.9985, "0.82"), (4, 25): (0.9991, "0.954"),
    (10, 25): (0.9952, "none"), (20, 24): (0.9977, "none"),
}  # fmt: skip
BUDGETS = (19.0, 19.5, 20.0, 20.5, 21.0, 22.0, 22.5, 24.0, 25.0)
SOURCE = Path("bound-versus-flops")


@dataclass(frozen=True)
class Numbers(Rows):
    """Some proofs, at most one per model.

    Attributes:
        bound: certified accuracy.
        models: number of models.
        flops, checker_ops, certificate_bytes, unexplained_dims: lengths.
        prove_seconds, seconds: wall time of the proof and of its check.
    """

    bound: Summary
    models: int
    flops: Summary
    checker_ops: Summary
    certificate_bytes: Summary
    unexplained_dims: Summary
    prove_seconds: Summary
    seconds: Summary

    def lengths(self) -> tuple[str, ...]:
        """Medians of flops, checker operations and certificate bytes, as the tables show them."""
        found = (self.flops, self.checker_ops, self.certificate_bytes)
        return tuple(nearest(one.median, ",.0f") for one in found)


@dataclass(frozen=True)
class PublishedPoint(Rows):
    """A published strategy, made sound, mean over models.

    Attributes:
        strategy, group: which, and the row of the published tables it belongs to.
        relative: certified share of the models' accuracy.
        flops: length of the proof.
    """

    strategy: str
    group: str
    relative: float
    flops: int


@dataclass(frozen=True)
class AtLength(Rows):
    """Proofs about sequences of one length.

    Attributes:
        models: number of models.
        within: the best proof of every model within a budget, by the budget's binary logarithm; only where all models
            have one.
        strategies: by strategy with its options.
        bracket_width, bracket_seconds: least distance of both bounds on accuracy of every model, and wall time of that
            proof and its check; None without brackets.
        exact: exact number of right sequences by model, where it was counted, by the shortest such proof.
        exact_accuracy, exact_check_seconds: of these.
        published: the published strategies.
    """

    models: int
    within: Mapping[float, Numbers]
    strategies: Mapping[str, Numbers]
    bracket_width: Summary | None
    bracket_seconds: Summary | None
    exact: Mapping[str, str]
    exact_accuracy: Summary | None
    exact_check_seconds: Summary | None
    published: tuple[PublishedPoint, ...]


@dataclass(frozen=True)
class CountingRows(Rows):
    """By number of tokens K."""

    k: Mapping[int, AtLength]


class CountingFrontier(AbstractReproduction[CountingRows]):
    """Every budget, every K."""

    kind = CountingRows
    name: ClassVar[str] = "counting-frontier"
    question: ClassVar[str] = "How tight is a counting proof of a given length, beside the published ones?"
    sweep: ClassVar[str] = "counting-k4"
    smoke_sweep: ClassVar[str] = "counting-smoke"
    others: ClassVar[tuple[str, ...]] = (
        *(f"counting-k{k}" for k in (5, 10, 20)),
        *(f"brackets-k{k}" for k in (10, 20)),
    )

    def results(self, swept: Swept) -> CountingRows:
        """Per K: budgets, strategies, brackets, exact counts, published points."""
        by_k: dict[int, Swept] = {}
        for one in (swept, *swept.others):
            k, _ = one.shape
            by_k[k] = replace(by_k[k], rows=by_k[k].rows + one.rows) if k in by_k else one
        return CountingRows({k: _at_length(one) for k, one in by_k.items()})

    def tables(self, results: CountingRows) -> dict[str, Table]:
        """Bounds within budgets; every strategy; brackets and exact counts."""
        return {
            "frontier": _frontier(results),
            "strategies": _strategies(results),
            "brackets": _brackets(results),
        }

    def figures(self, results: CountingRows, folder: Path) -> list[Path]:
        """Counting proofs and published strategies, one panel per K."""
        path = folder / "counting-frontier.svg"
        titles = [f"K = {k}" for k in results.k]
        with panels(path, titles, "flops", "certified accuracy") as all_axes:
            for axes, found in zip(all_axes, results.k.values(), strict=True):
                published = found.published
                axes.scatter([p.flops for p in published], [p.relative for p in published], s=10, color="#f58518",
                             label="published, made sound")  # fmt: skip
                points = sorted((numbers.flops.median, numbers.bound.mean) for numbers in found.within.values())
                axes.plot([p[0] for p in points], [p[1] for p in points], "-o", markersize=4, color="#4c78a8",
                          label="counting, within a budget")  # fmt: skip
                axes.set_xscale("log", base=2)
                axes.legend(fontsize=7, loc="lower right")
        return [path]


def _at_length(swept: Swept) -> AtLength:
    models = {row.weights for row in swept.rows}
    within = {}
    for exponent in BUDGETS:
        best = best_proofs(row for row in swept.proved if row.flops <= 2**exponent)
        # A mean over those models that have a proof would flatter the budget.
        if len(best) == len(models):
            within[exponent] = _numbers(list(best.values()))
    by_strategy: dict[str, list[ProvedRow]] = defaultdict(list)
    for row in swept.proved:
        by_strategy[row.asked].append(row)
    both = [row for row in swept.proved if row.width is not None]
    brackets = list(best_per_model(both, lambda row: -(row.width or 0.0)).values())
    exact = list(best_per_model((row for row in both if row.width == 0), lambda row: -row.flops).values())
    return AtLength(
        models=len(models),
        within=within,
        strategies={name: _numbers(rows) for name, rows in by_strategy.items()},
        bracket_width=summary([row.width or 0.0 for row in brackets]),
        bracket_seconds=summary([row.prove_seconds + row.seconds for row in brackets]),
        exact={row.weights: str(row.correct) for row in exact},
        exact_accuracy=summary([certified_share(row, {}) for row in exact]),
        exact_check_seconds=summary([row.seconds for row in exact]),
        published=_published(swept),
    )


def _numbers(rows: Sequence[ProvedRow]) -> Numbers:
    """Means over models."""
    return Numbers(
        bound=summary_of(certified_share(row, {}) for row in rows),
        models=len(rows),
        flops=summary_of(float(row.flops) for row in rows),
        checker_ops=summary_of(float(row.checker_ops) for row in rows),
        certificate_bytes=summary_of(float(row.certificate_bytes) for row in rows),
        unexplained_dims=summary_of(float(row.unexplained_dims) for row in rows),
        prove_seconds=summary_of(row.prove_seconds for row in rows),
        seconds=summary_of(row.seconds for row in rows),
    )


def _published(swept: Swept) -> tuple[PublishedPoint, ...]:
    """Points of the published strategies, made sound, on 151 models, where that experiment's file is at hand."""
    if swept.folder is None:
        return ()
    try:
        path = swept.folder.parent / SOURCE / f"k{swept.shape[0]}" / "results.json"
        found = FrontierRows.read(json.loads(path.read_text(encoding="utf-8"))["results"])
    except (OSError, ValueError, KeyError):
        return ()
    return tuple(
        PublishedPoint(point.strategy, point.group, point.relative, point.flops)
        for point in found.points
        if point.strategy != "brute-force"
    )


def _frontier(results: CountingRows) -> Table:
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
    for k, found in results.k.items():
        for exponent, numbers in found.within.items():
            target, published = TARGETS.get((k, exponent), ("", ""))
            rows.append(
                (
                    f"{k}, 2^{exponent:g}",
                    f"{down(numbers.bound.mean)} ({down(numbers.bound.min)})",
                    str(target),
                    published,
                    *numbers.lengths(),
                    str(numbers.models),
                )
            )
    return Table("Best bound within a budget of flops", headings, tuple(rows))


def _strategies(results: CountingRows) -> Table:
    headings = ("K, strategy", "bound", "flops", "checker ops", "certificate bytes", "prove, s", "check, s")
    rows = tuple(
        (
            f"{k}, {name}",
            down(numbers.bound.mean, 6),
            *numbers.lengths(),
            nearest(numbers.prove_seconds.median, ".2f"),
            nearest(numbers.seconds.median, ".2f"),
        )
        for k, found in results.k.items()
        for name, numbers in found.strategies.items()
    )
    return Table("Every strategy of the sweep, mean bound and median length", headings, rows)


def _brackets(results: CountingRows) -> Table:
    headings = ("K", "bracket width, mean (largest)", "prove and check, s", "exact accuracy", "exact check, s")
    rows = []
    for k, found in results.k.items():
        width, seconds = found.bracket_width, found.bracket_seconds
        truth, check = found.exact_accuracy, found.exact_check_seconds
        rows.append(
            (
                str(k),
                "" if width is None else f"{up_significant(width.mean, 3)} ({up_significant(width.max, 3)})",
                "" if seconds is None else nearest(seconds.mean, ".0f"),
                "" if truth is None else down(truth.mean, 6),
                "" if check is None else nearest(check.mean, ".1f"),
            )
        )
    return Table("Brackets and exact counts", headings, tuple(rows))
