"""What a reproduction is: a question, a sweep, numbers, tables, figures.

Every reproduction reads the ledger of a sweep, so one sweep feeds them all. `results.json` holds every number that a
table or figure shows, with its provenance; tables and figures are made from that file and from nothing else. In between
the numbers have a type, one per reproduction, that writes and reads the file.

Contents:
    AbstractReproduction — the interface.
    Results — the type of a reproduction's numbers.
    ReproductionError — one that cannot be run as asked.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table


class ReproductionError(ValueError):
    """The reproduction cannot be run as asked; the message says what would do."""


Results = TypeVar("Results", bound=Rows)


class AbstractReproduction(ABC, Generic[Results]):
    """One published table or figure.

    Attributes:
        kind: the type of its numbers.
        name: kebab-case name, also of its folder.
        question: what it answers.
        needs_sweep: whether it reads a ledger; if not, it starts from the shipped models or trains its own.
        configs: folder of its configurations, from the top of the repository.
        sweep, smoke_sweep: their stems, unless another is asked for.
        others: further configurations that it reads when it reads `sweep`.
    """

    kind: type[Results]
    name: ClassVar[str]
    question: ClassVar[str]
    needs_sweep: ClassVar[bool] = True
    configs: ClassVar[Path] = Path("experiments") / "sweeps"
    sweep: ClassVar[str] = "k4"
    smoke_sweep: ClassVar[str] = "smoke"
    others: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def results(self, swept: Swept) -> Results:
        """Numbers from a sweep."""

    @abstractmethod
    def tables(self, results: Results) -> dict[str, Table]:
        """Tables from the numbers, by file stem."""

    def figures(self, results: Results, folder: Path) -> list[Path]:
        """Draw the figures; none by default."""
        del results, folder
        return []
