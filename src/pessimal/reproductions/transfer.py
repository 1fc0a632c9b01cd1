"""The same proof templates on every shipped model, and on one that takes the maximum in another way.

Contents:
    Transfer — the reproduction.
"""

from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis.constructed import veto_model
from pessimal.kernel.rejection import Rejected
from pessimal.report.numbers import down
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import Weights, read_weights
from pessimal.strategies import STRATEGIES

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


class Transfer(AbstractReproduction):
    """One template, many models."""

    name: ClassVar[str] = "transfer"
    question: ClassVar[str] = "Does a proof template carry over to other seeds, lengths, and another circuit?"
    needs_sweep: ClassVar[bool] = False

    def results(self, swept: Swept) -> dict[str, Any]:
        """Bound and length of every template on every model."""
        found = {path.stem: self._bounds(api.load_weights(path)) for path in swept.checkpoints}
        found["veto circuit (constructed)"] = self._bounds(read_weights(veto_model(*VETO)))
        return {"models": found}

    def _bounds(self, weights: Weights) -> dict[str, Any]:
        task, _ = api.task_of(weights, "max-of-k")
        bounds = {}
        for name in TEMPLATES:
            if task.k <= LONGEST_K.get(name, task.k):
                try:
                    proof = api.prove(weights, task, STRATEGIES[name]())
                except Rejected as refusal:
                    bounds[name] = {"refused": refusal.detail}
                    continue
                bounds[name] = {"bound": api.float_down(proof.claim.accuracy), "flops": proof.cost.flops}
        return bounds

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Models down, templates across."""
        rows = tuple(
            (stem, *(down(one[name]["bound"], 6) if "bound" in one.get(name, {}) else "" for name in TEMPLATES))
            for stem, one in results["models"].items()
        )
        return {"transfer": Table("Certified accuracy by template", ("model", *TEMPLATES), rows)}
