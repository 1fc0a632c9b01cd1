"""What is written down of a proof or a verdict: rows of numbers, never above what was proved.

Contents:
    CLAIM_FIELDS — the keys of a row that only a verified claim fills.
    STRATA_COLUMNS — the columns of the bounds by stratum.
    write_strata — the bounds by stratum as a table.
    strata_bytes — the bytes of that table.
    result_row — a proof or verdict as the JSON object of the command line.
    refused_row — the object of a proof that was refused.
    float_down — the largest float64 not above a fraction.
"""

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from pessimal.kernel.rejection import Rejected
from pessimal.kernel.verdict import NotVerified, Verdict, Verified
from pessimal.runs import write_atomic
from pessimal.spec import Weights
from pessimal.spec.claim import ACCURACY, LOSS, MEAN_PROBABILITY
from pessimal.spec.semantics import assumptions as semantics_assumptions

CLAIM_FIELDS = (
    "correct", "total", "claim", "accuracy_lower_bound", "mean_probability_lower_bound", "loss_upper_bound",
    "accuracy_upper_bound", "worst_stratum",
)  # fmt: skip
STRATA_COLUMNS = ("q", "y", "total", "wrong_at_most")


def write_strata(verdict: Verdict, path: Path | str) -> Path:
    """Write the bound of every stratum: last token, right output, weight of its sequences, at most how much is wrong.

    A CSV file with a line per stratum, or a JSON list if the name ends so; numbers are whole, in strings in JSON.

    Raises:
        ValueError: the certificate was rejected, or its rule gives no bounds by stratum.
    """
    path = Path(path)
    write_atomic(path, strata_bytes(verdict, as_json=path.suffix == ".json"))
    return path


def strata_bytes(verdict: Verdict, *, as_json: bool) -> bytes:
    """What `write_strata` writes; raises likewise."""
    if not isinstance(verdict, Verified) or not verdict.strata:
        raise ValueError("there are no bounds by stratum to write")
    rows = [(one.q, one.y, str(one.total), str(one.wrong_at_most)) for one in verdict.strata]
    if as_json:
        text = json.dumps([dict(zip(STRATA_COLUMNS, row, strict=True)) for row in rows], indent=0)
    else:
        text = "\n".join(",".join(map(str, row)) for row in [STRATA_COLUMNS, *rows])
    return f"{text}\n".encode()


def result_row(
    weights: Weights, verdict: Verdict, *, seconds: float, assumptions: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON object of `pessimal prove` and `pessimal check`."""
    question, certificate, cost = verdict.question, verdict.certificate, verdict.cost
    distribution = None if question is None else question.distribution
    claimed = _claim_fields(verdict) if isinstance(verdict, Verified) else {}
    assumed = semantics_assumptions(verdict.claim.semantics) if isinstance(verdict, Verified) else ()
    return {
        "verdict": "VERIFIED" if isinstance(verdict, Verified) else "REJECTED",
        "reason": None if isinstance(verdict, Verified) else str(verdict.reason),
        **dict.fromkeys(CLAIM_FIELDS),
        **claimed,
        "assumptions": [*map(str, weights.architecture.assumed), *assumptions, *assumed],
        "question_sha256": None if question is None else question.sha256,
        "task": None if question is None else question.task.name,
        "task_record": None if question is None else question.task.record(),
        "semantics": None if question is None else question.semantics,
        "distribution": None if distribution is None else distribution.name,
        "distribution_sha256": distribution.sha256 if distribution is not None and distribution.arrays() else None,
        "strategy": None if certificate is None else certificate.strategy,
        "rule": None if certificate is None else certificate.rule,
        "flops": None if cost is None else cost.flops,
        "checker_ops": None if cost is None else cost.checker_ops,
        "certificate_bytes": verdict.n_bytes,
        "unexplained_dims": None if cost is None else cost.unexplained_dims,
        "seconds": round(seconds, 3),
        "weights_sha256": weights.sha256,
        "converted": weights.converted or None,
    }


def _claim_fields(verdict: Verified) -> dict[str, Any]:
    """`CLAIM_FIELDS` of a verified claim."""
    claim, at_most, worst = verdict.claim, verdict.correct_at_most, verdict.worst_stratum
    down = float_down(claim.value) if claim.quantity != LOSS else None
    stratum = None if worst is None else (worst.q, worst.y, str(worst.total), str(worst.wrong_at_most))
    return {
        "correct": str(claim.amount),
        "total": str(claim.total),
        "claim": claim.kind,
        "accuracy_lower_bound": down if claim.quantity == ACCURACY else None,
        "mean_probability_lower_bound": down if claim.quantity == MEAN_PROBABILITY else None,
        "loss_upper_bound": -float_down(-claim.value) if claim.quantity == LOSS else None,
        "accuracy_upper_bound": None if at_most is None else -float_down(-Fraction(at_most, claim.total)),
        "worst_stratum": None if stratum is None else dict(zip(STRATA_COLUMNS, stratum, strict=True)),
    }


def refused_row(weights: Weights, refusal: Rejected, *, strategy: str, seconds: float) -> dict[str, Any]:
    """The same object for a proof that was refused before there was a certificate."""
    row = result_row(weights, NotVerified(refusal.reason, refusal.detail), seconds=seconds)
    return {**row, "strategy": strategy}


def float_down(value: Fraction) -> float:
    """The largest float64 not above a fraction."""
    nearest = value.numerator / value.denominator
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)
