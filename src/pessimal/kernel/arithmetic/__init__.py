"""How the operations of a rule are carried out; the only place that decides rounding (ADR-0001).

Contents:
    interface.py — what a rule may ask of its numbers.
    dyadic.py — exact matrices of integers times a power of two.
    exponential.py — exp in float64 with a proved error.
    trigonometry.py — pi, cosines and sines with proved errors.
    float64.py — NumPy float64 endpoints, rounded outward.
    arb.py — FLINT integers and Arb balls, an independent second opinion.
    counting.py — shapes only; counts the operations.
"""

from pessimal.kernel.arithmetic.arb import ArbArithmetic
from pessimal.kernel.arithmetic.counting import CountingArithmetic
from pessimal.kernel.arithmetic.float64 import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix

ARITHMETICS: dict[str, type[AbstractArithmetic]] = {"float64": Float64Arithmetic, "arb": ArbArithmetic}

__all__ = [
    "ARITHMETICS",
    "AbstractArithmetic",
    "AbstractEnclosure",
    "AbstractMatrix",
    "ArbArithmetic",
    "CountingArithmetic",
    "Float64Arithmetic",
]
