"""Circuit ablations: which paths a model needs, over all 32 combinations.

Contents:
    CircuitAblations — the reproduction.
    AblationRows, Combination — its numbers, and those of one combination of paths.
"""

from dataclasses import dataclass
from statistics import mean
from typing import ClassVar

from pessimal.analysis.ablations import PATHS, ablation_table
from pessimal.analysis.faithfulness import model_parts
from pessimal.inputs import load_weights
from pessimal.report.numbers import nearest
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.search.sub_cubic import Workbench

SAMPLES = 4096


@dataclass(frozen=True)
class Combination(Rows):
    """Some paths on, the others off.

    Attributes:
        on: the paths that are on.
        accuracy, loss: on random inputs, the loss in nats; estimates.
    """

    on: tuple[str, ...]
    accuracy: float
    loss: float


@dataclass(frozen=True)
class AblationRows(Rows):
    """All combinations, mean over models.

    Attributes:
        rows: one per combination.
        models: number of models.
        samples: random inputs per model.
    """

    rows: tuple[Combination, ...]
    models: int
    samples: int


class CircuitAblations(AbstractReproduction[AblationRows]):
    """Five paths, on or off."""

    kind = AblationRows
    name: ClassVar[str] = "circuit-ablations"
    question: ClassVar[str] = "Which of the five paths does the model need?"

    def results(self, swept: Swept) -> AblationRows:
        """Accuracy and loss per combination, mean over models."""
        found = [
            [Combination.read(row) for row in ablation_table(model_parts(Workbench(load_weights(path))), SAMPLES)]
            for path in swept.checkpoints
        ]
        rows = tuple(
            Combination(same[0].on, mean(one.accuracy for one in same), mean(one.loss for one in same))
            for same in zip(*found, strict=True)
        )
        return AblationRows(rows, len(found), SAMPLES)

    def tables(self, results: AblationRows) -> dict[str, Table]:
        """One row per combination, best first."""
        rows = tuple(
            (
                *("on" if name in combination.on else "" for name in PATHS),
                nearest(combination.accuracy, ".4f"),
                nearest(combination.loss, ".4f"),
            )
            for combination in sorted(results.rows, key=lambda combination: -combination.accuracy)
        )
        title = f"Mean over {results.models} models, {results.samples:,} random inputs each (estimates)"
        return {"circuit-ablations": Table(title, (*PATHS, "accuracy", "loss (nats)"), rows)}
