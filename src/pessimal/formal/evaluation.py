"""Which Coq evaluator counts what a rule counts, and the hints of a certificate as Coq terms.

Nothing here is believed: the theorems hold for every hint, and other hints give other counts.

Contents:
    Evaluation — an evaluator with its arguments.
    EVALUATORS — by the name of the rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pessimal.kernel.certificate import Certificate
from pessimal.kernel.counting.tilts import tilts
from pessimal.kernel.hints import Dyadics
from pessimal.kernel.rules.grid_count import MAX_CELLS
from pessimal.kernel.terms.options import TermOptions
from pessimal.spec.architecture import ModelShape
from pessimal.spec.question import Question
from pessimal.spec.tasks import MaxOfK

WEIGHTS = "weights_of_file"
OPTIONS = """
Definition options_of_certificate : options := {{|
  rival := {rival}; pooled := {pooled}; near := {near};
  tilts := {tilts};
  grid := {grid}
|}}.
"""


@dataclass(frozen=True)
class Evaluation:
    """An evaluator with its arguments.

    Attributes:
        modules: files of `formal/theories`; the last has the evaluator f and its theorem `f_correct`.
        function: f.
        arguments: what f takes after the carrier of integers.
        definitions: Coq text that defines the arguments.
    """

    modules: tuple[str, ...]
    function: str
    arguments: str = WEIGHTS
    definitions: str = ""


def _pairs(numbers: Dyadics) -> str:
    """Numbers m 2^e, a row per rival group."""
    rows = zip(numbers.mantissa.tolist(), numbers.exponent.tolist(), strict=True)
    body = (";\n  ".join(f"({m}, {e})" for m, e in zip(*row, strict=True)) for row in rows)
    return "[" + ";\n ".join(f"[{one}]" for one in body) + "]%Z"


def _sums(certificate: Certificate) -> Evaluation:
    """`right_by_sums` with the options, tilts, and steps if there are any, of the certificate."""
    hints = certificate.hints
    task = MaxOfK(certificate.task["k"], certificate.task["d_vocab"])
    one_head = ModelShape(task.k, task.d_vocab, task.d_vocab, certificate.model["d_model"], certificate.model["d_head"])
    options = TermOptions.read(hints, Question(task), one_head)
    tilt = tilts(hints, task, options, 1)
    grid = "None"
    if certificate.rule == "grid-count":
        steps = _pairs(hints.dyadics("step", tilt.mantissa.shape))
        grid = f"Some ({steps}, {hints.number('cells', 1, MAX_CELLS)}%Z)"
    definitions = OPTIONS.format(
        rival=options.rival.capitalize(), pooled=str(options.pooled).lower(), near=options.near,
        tilts=_pairs(tilt), grid=grid,
    )  # fmt: skip
    return Evaluation(("Margins", "CheckSums"), "right_by_sums", f"{WEIGHTS} options_of_certificate", definitions)


EVALUATORS: dict[str, Callable[[Certificate], Evaluation]] = {
    "position-minima": lambda _: Evaluation(("CheckPositionMinima",), "right_by_position_minima"),
    "exact": lambda _: Evaluation(("CheckEnumeration",), "right_by_enumeration"),
    "exponential-moment": _sums,
    "grid-count": _sums,
}
