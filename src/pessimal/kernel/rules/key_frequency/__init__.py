"""The rule `key-frequency`.

Contents:
    options.py — hints.
    parts.py — pre-activations, output map and remainder.
    rule.py — the theorem.
"""

from pessimal.kernel.rules.key_frequency.options import READ_OUT, KeyFrequency
from pessimal.kernel.rules.key_frequency.rule import KeyFrequencyRule

__all__ = ["READ_OUT", "KeyFrequency", "KeyFrequencyRule"]
