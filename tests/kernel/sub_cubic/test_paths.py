"""The paths of the sub-cubic rule are what they say."""

import pytest

from pessimal.kernel.rules.published.sub_cubic.paths import model_paths
from support.sub_cubic import MODELS, arithmetic, model, numbers, same


@pytest.mark.parametrize("case", MODELS)
def test_paths_are_what_they_say(case):
    n = numbers(case)
    arith = arithmetic()
    with arith.running():
        paths = model_paths(model(case), arith)
        pairs = [
            (paths.query, n.query), (paths.key, n.key), (paths.w_q, n.w_q), (paths.w_k, n.w_k),
            (paths.position_score, n.eqkp), (paths.direct, n.direct), (paths.unembed, n.unembed),
            (paths.value, n.evou), (paths.position_value, n.pvou),
        ]  # fmt: skip
    assert all(same(found, expected) for found, expected in pairs)
    assert n.scale == 1 if paths.scale is None else same(paths.scale, n.scale)
    assert not n.key_bias.any() if paths.key_bias is None else same(paths.key_bias, n.key_bias)
