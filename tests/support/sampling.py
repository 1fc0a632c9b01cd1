"""How many random examples a property is tried on.

The environment variable `PESSIMAL_EXAMPLES` caps every number, for runs in which each call is checked or traced and
so takes many times as long (`make shapes`).

Contents:
    examples — a number of examples within the cap.
"""

import os


def examples(number: int) -> int:
    """That many, or the cap if it is lower."""
    return min(number, int(os.environ.get("PESSIMAL_EXAMPLES", number)))
