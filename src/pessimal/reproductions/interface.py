"""What a reproduction is: a question, a sweep, numbers, tables, figures.

Every reproduction reads the ledger of a sweep, so one sweep feeds them all. `results.json` holds every number that a
table or figure shows, with its provenance; tables and figures are made from that file and from nothing else.

Contents:
    Swept — what it starts from.
    AbstractReproduction — the interface.
    ReproductionError — one that cannot be run as asked.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pessimal.reproductions.tables import Table


class ReproductionError(ValueError):
    """The reproduction cannot be run as asked; the message says what would do."""


@dataclass(frozen=True)
class Swept:
    """What a finished sweep left.

    Attributes:
        rows: its ledger.
        models: what it recorded about each model, by file stem.
        config: its configuration.
        checkpoints: the models' files, in the order of the configuration.
        folder: where its configuration lies, or None.
        others: what the reproduction's other sweeps left.
    """

    rows: list[dict[str, Any]]
    models: dict[str, dict[str, Any]]
    config: dict[str, Any]
    checkpoints: list[Path]
    folder: Path | None = None
    others: tuple["Swept", ...] = ()

    def truth(self) -> dict[str, int]:
        """Exact number of right sequences per model, where brute force was asked for."""
        return {row["weights"]: int(row["correct"]) for row in self.rows if row["strategy"] == "brute-force"}


class AbstractReproduction(ABC):
    """One published table or figure.

    Attributes:
        name: kebab-case name, also of its folder.
        question: what it answers.
        needs_sweep: whether it reads a ledger; if not, it starts from the shipped models.
        sweep, smoke_sweep: stems of its configurations, unless another is asked for.
        others: further configurations that it reads when it reads `sweep`.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    needs_sweep: ClassVar[bool] = True
    sweep: ClassVar[str] = "k4"
    smoke_sweep: ClassVar[str] = "smoke"
    others: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def results(self, swept: Swept) -> dict[str, Any]:
        """Numbers from a sweep."""

    @abstractmethod
    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Tables from the numbers, by file stem."""

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """Draw the figures; none by default."""
        del results, folder
        return []
