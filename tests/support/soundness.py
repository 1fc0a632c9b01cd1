"""`check_rule` on one model, as Hypothesis finds it.

Contents:
    require_sound — bounds of a rule on a model, for some hints, against enumeration; none of the hints is refused.
"""

from collections.abc import Callable, Iterable
from operator import eq, ge

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules import RULES
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.testing import Checked, Truth, check_rule
from support.oracle import wrong_weights

# Other lengths are stated as a bound, or depend on decisions that a run over shapes does not take.
EXACT_LENGTH = ("cubic", "sub-cubic", "band", "sparse-output", "key-frequency")
NO_LENGTH = ("brute-force", "comparisons", "exact", "layer-cake", "layer-count")


def require_sound(
    rule: str,
    weights: Weights,
    question: Question,
    arithmetic: str,
    advice: Iterable[Hints] = (Hints(),),
    truth: Truth | Callable[[Weights, Question], Truth] = wrong_weights,
) -> Checked:
    """No bound is below the truth in any stratum; lengths are as counted; unknown hints are refused, these are not.

    The truth may be given, for a model on which several rules are compared with it.
    """
    found = check_rule(
        RULES[rule],
        [(weights, question)],
        lambda *_: advice,
        truth=truth if callable(truth) else lambda *_: truth,
        arithmetics=[arithmetic],
        length=None if rule in NO_LENGTH else eq if rule in EXACT_LENGTH else ge,
        lost=False,
    )
    assert found.refused == 0
    return found
