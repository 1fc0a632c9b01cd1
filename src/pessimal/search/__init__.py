"""Untrusted search for hints. Nothing here is sound, and nothing needs to be.

Contents:
    tilts.py — tilts of the exponential moment.
"""

from pessimal.search.tilts import TiltProblem, best_tilts, quantise

__all__ = ["TiltProblem", "best_tilts", "quantise"]
