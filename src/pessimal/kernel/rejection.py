"""Why a certificate is not accepted: a closed list, so that a caller can act on it.

Contents:
    Reason — the list.
    Rejected — raised anywhere in the kernel; becomes the verdict.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason a check can end with, except success."""

    MALFORMED_CONTAINER = "malformed-container"
    MALFORMED_HEADER = "malformed-header"
    UNSUPPORTED_FORMAT = "unsupported-format"
    UNKNOWN_RULE = "unknown-rule"
    BAD_CLAIM = "bad-claim"
    BAD_HINT = "bad-hint"
    WEIGHTS_MISMATCH = "weights-mismatch"
    MODEL_MISMATCH = "model-mismatch"
    TASK_MISMATCH = "task-mismatch"
    OTHER_QUESTION = "other-question"
    UNSUPPORTED_MODEL = "unsupported-model"
    BOUND_TOO_LOW = "bound-too-low"
    RESOURCES = "resources"
    ARITHMETIC_ENVIRONMENT = "arithmetic-environment"
    RULE_FAILED = "rule-failed"


class Rejected(Exception):  # noqa: N818 - a verdict, not an error of the program
    """The certificate is not accepted.

    Attributes:
        reason: one of the closed list.
        detail: one sentence for the reader of the terminal.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
