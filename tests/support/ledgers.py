"""Rows of a ledger as the checker writes them, without running it.

Contents:
    row — one row.
    TESTS_ENVIRONMENT — for processes that import what tests import.
"""

import os
import sys
from typing import Any

from pessimal.spec.claim import AccuracyClaim

TESTS_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def row(weights: str, **changes: Any) -> dict[str, Any]:
    """A verified row about one model, with other values where they are given."""
    return {
        "verdict": "VERIFIED",
        "reason": None,
        "correct": "3",
        "total": "4",
        "claim": AccuracyClaim.kind,
        "accuracy_lower_bound": 0.75,
        "accuracy_upper_bound": None,
        "semantics": "real",
        "assumptions": [],
        "task": "max-of-k",
        "distribution": "uniform",
        "distribution_sha256": None,
        "strategy": "cubic",
        "rule": "cubic",
        "flops": 1000,
        "checker_ops": 2000,
        "certificate_bytes": 300,
        "unexplained_dims": 5,
        "seconds": 0.25,
        "weights_sha256": "ab" * 32,
        "weights": weights,
        **changes,
    }
