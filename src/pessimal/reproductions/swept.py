"""What a finished sweep left, as reproductions read it.

Contents:
    Swept — ledger, models and configuration of one sweep.
    SweptRow, ProvedRow — a strategy on a model; one that proved something.
    swept_row — such a row of the ledger.
    Composition — the three parts of a published sub-cubic strategy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Composition:
    """The parts of a published sub-cubic strategy, by their published words.

    Attributes:
        direct: how the direct path is bounded.
        attention: what of the query's part is averaged.
        attention_error: how the error of the QK circuit is bounded.
    """

    direct: str
    attention: str
    attention_error: str

    @property
    def words(self) -> tuple[str, str, str]:
        """All three, in the published order."""
        return self.direct, self.attention, self.attention_error


@dataclass(frozen=True, kw_only=True)
class SweptRow:
    """A strategy on a model; refused or rejected, unless it is a `ProvedRow`.

    Attributes:
        weights: file stem of the model.
        strategy: its name.
        asked: name and options as the configuration asked for them.
        options: of the strategy.
        composition: None unless it is a published sub-cubic strategy.
        as_published: number of right sequences that the published verifier would claim, where the sweep computes it;
            no proof.
    """

    weights: str
    strategy: str
    asked: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    composition: Composition | None = None
    as_published: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProvedRow(SweptRow):
    """A verified bound and what it cost.

    Attributes:
        correct, total: proven number of right sequences, and of all.
        flops: nominal real operations of the rule.
        checker_ops: everything the checker does.
        certificate_bytes: size of the certificate.
        unexplained_dims: free real parameters that the proof leaves as a table.
        prove_seconds, seconds: wall time of the proof and of its check.
        accuracy_lower_bound, accuracy_upper_bound: None where the claim has none.
    """

    correct: int
    total: int
    flops: int
    checker_ops: int
    certificate_bytes: int
    unexplained_dims: int
    prove_seconds: float
    seconds: float
    accuracy_lower_bound: float | None = None
    accuracy_upper_bound: float | None = None

    @property
    def width(self) -> float | None:
        """Distance of both bounds on accuracy; None unless there are two."""
        if self.accuracy_lower_bound is None or self.accuracy_upper_bound is None:
            return None
        return self.accuracy_upper_bound - self.accuracy_lower_bound


COUNTS = ("correct", "total", "flops", "checker_ops", "certificate_bytes", "unexplained_dims")
SECONDS = ("prove_seconds", "seconds")
BOUNDS = ("accuracy_lower_bound", "accuracy_upper_bound")
WORDS = ("direct", "attention", "attention_error")


def swept_row(row: Mapping[str, Any]) -> SweptRow:
    """A row of a ledger, which `runs.rows` and `sweeps` have checked."""
    published, words = row.get("correct_as_published"), [row.get(key) for key in WORDS]
    about: dict[str, Any] = {
        "weights": row.get("weights"),
        "strategy": row.get("strategy"),
        "asked": row.get("asked") or row.get("strategy"),
        "options": row.get("options"),
        "composition": None if words[0] is None else Composition(*map(str, words)),
        "as_published": None if published is None else int(published),
    }
    if row.get("correct") is None:
        return SweptRow(**about)
    numbers: dict[str, Any] = {key: int(row[key]) for key in COUNTS}
    numbers |= {key: float(row[key]) for key in SECONDS}
    numbers |= {key: float(row[key]) for key in BOUNDS if row.get(key) is not None}
    return ProvedRow(**about, **numbers)


@dataclass(frozen=True)
class Swept:
    """What a finished sweep left.

    Attributes:
        rows: its ledger.
        singular_values: the largest of EQKE by model, where the sweep recorded them.
        config: its configuration.
        checkpoints: the models' files, in the order of the configuration.
        path: the configuration file, or None.
        others: what the reproduction's other sweeps left.
    """

    rows: tuple[SweptRow, ...]
    singular_values: Mapping[str, tuple[float, ...]]
    config: dict[str, Any]
    checkpoints: list[Path]
    path: Path | None = None
    others: tuple["Swept", ...] = ()

    @property
    def folder(self) -> Path | None:
        """Where its configuration lies, or None."""
        return None if self.path is None else self.path.parent

    @property
    def shape(self) -> tuple[int, int]:
        """K and the number of tokens."""
        return self.config["k"], self.config["d_vocab"]

    @property
    def proved(self) -> list[ProvedRow]:
        """The rows with a proof."""
        return [row for row in self.rows if isinstance(row, ProvedRow)]

    def truth(self) -> dict[str, int]:
        """Exact number of right sequences per model, where brute force was asked for."""
        return {row.weights: row.correct for row in self.proved if row.strategy == "brute-force"}
