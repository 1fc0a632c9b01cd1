"""The rules: one soundness theorem per file, loaded when a certificate names it.

Contents:
    RULES — by the name that stands in a certificate.
    interface.py — what a rule takes and gives.
    brute_force.py — every sequence.
    position_minima.py — the worst token at every position.
    exponential_moment.py — Chernoff with hinted tilts.
    grid_count.py — exact polynomial counting on a grid, both sides.
    comparisons/ — rivals pruned by a tree, the live ones searched, or counted in an order.
    exact.py — position minima as a search: the exact count.
    explanation.py — an explanation in the place of the weights, counted by another rule.
    layer_cake.py — mean probability and cross-entropy from moments at several margins.
    layer_count.py — the same from counts on a grid, rival by rival.
    band/ — counting on a coarse grid in a band of tokens below each target.
    modular/ — addition modulo p: waves at the key frequencies, or a sparse output map of the MLP.
    published/ — the cubic proof and the hundred sub-cubic ones, made sound.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module

from pessimal.kernel.rules.interface import AbstractRule

HOMES = {
    "band": ("band.rule", "BandRule"),
    "brute-force": ("brute_force", "BruteForceRule"),
    "comparisons": ("comparisons.rule", "ComparisonsRule"),
    "cubic": ("published.cubic", "CubicRule"),
    "exact": ("exact", "ExactRule"),
    "explanation": ("explanation", "ExplanationRule"),
    "exponential-moment": ("exponential_moment", "ExponentialMomentRule"),
    "grid-count": ("grid_count", "GridCountRule"),
    "key-frequency": ("modular.key_frequency.rule", "KeyFrequencyRule"),
    "layer-cake": ("layer_cake", "LayerCakeRule"),
    "layer-count": ("layer_count", "LayerCountRule"),
    "position-minima": ("position_minima", "PositionMinimaRule"),
    "sparse-output": ("modular.sparse_output", "SparseOutputRule"),
    "sub-cubic": ("published.sub_cubic.rule", "SubCubicRule"),
}


class _Rules(Mapping[str, AbstractRule]):
    """Rules by name; a rule's files are read the first time that it is asked for."""

    def __getitem__(self, name: str) -> AbstractRule:
        """The rule of that name."""
        module, rule = HOMES[name]
        loaded: AbstractRule = getattr(import_module(f"{__name__}.{module}"), rule)()
        return loaded

    def __iter__(self) -> Iterator[str]:
        """The names of all rules."""
        return iter(HOMES)

    def __len__(self) -> int:
        """How many rules there are."""
        return len(HOMES)


RULES = _Rules()

__all__ = ["HOMES", "RULES", "AbstractRule"]
