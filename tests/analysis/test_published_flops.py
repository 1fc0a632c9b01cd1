"""The published convention, computed from shapes, against the totals the literature recorded at v = 64, d = 32."""

import pytest

from pessimal.analysis.published.flops import published_flops

GLOBAL, DROP, EXACT = (
    "global_max_diff_exact",
    "drop_average_query_per_output_logit_reasoning",
    "exact_EQKE+max_diff_exact",
)
BASE = {4: 2_509_126, 5: 2_903_885}
ATTENTION = {4: 36_288, 5: 48_384}
DIRECT = {
    "max_diff_exact": -8_255,
    "mean_query+max_diff": -264_351,
    "max_diff": -264_351,
    "svd_query+max_diff": -266_399,
}
ERROR = {
    "svd": (2_183_234, 2_183_138),
    "max_diff": (976_865, 976_769),
    "mean+max_diff": (985_184, 985_088),
    "max_diff_exact": (1_232_897, 1_232_801),
    "max_diff_subproduct": (218_655, 218_559),
    "mean+max_diff_subproduct": (243_612, 243_516),
    "max_diff_subproduct_recursive": (-311_649, -311_745),
    "mean+max_diff_subproduct_recursive": (-299_362, -299_458),
    "mean_recursive+max_diff_subproduct_recursive": (-284_932, -285_028),
}


def total(k, direct=GLOBAL, attention=DROP, error=EXACT):
    return sum(published_flops(64, k, 32, (direct, attention, error)).values())


@pytest.mark.parametrize("k", [4, 5])
def test_the_base_is_within_five_percent(k):
    assert total(k) == pytest.approx(BASE[k], rel=0.05)


@pytest.mark.parametrize("k", [4, 5])
def test_averaging_costs_what_was_recorded(k):
    assert total(k, attention="mean_query+diff") - total(k) == ATTENTION[k]


@pytest.mark.parametrize("k", [4, 5])
@pytest.mark.parametrize("word", DIRECT)
def test_every_direct_path_costs_what_was_recorded(k, word):
    assert total(k, direct=word) - total(k) == DIRECT[word]


@pytest.mark.parametrize("k", [4, 5])
@pytest.mark.parametrize("word", ERROR)
def test_every_attention_error_is_within_five_percent(k, word):
    recorded = ERROR[word][k - 4]
    assert total(k, error=word) - total(k) == pytest.approx(recorded, rel=0.05)


def test_items_grow_with_every_size():
    """No item is a constant of the recorded shape."""
    small, large = (
        published_flops(v, k, d, (GLOBAL, "mean_query+diff", "svd")) for v, k, d in ((7, 3, 5), (13, 6, 11))
    )
    assert all(0 < small[item] < large[item] for item in small)
