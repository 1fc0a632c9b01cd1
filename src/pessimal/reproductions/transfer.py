"""The same proof templates on every shipped model, and on one that takes the maximum in another way.

Contents:
    Transfer — the reproduction.
    TransferRows — its numbers.
    Bound, Refused — what a template gives on one model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pessimal import api
from pessimal.analysis.constructed import veto_model
from pessimal.inputs import load_weights, task_of
from pessimal.kernel.rejection import Rejected
from pessimal.proving import STRATEGIES
from pessimal.records import float_down
from pessimal.report.numbers import down
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import Weights, read_weights

TEMPLATES = (
    "cubic",
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-exact-eqke+max-diff-exact",
    "eupu-mean-query+max-diff--attn-mean-query+diff--attn-err-mean+max-diff-subproduct-recursive",
    "exponential-moment",
    "position-minima",
)
LONGEST_K = {"position-minima": 4}
# d_model = 32 as in the trained models.
VETO = (4, 16)


@dataclass(frozen=True)
class Bound(Rows):
    """A proof.

    Attributes:
        bound: certified accuracy, rounded down.
        flops: its length.
    """

    bound: float
    flops: int


@dataclass(frozen=True)
class Refused(Rows):
    """No proof: `refused` says why."""

    refused: str


@dataclass(frozen=True)
class TransferRows(Rows):
    """By model, by template; templates that would take too long on a model are left out."""

    models: Mapping[str, Mapping[str, Bound | Refused]]


class Transfer(AbstractReproduction[TransferRows]):
    """One template, many models."""

    kind = TransferRows
    name: ClassVar[str] = "transfer"
    question: ClassVar[str] = "Does a proof template carry over to other seeds, lengths, and another circuit?"
    needs_sweep: ClassVar[bool] = False

    def results(self, swept: Swept) -> TransferRows:
        """Bound and length of every template on every model."""
        found = {path.stem: _by_template(load_weights(path)) for path in swept.checkpoints}
        found["veto circuit (constructed)"] = _by_template(read_weights(veto_model(*VETO)))
        return TransferRows(found)

    def tables(self, results: TransferRows) -> dict[str, Table]:
        """Models down, templates across."""
        rows = tuple(
            (stem, *(_cell(by_template.get(name)) for name in TEMPLATES))
            for stem, by_template in results.models.items()
        )
        return {"transfer": Table("Certified accuracy by template", ("model", *TEMPLATES), rows)}


def _by_template(weights: Weights) -> dict[str, Bound | Refused]:
    task, _ = task_of(weights, "max-of-k")
    found: dict[str, Bound | Refused] = {}
    for name in TEMPLATES:
        if task.k <= LONGEST_K.get(name, task.k):
            try:
                proof = api.prove(weights, task, STRATEGIES[name]())
            except Rejected as refusal:
                found[name] = Refused(refusal.detail)
                continue
            found[name] = Bound(float_down(proof.claim.value), proof.cost.flops)
    return found


def _cell(found: Bound | Refused | None) -> str:
    return down(found.bound, 6) if isinstance(found, Bound) else ""
