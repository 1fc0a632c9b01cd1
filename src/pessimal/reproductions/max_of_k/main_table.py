"""The main table: the best strategy of every group per model, ours beside the published and the as-published number.

Contents:
    MainTable — the reproduction.
    MainRows, GroupRow, Truth — its numbers, those of one group, and what the models' accuracy is.
    sampled_truth — the models' accuracy where nobody counted.
    published_length — the length of a sub-cubic proof in the published convention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pessimal.analysis import sampled_accuracy
from pessimal.analysis.published.flops import published_flops
from pessimal.inputs import load_weights
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.max_of_k.groups import (
    GROUPS,
    Group,
    Right,
    best_per_model,
    best_proofs,
    certified_share,
    share,
)
from pessimal.reproductions.record import INLINE, Rows
from pessimal.reproductions.statistics import Spread, Summary, summary
from pessimal.reproductions.swept import Composition, ProvedRow, Swept, SweptRow
from pessimal.reproductions.tables import Table
from pessimal.spec import MaxOfK

PUBLISHED_WIDTH = 32
SAMPLES = 1 << 16


@dataclass(frozen=True)
class GroupRow(Rows):
    """The best of a group on every model; None where it has no proof.

    Attributes:
        group, asymptotic: its name and published asymptotic length.
        bound: certified accuracy.
        relative: that, over the models' accuracy.
        as_published_not_a_proof: what the published verifier would claim, over the models' accuracy.
        published: the literature's number.
        best_strategy: the strategy that is the best on most models.
        flops, unexplained_dims, checker_ops, certificate_bytes: of the best proofs.
        flops_published_convention: lengths of the group's strategies in the published convention.
        check_seconds, prove_seconds: wall time of all proofs of the group.
    """

    group: str
    asymptotic: str
    bound: Summary | None
    relative: Summary | None
    as_published_not_a_proof: Summary | None
    published: Spread | None
    best_strategy: str | None
    flops: Summary | None
    unexplained_dims: Summary | None
    checker_ops: Summary | None
    certificate_bytes: Summary | None
    flops_published_convention: Summary | None
    check_seconds: Summary | None
    prove_seconds: Summary | None


@dataclass(frozen=True)
class Truth(Rows):
    """What the models' accuracy is.

    Attributes:
        truth: how it is known, in words.
        true_accuracy: over the models.
    """

    truth: str
    true_accuracy: Summary | None


@dataclass(frozen=True)
class MainRows(Rows):
    """The main table.

    Attributes:
        groups: in the published order.
        models: their number.
        truth: None in results from before it was sampled.
    """

    groups: tuple[GroupRow, ...]
    models: int
    truth: Truth | None = field(metadata=INLINE)


def sampled_truth(swept: Swept) -> dict[str, float]:
    """Estimated number of right sequences per model, from random sequences.

    Cost: 0.2 s per model at K = 5.
    """
    task = MaxOfK(*swept.shape)
    total = task.total()
    return {path.stem: total * sampled_accuracy(load_weights(path), task, SAMPLES) for path in swept.checkpoints}


class MainTable(AbstractReproduction[MainRows]):
    """One row per published group."""

    kind = MainRows
    name: ClassVar[str] = "main-table"
    question: ClassVar[str] = "How much does each kind of published proof certify, and at what length?"

    def results(self, swept: Swept) -> MainRows:
        """Per group: our bound, the as-published number, lengths."""
        exact, (k, d_vocab) = swept.truth(), swept.shape
        truth: Right = exact or sampled_truth(swept)
        total = d_vocab**k
        return MainRows(
            groups=tuple(
                _group(group, [row for row in swept.rows if group.member(row)], truth, swept.shape) for group in GROUPS
            ),
            models=len({row.weights for row in swept.rows}),
            truth=Truth(
                "exact" if exact else f"sampled, {SAMPLES} sequences: an estimate, not a proof",
                summary([right / total for right in truth.values()]),
            ),
        )

    def tables(self, results: MainRows) -> dict[str, Table]:
        """The main table."""
        headings = (
            "proof", "bound (proved)", "relative to truth", "as published, not a proof", "published", "flops",
            "flops, published convention", "unexplained dims", "checker ops", "certificate bytes",
        )  # fmt: skip
        rows = tuple(
            (
                row.group,
                _spread(row.bound),
                _spread(row.relative),
                _estimate(row.as_published_not_a_proof),
                _estimate(row.published),
                _count(row.flops),
                _count(row.flops_published_convention),
                _count(row.unexplained_dims),
                _count(row.checker_ops),
                _count(row.certificate_bytes),
            )
            for row in results.groups
            if row.bound is not None
        )
        title = f"Best of each group per model, mean ± standard deviation over {results.models} models"
        if results.truth is not None:
            title += f"; true accuracy {_estimate(results.truth.true_accuracy)} ({results.truth.truth})"
        return {"main-table": Table(title, headings, rows)}


def _group(group: Group, rows: Sequence[SweptRow], truth: Right, shape: tuple[int, int]) -> GroupRow:
    proved = [row for row in rows if isinstance(row, ProvedRow)]
    best = [row for _, row in sorted(best_proofs(rows).items())]
    as_published = [row for _, row in sorted(best_per_model(rows, lambda row: row.as_published).items())]
    published = group.published.get(shape)
    chosen = [row.strategy for row in best]
    lengths = [published_length(row.composition, shape) for row in rows if row.composition is not None]
    return GroupRow(
        group=group.name,
        asymptotic=group.asymptotic,
        bound=summary([row.correct / row.total for row in best]),
        relative=summary([certified_share(row, truth) for row in best]),
        as_published_not_a_proof=summary(
            [share(row.as_published, row, truth) for row in as_published if row.as_published is not None]
        ),
        published=None if published is None else Spread(*published),
        best_strategy=max(set(chosen), key=chosen.count) if chosen else None,
        flops=summary([float(row.flops) for row in best]),
        unexplained_dims=summary([float(row.unexplained_dims) for row in best]),
        checker_ops=summary([float(row.checker_ops) for row in best]),
        certificate_bytes=summary([float(row.certificate_bytes) for row in best]),
        flops_published_convention=summary([float(length) for length in lengths]),
        check_seconds=summary([row.seconds for row in proved]),
        prove_seconds=summary([row.prove_seconds for row in proved]),
    )


def published_length(composition: Composition, shape: tuple[int, int]) -> int:
    """Length of a sub-cubic proof in the published convention, for (K, d_vocab) and the published width."""
    return sum(published_flops(shape[1], shape[0], PUBLISHED_WIDTH, composition.words).values())


def _spread(value: Spread | None) -> str:
    """The mean of bounds, rounded down, and how much they vary."""
    return "" if value is None else f"{down(value.mean)} ± {nearest(value.std, '.4f')}"


def _estimate(value: Spread | None) -> str:
    """The mean of what is no bound, to nearest, and how much it varies."""
    return "" if value is None else f"{nearest(value.mean, '.4f')} ± {nearest(value.std, '.4f')}"


def _count(value: Summary | None) -> str:
    return "" if value is None else nearest(value.median, ",.0f")
