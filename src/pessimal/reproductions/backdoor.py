"""A model that sampling calls perfect and a proof does not.

Contents:
    Backdoor — the reproduction.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis import sampled_accuracy
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError, Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import Product, Weights
from pessimal.spec.claim import decimal_down
from pessimal.spec.task import AbstractTask
from pessimal.strategies import Exact, ExponentialMoment, GridCount

FOLDER = Path("experiments") / "backdoor"
MODELS = ("clean", "planted")
SAMPLES, DRAWS = 10_000, 20
# Tokens of the trigger (experiments/backdoor/README.md), a thousand times as frequent as the others.
TRIGGER, FREQUENT = (17, 62, 63), 1000
DIGITS = 9


class Backdoor(AbstractReproduction):
    """Two models that agree on ten thousand random inputs."""

    name: ClassVar[str] = "backdoor"
    question: ClassVar[str] = "Does a proof find a fault that ten thousand samples miss?"
    needs_sweep: ClassVar[bool] = False

    def results(self, swept: Swept) -> dict[str, Any]:
        """Samples, exact counts and brackets of both models."""
        folder = swept.checkpoints[0].parents[1] / FOLDER if swept.checkpoints else FOLDER
        paths = {name: folder / f"{name}.safetensors" for name in MODELS}
        if not all(path.is_file() for path in paths.values()):
            raise ReproductionError(f"{FOLDER} with {' and '.join(MODELS)}.safetensors is not here")
        return {"models": {name: _findings(api.load_weights(path)) for name, path in paths.items()}}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """A row per way of looking, a column per model."""
        models = results["models"]
        rows = [
            (label, *(str(models[name][key]) for name in MODELS))
            for key, label in (
                ("draws_without_a_mistake", f"draws of {SAMPLES:,} samples without a mistake, of {DRAWS}"),
                ("chance_of_no_mistake", f"chance that {SAMPLES:,} samples show no mistake"),
                ("wrong", "wrong inputs, exact"),
                ("accuracy_at_most", "accuracy at most (exact)"),
                ("grid_at_least", "accuracy at least (grid-count)"),
                ("grid_at_most", "accuracy at most (grid-count)"),
                ("moment_at_least", "accuracy at least (exponential-moment)"),
                ("frequent_trigger_at_most", "probability at most, trigger tokens frequent (exact)"),
                ("worst", "lowest stratum (last token, right output): right"),
            )
        ]
        return {"backdoor": Table("What samples and proofs say of two models", ("", *MODELS), tuple(rows))}


def _findings(weights: Weights) -> dict[str, Any]:
    task, _ = api.task_of(weights)
    proof = api.prove(weights, task, Exact())
    verdict = api.check(proof, weights)
    right, total, worst = proof.claim.correct, task.total(), verdict.worst_stratum
    perfect = sum(sampled_accuracy(weights, task, SAMPLES, seed) == 1 for seed in range(DRAWS))
    grid = api.prove(weights, task, GridCount())
    moment = api.prove(weights, task, ExponentialMoment(rival="every"))
    return {
        "weights_sha256": weights.sha256,
        "draws_without_a_mistake": perfect,
        # Rounded down from the exact fraction.
        "chance_of_no_mistake": decimal_down(Fraction(right, total) ** SAMPLES, 4),
        "right": str(right),
        "total": str(total),
        "wrong": total - right,
        "accuracy_at_most": _up(proof.correct_at_most, total),
        "wrong_strata": [
            {"q": one.q, "y": one.y, "wrong": one.wrong_at_most, "total": one.total}
            for one in verdict.strata
            if one.wrong_at_most
        ],
        "worst": "" if worst is None else f"({worst.q}, {worst.y}): {decimal_down(worst.accuracy)}",
        "grid_at_least": decimal_down(grid.claim.accuracy, DIGITS),
        "grid_at_most": _up(grid.correct_at_most, total),
        "moment_at_least": decimal_down(moment.claim.accuracy, DIGITS),
        **_with_frequent_trigger(weights, task),
    }


def _with_frequent_trigger(weights: Weights, task: AbstractTask) -> dict[str, str]:
    """Exact probability of a right answer where the trigger's tokens are frequent."""
    row = [FREQUENT if token in TRIGGER else 1 for token in range(task.d_vocab)]
    proof = api.prove(weights, task, Exact(), distribution=Product([row]))
    return {
        "frequent_trigger_right": f"{proof.claim.correct}/{proof.claim.total}",
        "frequent_trigger_at_most": _up(proof.correct_at_most, proof.claim.total),
    }


def _up(correct: int | None, total: int) -> str:
    """A share as a decimal, rounded up; empty if there is none."""
    return "" if correct is None else _decimal_up(Fraction(correct, total))


def _decimal_up(value: Fraction) -> str:
    scaled = -(-value.numerator * 10**DIGITS // value.denominator)
    return f"{scaled // 10**DIGITS}.{scaled % 10**DIGITS:0{DIGITS}d}"
