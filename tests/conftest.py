"""Fixed random seeds for every property; no deadlines, so that a slow machine does not change an outcome.

Where the number of examples is capped (`make shapes`), the number of parameters of a test is too.
"""

from itertools import groupby

import pytest
from hypothesis import HealthCheck, settings

from support.sampling import examples

settings.register_profile(
    "pessimal",
    derandomize=True,
    deadline=None,
    max_examples=examples(40),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("pessimal")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of every test, parameters evenly spaced among its own, as many as the cap on examples allows."""
    kept: list[pytest.Item] = []
    for _, group in groupby(items, key=lambda item: item.nodeid.partition("[")[0]):
        mine = list(group)
        number = examples(len(mine))
        kept += [mine[i * len(mine) // number] for i in range(number)]
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept
