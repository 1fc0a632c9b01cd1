"""Untrusted search for hints. Nothing here is sound, and nothing needs to be.

A search may run the kernel's tables, terms and arithmetic to see what a rule would find; it knows no certificates, no
verdicts and no strategies.

Contents:
    climb.py — moves that help, until none does.
    tilts.py — tilts of the exponential moment.
    moments.py — tilts and thresholds of one model and question, in threads.
    thresholds.py — thresholds of the heads' parts of the margin.
    gaps.py — gaps of the sub-cubic proofs.
    directions.py — directions of their rank-one parts.
    sub_cubic.py — the tables of one model that all their compositions share.
    profiles.py — the waves that the proofs about modular addition compare neurons with.
    classes.py — classes of positions.
    fits.py — numbers for the words of an explanation.
    band_starts.py — where the search for band proofs begins.
    orders.py — orders of live rivals.
    rough.py — counts of comparisons in floats, by which they are ranked.
    cells.py — cells of the strata of a cover.
    halfwords.py — small numbers of hints, four to a word.
    plain.py — float64 without enclosures.
    midpoints.py — enclosures as plain floats.
"""

from pessimal.search.tilts import TiltSearch, best_tilts, quantise

__all__ = ["TiltSearch", "best_tilts", "quantise"]
