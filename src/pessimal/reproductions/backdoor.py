"""A model that sampling calls perfect and a proof does not.

Contents:
    Backdoor — the reproduction.
    BackdoorRows — its numbers.
    Findings, FrequentTrigger, Stratum — those of one model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from pessimal import api
from pessimal.analysis import sampled_accuracy
from pessimal.inputs import load_weights, task_of
from pessimal.kernel.verdict import Verified
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.record import INLINE, Rows
from pessimal.reproductions.swept import Swept
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


@dataclass(frozen=True)
class Stratum(Rows):
    """A stratum that a model answers wrongly somewhere.

    Attributes:
        q, y: last token and right output.
        wrong, total: number of its wrong sequences, at most, and of all.
    """

    q: int
    y: int
    wrong: int
    total: int


@dataclass(frozen=True)
class FrequentTrigger(Rows):
    """The same model where the trigger's tokens are frequent.

    Attributes:
        frequent_trigger_right: exact probability of a right answer, as a fraction.
        frequent_trigger_at_most: that, rounded up.
    """

    frequent_trigger_right: str
    frequent_trigger_at_most: str


@dataclass(frozen=True)
class Findings(Rows):
    """What samples and proofs say of one model; shares are decimals, rounded as their names say.

    Attributes:
        weights_sha256: digest of the weights.
        draws_without_a_mistake: of so many draws of samples.
        chance_of_no_mistake: of one draw, rounded down.
        right, total, wrong: exact numbers of sequences.
        accuracy_at_most: exact accuracy, rounded up.
        wrong_strata: where the mistakes are.
        worst: the stratum with the lowest accuracy, in words.
        grid_at_least, grid_at_most: bracket by grid counting.
        moment_at_least: bound by exponential moments.
        frequent: on a distribution that favours the trigger.
    """

    weights_sha256: str
    draws_without_a_mistake: int
    chance_of_no_mistake: str
    right: str
    total: str
    wrong: int
    accuracy_at_most: str
    wrong_strata: tuple[Stratum, ...]
    worst: str
    grid_at_least: str
    grid_at_most: str
    moment_at_least: str
    frequent: FrequentTrigger = field(metadata=INLINE)

    def rows(self) -> dict[str, str]:
        """What the table shows, by way of looking."""
        return {
            f"draws of {SAMPLES:,} samples without a mistake, of {DRAWS}": str(self.draws_without_a_mistake),
            f"chance that {SAMPLES:,} samples show no mistake": self.chance_of_no_mistake,
            "wrong inputs, exact": str(self.wrong),
            "accuracy at most (exact)": self.accuracy_at_most,
            "accuracy at least (grid-count)": self.grid_at_least,
            "accuracy at most (grid-count)": self.grid_at_most,
            "accuracy at least (exponential-moment)": self.moment_at_least,
            "probability at most, trigger tokens frequent (exact)": self.frequent.frequent_trigger_at_most,
            "lowest stratum (last token, right output): right": self.worst,
        }


@dataclass(frozen=True)
class BackdoorRows(Rows):
    """Findings by model, `MODELS` all."""

    models: Mapping[str, Findings]


class Backdoor(AbstractReproduction[BackdoorRows]):
    """Two models that agree on ten thousand random inputs."""

    kind = BackdoorRows
    name: ClassVar[str] = "backdoor"
    question: ClassVar[str] = "Does a proof find a fault that ten thousand samples miss?"
    needs_sweep: ClassVar[bool] = False

    def results(self, swept: Swept) -> BackdoorRows:
        """Samples, exact counts and brackets of both models."""
        folder = swept.checkpoints[0].parents[1] / FOLDER if swept.checkpoints else FOLDER
        paths = {name: folder / f"{name}.safetensors" for name in MODELS}
        if not all(path.is_file() for path in paths.values()):
            raise ReproductionError(f"{FOLDER} with {' and '.join(MODELS)}.safetensors is not here")
        return BackdoorRows({name: _findings(load_weights(path)) for name, path in paths.items()})

    def tables(self, results: BackdoorRows) -> dict[str, Table]:
        """A row per way of looking, a column per model."""
        columns = [results.models[name].rows() for name in MODELS]
        rows = tuple((label, *(column[label] for column in columns)) for label in columns[0])
        return {"backdoor": Table("What samples and proofs say of two models", ("", *MODELS), rows)}


def _findings(weights: Weights) -> Findings:
    task, _ = task_of(weights)
    proof = api.prove(weights, task, Exact())
    verdict = api.check(proof, weights)
    if not isinstance(verdict, Verified):
        raise ReproductionError(f"the exact count is not verified: {verdict.detail}")
    right, total, worst = proof.claim.amount, task.total(), verdict.worst_stratum
    perfect = sum(sampled_accuracy(weights, task, SAMPLES, seed) == 1 for seed in range(DRAWS))
    grid = api.prove(weights, task, GridCount())
    moment = api.prove(weights, task, ExponentialMoment(rival="every"))
    return Findings(
        weights_sha256=weights.sha256,
        draws_without_a_mistake=perfect,
        # Rounded down from the exact fraction.
        chance_of_no_mistake=decimal_down(Fraction(right, total) ** SAMPLES, 4),
        right=str(right),
        total=str(total),
        wrong=total - right,
        accuracy_at_most=_up(proof.correct_at_most, total),
        wrong_strata=tuple(
            Stratum(one.q, one.y, one.wrong_at_most, one.total) for one in verdict.strata if one.wrong_at_most
        ),
        worst="" if worst is None else f"({worst.q}, {worst.y}): {decimal_down(worst.accuracy)}",
        grid_at_least=decimal_down(grid.claim.value, DIGITS),
        grid_at_most=_up(grid.correct_at_most, total),
        moment_at_least=decimal_down(moment.claim.value, DIGITS),
        frequent=_with_frequent_trigger(weights, task),
    )


def _with_frequent_trigger(weights: Weights, task: AbstractTask) -> FrequentTrigger:
    """Exact probability of a right answer where the trigger's tokens are frequent."""
    row = [FREQUENT if token in TRIGGER else 1 for token in range(task.d_vocab)]
    proof = api.prove(weights, task, Exact(), distribution=Product([row]))
    return FrequentTrigger(
        frequent_trigger_right=f"{proof.claim.amount}/{proof.claim.total}",
        frequent_trigger_at_most=_up(proof.correct_at_most, proof.claim.total),
    )


def _up(correct: int | None, total: int) -> str:
    """A share as a decimal, rounded up; empty if there is none."""
    return "" if correct is None else _decimal_up(Fraction(correct, total))


def _decimal_up(value: Fraction) -> str:
    scaled = -(-value.numerator * 10**DIGITS // value.denominator)
    return f"{scaled // 10**DIGITS}.{scaled % 10**DIGITS:0{DIGITS}d}"
