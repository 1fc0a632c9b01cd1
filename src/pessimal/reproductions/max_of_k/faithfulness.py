"""What the usual evidence says, beside what is proved: ablations, sampling, chance.

Contents:
    Faithfulness — the reproduction.
    FaithfulnessRows, Evidence, Sampled — its numbers, those of one model, and the sampled ones among these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

from pessimal.analysis.faithfulness import accuracies, clopper_pearson, model_parts, stratified_estimate
from pessimal.inputs import load_weights
from pessimal.records import float_down
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.max_of_k.groups import best_proofs
from pessimal.reproductions.record import INLINE, Rows, named
from pessimal.reproductions.statistics import summary
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.search.sub_cubic import Workbench

SAMPLES = 20_000
PER_STRATUM = 50


@dataclass(frozen=True)
class Sampled(Rows):
    """Shares of right answers on random sequences; estimates.

    Attributes:
        model: as it is.
        mean_ablation, resample_ablation: with what the circuit does not explain ablated.
    """

    model: float
    mean_ablation: float = field(metadata=named("mean ablation"))
    resample_ablation: float = field(metadata=named("resample ablation"))


@dataclass(frozen=True)
class Evidence(Rows):
    """What is said of one model's accuracy.

    Attributes:
        proved: best sub-cubic bound, rounded down; None without one.
        exact: None where it is not known.
        sampled: on random sequences.
        interval_low, interval_high: interval for the accuracy from these samples.
        stratified_estimate, stratified_half_width: from samples of every stratum.
    """

    proved: float | None
    exact: float | None
    sampled: Sampled = field(metadata=INLINE)
    interval_low: float = field(metadata=named("interval low"))
    interval_high: float = field(metadata=named("interval high"))
    stratified_estimate: float = field(metadata=named("stratified estimate"))
    stratified_half_width: float = field(metadata=named("stratified half-width"))


@dataclass(frozen=True)
class FaithfulnessRows(Rows):
    """Evidence by model.

    Attributes:
        models: by file stem.
        samples: random sequences per model.
        per_stratum: those per stratum.
        chance: accuracy of guessing.
        worst_case: accuracy of the worst model.
    """

    models: Mapping[str, Evidence]
    samples: int
    per_stratum: int
    chance: float
    worst_case: float


# What the table shows: (name, whether it is proved, the number).
COLUMNS: tuple[tuple[str, bool, Callable[[Evidence], float | None]], ...] = (
    ("proved", True, lambda one: one.proved),
    ("model", False, lambda one: one.sampled.model),
    ("mean ablation", False, lambda one: one.sampled.mean_ablation),
    ("resample ablation", False, lambda one: one.sampled.resample_ablation),
    ("interval low", False, lambda one: one.interval_low),
    ("stratified estimate", False, lambda one: one.stratified_estimate),
    ("exact", True, lambda one: one.exact),
)


class Faithfulness(AbstractReproduction[FaithfulnessRows]):
    """Ablation scores and estimates beside the bound."""

    kind = FaithfulnessRows
    name: ClassVar[str] = "faithfulness"
    question: ClassVar[str] = "What do ablations and sampling say of a model, and what of that is proved?"

    def results(self, swept: Swept) -> FaithfulnessRows:
        """Per model: best sub-cubic bound, sampled accuracies, intervals, the exact accuracy where known."""
        best = best_proofs(row for row in swept.rows if row.composition is not None)
        truth, found = swept.truth(), {}
        for path in swept.checkpoints:
            p = model_parts(Workbench(load_weights(path)))
            sampled = Sampled.read(accuracies(p, SAMPLES))
            low, high = clopper_pearson(int(sampled.model * SAMPLES + 0.5), SAMPLES)
            estimate, half_width = stratified_estimate(p, PER_STRATUM)
            row = best.get(path.stem)
            found[path.stem] = Evidence(
                proved=None if row is None else float_down(Fraction(row.correct, row.total)),
                exact=truth[path.stem] / row.total if row is not None and path.stem in truth else None,
                sampled=sampled,
                interval_low=low,
                interval_high=high,
                stratified_estimate=estimate,
                stratified_half_width=half_width,
            )
        return FaithfulnessRows(found, SAMPLES, PER_STRATUM, chance=1 / swept.shape[1], worst_case=0.0)

    def tables(self, results: FaithfulnessRows) -> dict[str, Table]:
        """Means over models; the lines for chance and the worst case."""
        rows = []
        for column, is_proved, number in COLUMNS:
            s = summary([value for one in results.models.values() if (value := number(one)) is not None])
            if s is not None:
                kind, text = ("proof", down) if is_proved else ("estimate, not a proof", _estimate)
                rows.append((column, kind, f"{text(s.mean)} ± {_estimate(s.std)}", text(s.min), text(s.max)))
        rows.append(("chance", "", _estimate(results.chance), "", ""))
        rows.append(("worst case", "", _estimate(results.worst_case), "", ""))
        title = f"Accuracy of {len(results.models)} models: proved, sampled ({results.samples:,} inputs), ablated"
        headings = ("what", "kind", "mean ± std", "least", "greatest")
        return {"faithfulness": Table(title, headings, tuple(rows))}


def _estimate(value: float) -> str:
    return nearest(value, ".4f")
