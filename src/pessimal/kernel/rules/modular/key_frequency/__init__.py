"""The rule `key-frequency`.

Contents:
    options.py — hints.
    residuals.py — pre-activations, output map and remainder.
    activations.py — neurons one by one, by profiles, or as a quadrature.
    rule.py — the theorem.
"""

from pessimal.kernel.rules.modular.key_frequency.options import FORM, HIDDEN, READ_OUT, KeyFrequencyOptions
from pessimal.kernel.rules.modular.key_frequency.rule import KeyFrequencyRule

__all__ = ["FORM", "HIDDEN", "READ_OUT", "KeyFrequencyOptions", "KeyFrequencyRule"]
