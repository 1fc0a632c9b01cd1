"""The cost of the sub-cubic rule: operations counted, hints read, dimensions as documented."""

from math import prod

import numpy as np
import pytest

from pessimal.kernel.arithmetic.counting import Counted
from pessimal.kernel.cost import n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.averaging import AVERAGINGS, DROP
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.spec.question import Question
from pessimal.strategies.sub_cubic import pack_halfwords
from support.bounds import cost_of, counted
from support.sub_cubic import CASES, EXACT, MODELS, model, random_arrays, random_points


def dims_loops(words: tuple[str, str, str], v: int, m: int) -> int:
    """Numbers treated as a table (`unexplained_dims`)."""
    direct, _, error = words
    of_direct = {"max_diff": v * m + 2, "max_diff_exact": 2 * v, "global_max_diff_exact": 2}
    of_error = {EXACT: v * v, "svd": 2 * v, "max_diff_exact": 4 * v}
    around = v + v * m + 2
    low_rank = 2 * v + 2 * m + v * error.startswith("mean")
    return of_direct.get(direct, around) + of_error.get(error, low_rank) + v + v * v


@pytest.mark.parametrize("case", MODELS)
def test_the_cost_is_what_is_counted_and_what_is_read(case, monkeypatch):
    """Operations, exponentials and hints, for every word; dimensions as documented, memory for the tables at least."""
    exps = []
    real = Counted.exp
    monkeypatch.setattr(Counted, "exp", lambda self: exps.append(prod(self.shape)) or real(self))
    shape = model(case).architecture.shape
    v, k, m, o = shape.d_vocab, shape.k, shape.d_model, shape.d_vocab_out
    rng = np.random.default_rng(0)
    for i in range(20):
        words = (list(DIRECT_PATHS)[i % 5], AVERAGINGS[i // 3 % 2], list(QK_PATHS)[i % 10])
        cross = CROSS[i // 10]
        n_points = 0 if words[1] == DROP else (1, 2, 5)[i % 3]
        arrays = random_arrays(case, words[0], words[2], i)
        read = sum(x.size for x in arrays.values()) + (k - 1) * n_strata(v) + n_points * v
        arrays["gap"] = pack_halfwords(np.zeros((k - 1, n_strata(v)), dtype=np.int64))
        if n_points:
            arrays["points"] = pack_halfwords(random_points(rng, v, n_points, whole=True))
        options = dict(zip(("direct", "attention", "attention_error"), words, strict=True))
        options |= {"cross": cross, "count": "fixed", "gaps": "query", "points": n_points}
        exps.clear()
        question, hints = Question(CASES[case].task()), Hints(options, arrays)
        flops = counted("sub-cubic", model(case), question, hints)
        # What counting enters into `exps` here must not be that of `cost`, which may count too.
        found = sum(exps)
        cost = cost_of("sub-cubic", model(case).architecture, question, hints)
        assert cost.flops == flops, options
        assert cost.checker_ops == shape.n_parameters() + read + 8 * (flops - found) + 120 * found
        assert cost.unexplained_dims == dims_loops(words, v, m)
        assert cost.bytes_needed > 16 * (v * v + v * o + k * o)
