"""Circuit ablations: which paths a model needs, over all 32 combinations.

Contents:
    CircuitAblations — the reproduction.
"""

from statistics import mean
from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis.ablations import PATHS, ablation_table
from pessimal.analysis.faithfulness import model_parts
from pessimal.report.numbers import nearest
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.tables import Table
from pessimal.strategies.sub_cubic import Workbench

SAMPLES = 4096


class CircuitAblations(AbstractReproduction):
    """Five paths, on or off."""

    name: ClassVar[str] = "circuit-ablations"
    question: ClassVar[str] = "Which of the five paths does the model need?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Accuracy and loss per combination, mean over models."""
        tables = [ablation_table(model_parts(Workbench(api.load_weights(path))), SAMPLES) for path in swept.checkpoints]
        rows = [
            {
                "on": same[0]["on"],
                "accuracy": mean(one["accuracy"] for one in same),
                "loss": mean(one["loss"] for one in same),
            }
            for same in zip(*tables, strict=True)
        ]
        return {"rows": rows, "models": len(tables), "samples": SAMPLES}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """One row per combination, best first."""
        ordered = sorted(results["rows"], key=lambda one: -one["accuracy"])
        rows = tuple(
            (
                *("on" if name in one["on"] else "" for name in PATHS),
                nearest(one["accuracy"], ".4f"),
                nearest(one["loss"], ".4f"),
            )
            for one in ordered
        )
        title = f"Mean over {results['models']} models, {results['samples']:,} random inputs each (estimates)"
        return {"circuit-ablations": Table(title, (*PATHS, "accuracy", "loss (nats)"), rows)}
