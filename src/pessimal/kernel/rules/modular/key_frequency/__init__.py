"""The rule `key-frequency`.

Contents:
    options.py — hints.
    parts.py — pre-activations, output map and remainder.
    hidden.py — neurons one by one, by profiles, or as a quadrature.
    rule.py — the theorem.
"""

from pessimal.kernel.rules.modular.key_frequency.options import FORM, HIDDEN, READ_OUT, KeyFrequency
from pessimal.kernel.rules.modular.key_frequency.rule import KeyFrequencyRule

__all__ = ["FORM", "HIDDEN", "READ_OUT", "KeyFrequency", "KeyFrequencyRule"]
