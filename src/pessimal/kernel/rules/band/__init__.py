"""The band proof.

Contents:
    options.py — its hints.
    parts.py — rows less their means.
    scores.py — attention weights: exact in the band, bounded elsewhere.
    values.py — margins over near and far rivals.
    polynomials.py — products on the grid.
    rule.py — the theorem.
"""

from pessimal.kernel.rules.band.rule import BandRule

__all__ = ["BandRule"]
