"""All checkers print the same line about models of every scale, ties and signed zeros included.

`tests/differential.py` does the same for any number of models.
"""

import pytest

from differential import compare
from support import verified_checker
from support.sampling import examples


def agree(folder, seeds):
    wrong, counts = compare(folder, seeds, verified=not verified_checker.MISSING)
    assert wrong == []
    return counts


def test_all_checkers_agree_on_a_few_models_of_any_scale(tmp_path):
    counts = agree(tmp_path, range(examples(8)))
    assert counts["above nothing"] > 0
    assert counts["damaged", "rejected"] > 0


@pytest.mark.slow
@pytest.mark.survey
def test_all_checkers_agree_on_a_hundred_models_of_any_scale(tmp_path):
    counts = agree(tmp_path, range(5000, 5000 + examples(100)))
    assert counts["above nothing"] > counts["proof", "verified"] / 3
    assert counts["no slack"] <= counts["all", "rejected"] / 10
