r"""The sub-cubic numbers as the literature computes them: not a proof.

Float64, and with the published steps that are not sound: the mean+diff correction uses $\max_x R_x$ for both signs of
$\alpha_q - \bar\alpha$, only one end of attention is looked at, and the rank-one residual is bounded by a computed
singular value. Kept so that reproduction tables can show the published number beside ours, in a column that says so.
The gap search uses the verifier's own direct path (the released search used another one and lost up to 0.29).

Contents:
    mean_diff_as_published — the formula, for the counterexample in the tests.
    count_as_published — number of sequences the published verifier would claim.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.rules.published.sub_cubic.averaging import DROP
from pessimal.kernel.rules.published.sub_cubic.rule import sequences
from pessimal.search.gaps import GapSearch, attention
from pessimal.search.sub_cubic import Workbench


def mean_diff_as_published(
    fixed: Float[np.ndarray, "*c R"],
    right: Float[np.ndarray, "*c R"],
    width: Float[np.ndarray, "*c"],
    alpha: Float[np.ndarray, "*c"],
    mean: Float[np.ndarray, "*c"],
) -> Float[np.ndarray, "*c"]:
    """max_x(L_x + mean R_x) + (1 - mean) w + (alpha - mean)(max R - w); no bound where alpha < mean."""
    return _around_mean((fixed + mean[..., np.newaxis] * right).max(-1), right.max(-1), width, alpha, mean)


def _around_mean(
    at_mean: np.ndarray, most: np.ndarray, width: np.ndarray, alpha: np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """The formula from max_x(L_x + mean R_x) and max R."""
    return np.asarray(at_mean + (1 - mean) * width + (alpha - mean) * (most - width))


def _bounds(
    p: GapSearch, gap: Int[np.ndarray, "N C"], lowest_gap: Int[np.ndarray, "N C"], *, averaged: bool
) -> Float[np.ndarray, "N C"]:
    """The published W of every class; NaN where the class is given up."""
    void = (gap > p.m) | ((p.q < p.m) & (p.q > p.m - gap))
    highest = np.maximum(p.m - gap, 0)
    least, greatest = (end[0] for end in attention(p, highest[np.newaxis]))
    width = p.widest[0][np.maximum(p.m - lowest_gap, 0)]
    most = p.right[0].max(1)
    alpha = np.where(most[p.m] < width, least, greatest)
    alpha = np.where(void, np.nan, alpha)
    mean = np.zeros_like(alpha)
    if averaged:
        n_tokens = p.widest.shape[1]
        for n in range(alpha.shape[0]):
            good = ~np.isnan(alpha[n])
            total = np.bincount(p.m[good], weights=alpha[n, good], minlength=n_tokens)
            number = np.bincount(p.m[good], minlength=n_tokens)
            mean[n] = np.divide(total, number, out=np.zeros(n_tokens), where=number > 0)[p.m]
    tokens, first, place = np.unique(p.m, return_index=True, return_inverse=True)  # the mean depends on m alone
    fixed, right = p.fixed[0, tokens], p.right[0, tokens]
    at_mean = np.stack([(fixed + row[first, np.newaxis] * right).max(1)[place] for row in mean])
    return _around_mean(at_mean, most[p.m], width, alpha, mean) + p.slack[0]


def _some_pairs(p: GapSearch, pairs: Int[np.ndarray, " c"]) -> GapSearch:
    """The search on some of its pairs."""
    by_pair = ("q", "m", "target_score", "error", "odds_greatest", "odds_least", "slack")
    return replace(p, **{name: getattr(p, name)[..., pairs] for name in by_pair})


def _search(bench: Workbench, direct: str, attention_error: str) -> GapSearch:
    """The composition's tables, with the spectral option's error from a computed singular value."""
    search = bench.gap_search(direct, attention_error, "exact")
    if attention_error != "svd":
        return search
    largest = bench.residual_singular_value()
    return replace(search, error=np.full_like(search.error, np.sqrt(2) * largest))


def count_as_published(bench: Workbench, direct: str, attention_word: str, attention_error: str) -> int:
    """Sequences that the published verifier would claim for this composition. Not a proof.

    Cost: about 2v evaluations of all classes.
    """
    p = _search(bench, direct, attention_error)
    averaged = attention_word != DROP
    n_others, n_pairs = p.odds_least.shape[1:]
    n_tokens = p.widest.shape[1]
    gap = np.ones((n_others, n_pairs), dtype=np.int64)
    with np.errstate(all="ignore"):
        for g in range(n_tokens - 1, 0, -1):
            allowed = np.flatnonzero(p.largest_gap >= g)  # the other classes are given up at this gap
            uniform = np.full((n_others, allowed.size), g)
            good = _bounds(_some_pairs(p, allowed), uniform, uniform, averaged=averaged) < 0
            gap[:, allowed] = np.where(good, g, gap[:, allowed])
        lowest = np.empty_like(gap)
        for n in range(n_others):
            least = np.full(n_tokens, n_tokens)
            np.minimum.at(least, p.m, gap[n])
            lowest[n] = least[p.m]
        certified = _bounds(p, gap, lowest, averaged=averaged) < 0
    k = n_others + 1
    total = _pure_maxima(bench)
    for n in range(1, k):
        good = certified[n - 1]
        total += int(sequences(k, n, (p.m - gap[n - 1])[good], (p.q == p.m)[good]).sum())
    return total


def _pure_maxima(bench: Workbench) -> int:
    """Targets whose all-equal sequence is certified, by the exact direct path."""
    logits = bench.direct_logits()
    fixed, right, _ = bench.direct("max_diff")
    n_tokens = fixed.shape[0]
    found = 0
    for m in range(n_tokens):
        rivals = np.delete(np.arange(logits.shape[1]), m)
        found += int((logits[m, rivals] - logits[m, m] + fixed[m] + right[m]).max() < 0)
    return found
