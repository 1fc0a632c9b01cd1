"""Rows of the ledger, parsed strictly, and how their numbers are written.

A percentage is display only and rounded down, so the page never claims more than the exact fraction.

Contents:
    ReportError — one clear sentence.
    Result — one checked (or rejected) proof.
    Model — the results of one set of weights.
    result_of, models_of — rows to those.
    percent_down, percent_up, grouped, power_of_two, short — numbers to text.
    natural — order of names with numbers in them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from pessimal.report.numbers import nearest, up_significant

# As JSON has them.
Number = int | float
MAX_PERCENT_DIGITS = 12
MAX_PARAMETERS = 80
# What every task has, and machines beside their tables.
SIZES = {"name", "k", "d_vocab", "start"}
# Of rows from before there were others.
DEFAULT_CLAIM = "correct-count"
# Of the evidence of modular addition: bounds of the errors of quadratures.
UPPER_BOUNDS = {"box_abs", "box_identity", "angle", "moment_20", "moment_100"}
# A short exponent: Fraction would spell out a long one.
DECIMAL = re.compile(r"[0-9]{1,400}(\.[0-9]{1,400})?(e-[0-9]{1,3})?")


class ReportError(ValueError):
    """The run folder cannot be drawn; the message is one sentence."""


@dataclass(frozen=True)
class Result:
    """One proof as the checker judged it.

    Attributes:
        weights: file stem of the weights, `sha256` their digest.
        task: task with its own parameters, distribution and semantics as the checker wrote them.
        strategy: who made the proof; `rule` which theorem it uses.
        verified: whether the checker accepted it; otherwise `reason` says why not.
        correct: proven number of correct inputs out of `total`, exact; None if rejected or not stated.
        bound: proven lower bound on accuracy, exact as stated; None if rejected.
        upper: proven upper bound on accuracy; None if rejected, not stated, or no better than 1.
        flops: nominal real operations of the rule.
        checker_ops: everything the checker does.
        certificate_bytes: size of the certificate file.
        unexplained_dims: free real parameters that the proof leaves as a table.
        seconds: wall time of the check.
        assumptions: sentences the checker attached to the claim.
        claim: kind of the claim; empty if not stated.
        question_sha256: digest of the question as the checker gave it; empty in rows of earlier versions.
        rechecked: whether the checker gave all this for this page; otherwise a ledger says so.
        differs: what the ledger says otherwise.
    """

    weights: str
    sha256: str
    task: str
    distribution: str
    semantics: str
    strategy: str
    rule: str
    verified: bool
    reason: str
    correct: int | None
    total: int | None
    bound: Fraction | None
    upper: Fraction | None
    flops: int | None
    checker_ops: int | None
    certificate_bytes: int | None
    unexplained_dims: int | None
    seconds: float | None
    assumptions: tuple[str, ...]
    claim: str = ""
    question_sha256: str = ""
    rechecked: bool = False
    differs: tuple[str, ...] = ()

    @property
    def question(self) -> tuple[str, ...]:
        """What the bound is about; only bounds on the same question are compared.

        The digest says it all. A row without one does not say what its task's parameters are: it is compared with
        others of that kind alone.
        """
        if self.question_sha256:
            return (self.question_sha256,)
        return self.task, self.distribution, self.semantics, self.claim

    @property
    def shortfall(self) -> Fraction | None:
        """Fraction of inputs not proven correct."""
        return None if self.bound is None else 1 - self.bound


@dataclass(frozen=True)
class Model:
    """The results of one set of weights on one question.

    Attributes:
        label: `name`, with the question where there are results on several.
        name: file stem, with the start of the digest where two models share a stem.
        weights: file stem.
        sha256: digest of the weights.
        results: longest proof first, rows without a length last.
        frontier: for each result, whether no other proof on the same question is as tight and shorter, or
            tighter and as short; of a question with re-checked proofs, one of these.
    """

    label: str
    name: str
    weights: str
    sha256: str
    results: tuple[Result, ...]
    frontier: tuple[bool, ...]

    @property
    def about(self) -> Result:
        """A result that says what the question is: a verified one if there is any."""
        return next((result for result in self.results if result.verified), self.results[0])

    @property
    def best(self) -> Result | None:
        """The tightest verified result, the shortest of equals; re-checked if any was; None if all were rejected."""
        verified = [r for r in self.results if r.bound is not None]
        verified = [r for r in verified if r.rechecked] or verified
        return max(verified, key=lambda r: (r.bound, -(r.flops or 0)), default=None)


def result_of(recorded: Mapping[str, Any], where: str, checked: Mapping[str, Any] | None = None) -> Result:
    """Parse one ledger row.

    Args:
        recorded: the JSON object of `pessimal check`, plus `weights`.
        where: name of the row for messages.
        checked: the same as the checker gave it just now; shown instead.

    Raises:
        ReportError: a value of the wrong type, or a verified row without a bound.
    """
    row = recorded if checked is None else checked
    verified = _text(row, "verdict", where).lower() == "verified"
    correct, total = (_integer(row, key, where) if verified else None for key in ("correct", "total"))
    bound = _bound(row, correct, total, where) if verified else None
    return Result(
        weights=_text(row, "weights", where) or "unnamed",
        sha256=_text(row, "weights_sha256", where),
        task=_task(row, where),
        distribution=f"{_text(row, 'distribution', where)} {_text(row, 'distribution_sha256', where)[:8]}".strip(),
        semantics=_text(row, "semantics", where),
        strategy=_text(row, "strategy", where) or "unnamed",
        rule=_text(row, "rule", where),
        verified=verified,
        reason="" if verified else _text(row, "reason", where),
        correct=correct,
        total=total,
        bound=bound,
        upper=_upper(row, where) if verified else None,
        flops=_integer(row, "flops", where),
        checker_ops=_integer(row, "checker_ops", where),
        certificate_bytes=_integer(row, "certificate_bytes", where),
        unexplained_dims=_integer(row, "unexplained_dims", where),
        seconds=_seconds(row, where),
        assumptions=_sentences(row, where),
        claim=_text(row, "claim", where) or DEFAULT_CLAIM,
        question_sha256=_text(row, "question_sha256", where),
        rechecked=checked is not None,
        # What the checker does not give, nobody can compare; none of it is shown.
        differs=() if checked is None else tuple(sorted(key for key in recorded if _differs(key, recorded, checked))),
    )


def models_of(results: Sequence[Result]) -> list[Model]:
    """Group results by weights and question, in the order of their names.

    Args:
        results: in ledger order; a repeated check that says the same thing replaces the earlier one.
    """
    groups: dict[tuple[str, str], dict[tuple[Any, ...], Result]] = {}
    for result in results:
        said = tuple(value for name, value in vars(result).items() if name != "seconds")
        groups.setdefault((result.weights, result.sha256), {})[said] = result
    stems = [stem for stem, _ in groups]
    models = []
    for (stem, sha256), rows in sorted(groups.items(), key=lambda group: natural(" ".join(group[0]))):
        name = stem if stems.count(stem) == 1 else f"{stem} ({sha256[:8] or 'no digest'})"
        questions = _by_question(list(rows.values()))
        for group in questions:
            ordered = sorted(group, key=lambda r: (r.flops is None, -(r.flops or 0), r.strategy))
            frontier = tuple(_on_frontier(result, ordered) for result in ordered)
            model = Model(name, name, stem, sha256, tuple(ordered), frontier)
            models.append(model if len(questions) == 1 else replace(model, label=_label(name, model.about)))
    return models


def percent_down(fraction: Fraction) -> str:
    """A fraction between 0 and 1 as a percentage rounded down.

    Four decimals, two more at a time while all digits are nines; 100 only for 1 itself.
    """
    if fraction == 1:
        return "100\u2009%"
    digits = 4
    while True:
        whole, part = divmod(fraction.numerator * 100 * 10**digits // fraction.denominator, 10**digits)
        text = f"{whole}.{part:0{digits}d}"
        if digits >= MAX_PERCENT_DIGITS or set(text) - {"9", "."}:
            return f"{text}\u2009%"
        digits += 2


def percent_up(fraction: Fraction) -> str:
    """A fraction between 0 and 1 as a percentage rounded up to four decimals."""
    whole, part = divmod(-(-fraction.numerator * 1_000_000 // fraction.denominator), 10_000)
    return f"{whole}.{part:04d}\u2009%"


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts `k=4` before `k=20`."""
    return [(len(part), part) if part.isdigit() else (0, part) for part in re.split("([0-9]+)", text)]


def grouped(number: int | None) -> str:
    """An integer with commas, or a dash."""
    return "\u2013" if number is None else f"{number:,}"


def power_of_two(number: int | None) -> str | None:
    """Two decimals of the binary logarithm of a positive integer, to nearest; None otherwise."""
    return None if number is None or number <= 0 else nearest(math.log2(number), ".2f")


def _by_question(rows: Sequence[Result]) -> list[list[Result]]:
    """Results of one set of weights, by question; a rejected one that states none stands where only one fits."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in rows:
        if result.verified or result.question_sha256:
            groups.setdefault(result.question, []).append(result)
    stated = list(groups.items())
    for result in rows:
        if not (result.verified or result.question_sha256):
            fits = [key for key, (one, *_) in stated if result.task in ("", one.task)]
            groups.setdefault(fits[0] if len(fits) == 1 else result.question, []).append(result)
    return [group for _, group in sorted(groups.items(), key=lambda item: (natural(item[1][0].task), item[0]))]


def _label(name: str, result: Result) -> str:
    """A model and a question."""
    words = [name, result.task, result.distribution, result.semantics, f"question {result.question_sha256[:8]}"]
    return " · ".join(words if result.question_sha256 else words[:-1])


def _on_frontier(result: Result, others: Sequence[Result]) -> bool:
    if result.bound is None or result.flops is None:
        return False
    mine = (result.bound, -result.flops)
    for other in others:
        if other.question != result.question or other.bound is None or other.flops is None:
            continue
        if result.rechecked != other.rechecked:
            # What a ledger says stands on the frontier only where nothing was re-checked.
            if other.rechecked:
                return False
            continue
        theirs = (other.bound, -other.flops)
        if theirs != mine and theirs[0] >= mine[0] and theirs[1] >= mine[1]:
            return False
    return True


def _differs(key: str, recorded: Mapping[str, Any], checked: Mapping[str, Any]) -> bool:
    return key in checked and recorded[key] != checked[key]


def _task(row: Mapping[str, Any], where: str) -> str:
    """The name of a task, with what it has beside its sizes where that is short."""
    name, record = _text(row, "task", where), row.get("task_record")
    own = record if isinstance(record, dict) else {}
    words = [f"{key}={value}" for key, value in own.items() if key not in SIZES and isinstance(value, int | str)]
    return f"{name} ({', '.join(words)[:MAX_PARAMETERS]})" if words else name


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ReportError(f"{where}: {key} is not a string")
    return value


def _integer(row: Mapping[str, Any], key: str, where: str) -> int | None:
    """A natural number, given as a JSON integer or as a string of decimal digits."""
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4000:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ReportError(f"{where}: {key} is not a natural number")


def _bound(row: Mapping[str, Any], correct: int | None, total: int | None, where: str) -> Fraction:
    """The exact bound where the count is stated, else the stated decimal."""
    if correct is not None and total is not None:
        if total == 0 or correct > total:
            raise ReportError(f"{where}: correct={correct} of total={total} is not a count")
        return Fraction(correct, total)
    if row.get("accuracy_lower_bound") is None:
        raise ReportError(f"{where}: a verified row needs correct and total, or accuracy_lower_bound")
    return _decimal(row, "accuracy_lower_bound", where)


def _upper(row: Mapping[str, Any], where: str) -> Fraction | None:
    if row.get("accuracy_upper_bound") is None:
        return None
    upper = _decimal(row, "accuracy_upper_bound", where)
    return upper if upper < 1 else None


def _decimal(row: Mapping[str, Any], key: str, where: str) -> Fraction:
    """A number between 0 and 1, a JSON number or a decimal string, taken as the decimal it shows."""
    text = str(row[key])
    if not DECIMAL.fullmatch(text) or not 0 <= (value := Fraction(text)) <= 1:
        raise ReportError(f"{where}: {key} is not a number between 0 and 1")
    return value


def _seconds(row: Mapping[str, Any], where: str) -> float | None:
    value = row.get("seconds")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ReportError(f"{where}: seconds is not a number")
    return float(value)


def _sentences(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = row.get("assumptions")
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ReportError(f"{where}: assumptions is not a list of strings")


def short(value: Number | None, name: str = "") -> str:
    """A number of the evidence under its name in the file, or a dash; upper bounds are rounded up."""
    if value is None:
        return "\u2013"
    if isinstance(value, int):
        return str(value)
    return up_significant(value) if name in UPPER_BOUNDS else nearest(value, ".4g")
