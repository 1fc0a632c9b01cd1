"""What a row of the ledger holds; everything is checked here, once, so that no reader trips over a row.

A row is the object of `pessimal check` with the name of the weights; keys that this version does not know are kept.
Counts too long for a JSON number of other programs are strings of digits.

Contents:
    require_row — refuse what is no row.
    RowError — why, in a few words.
    other_question — whether a row is about another task than one asks about.
    said — what a row says, times apart: rows that say the same are one proof.
"""

import json
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

MAX_NAME = 255
# As many digits as a claim may have, and as Python turns into text.
MAX_COUNT_DIGITS = 4000
MAX_INT_DIGITS = 400
MAX_KEYS = 200
KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
COUNT = re.compile(rf"[0-9]{{1,{MAX_COUNT_DIGITS}}}")
VERDICTS = ("VERIFIED", "REJECTED")
# Every version wrote these; absent is not null.
REQUIRED = (
    "weights", "weights_sha256", "verdict", "reason", "correct", "total", "accuracy_lower_bound", "task",
    "distribution", "semantics", "strategy", "rule", "flops", "checker_ops", "certificate_bytes", "unexplained_dims",
    "seconds", "assumptions",
)  # fmt: skip
TEXTS = (
    "reason", "claim", "task", "distribution", "distribution_sha256", "semantics", "strategy", "rule", "certificate",
    "asked", "direct", "attention", "attention_error", "question_sha256",
)  # fmt: skip
COUNTS = ("correct", "total", "correct_as_published")
NATURALS = ("flops", "checker_ops", "certificate_bytes", "unexplained_dims")
NUMBERS = (
    "accuracy_lower_bound", "accuracy_upper_bound", "mean_probability_lower_bound", "loss_upper_bound", "seconds",
    "prove_seconds",
)  # fmt: skip
RECORDS = ("options", "worst_stratum", "task_record")
# Claims about the softmax are no counts: their numbers are not compared here.
SOFTMAX = ("mean-probability", "loss")
IDENTITY = (
    "weights", "weights_sha256", "certificate", "asked", "strategy", "options", "task", "distribution",
    "distribution_sha256", "semantics", "claim", "question_sha256", "task_record", "verdict",
    "reason", "correct", "total", "flops",
)  # fmt: skip


class RowError(ValueError):
    """Something is no row of a ledger; the message says why."""


def require_row(row: Mapping[str, Any]) -> None:
    """Refuse a record that a reader of the ledger could not use.

    Raises:
        RowError: a key is missing, a value is of another type than it should be, or the numbers contradict each other.
    """
    if len(row) > MAX_KEYS or not all(KEY.fullmatch(key) for key in row):
        raise RowError("has a key that is not a short name of small letters, digits and _")
    missing = [key for key in REQUIRED if key not in row]
    if missing:
        raise RowError(f"lacks {', '.join(missing[:3])}{' and more' * (len(missing) > 3)}")
    if not _is_name(row["weights"]):
        raise RowError("weights is not the name of a file")
    if not (isinstance(row["weights_sha256"], str) and DIGEST.fullmatch(row["weights_sha256"])):
        raise RowError("weights_sha256 is not a digest of 64 hexadecimal digits")
    if row["verdict"] not in VERDICTS:
        raise RowError(f"verdict is not {' or '.join(VERDICTS)}")
    for keys, fits, words in (
        (TEXTS, lambda value: isinstance(value, str), "a string"),
        (COUNTS, _is_count, "a natural number"),
        (NATURALS, _is_natural, "a natural number"),
        (NUMBERS, _is_number, "a number"),
        (RECORDS, lambda value: isinstance(value, dict), "an object"),
    ):
        for key in keys:
            if row.get(key) is not None and not fits(row[key]):
                raise RowError(f"{key} is not {words}")
    _require_values(row)
    if row["verdict"] == "VERIFIED" and None in (row["correct"], row["total"], row["flops"]):
        raise RowError("is verified without correct, total or flops")
    _require_bound(row)


def other_question(row: Mapping[str, Any], name: str, record: Mapping[str, Any]) -> bool:
    """Whether a row is about another task; of rows of earlier versions the task's name decides."""
    stored = row.get("task_record")
    if stored is not None:
        return bool(stored != json.loads(json.dumps(dict(record))))
    return row["task"] not in (None, name)


def said(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row says: equal for two rows of one proof, whenever it was made."""
    return tuple(str(row.get(key)) for key in IDENTITY)


def _require_values(row: Mapping[str, Any]) -> None:
    """Lists of sentences, and numbers that stay within what other programs hold."""
    sentences = row["assumptions"]
    if sentences is not None and not (isinstance(sentences, list) and all(isinstance(one, str) for one in sentences)):
        raise RowError("assumptions is not a list of strings")
    for key, value in row.items():
        if isinstance(value, int) and abs(value) >= 10**MAX_INT_DIGITS:
            raise RowError(f"{key} has more than {MAX_INT_DIGITS} digits")


def _require_bound(row: Mapping[str, Any]) -> None:
    """A row that states a count states one, and no more than it says."""
    if row["correct"] is None or row["total"] is None:
        return
    correct, total = int(row["correct"]), int(row["total"])
    if total == 0 or (row.get("claim") not in SOFTMAX and correct > total):
        raise RowError("correct of total is not a count")
    stated = row["accuracy_lower_bound"]
    if stated is not None and Fraction(stated) > Fraction(correct, total):
        raise RowError("accuracy_lower_bound is above correct of total")
    upper = row.get("accuracy_upper_bound")
    if upper is not None and not 0 <= upper <= 1:
        raise RowError("accuracy_upper_bound is not between 0 and 1")


def _is_name(value: object) -> bool:
    """Whether a value can name a file in a folder."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and not set(value) & set("/\\")


def _is_count(value: object) -> bool:
    return _is_natural(value) or (isinstance(value, str) and COUNT.fullmatch(value) is not None)


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**MAX_INT_DIGITS


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
