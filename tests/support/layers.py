"""The truth about the softmax by enumeration, and levels, for the rules that count at several margins."""

from fractions import Fraction

import flint
import numpy as np

from pessimal.kernel.counting.layers import LEVELS
from pessimal.spec import Weights
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.question import Question
from support.oracle import Equations, sequences

PRECISION = 200
QUANTITIES = (MEAN_PROBABILITY, LOSS)


def least(weights: Weights, question: Question) -> dict[str, Fraction]:
    """Lower ends of the sums of weight times 1 - p, and of weight times loss."""
    task, model = question.task, Equations(weights, PRECISION)
    missing, loss = flint.arb(0), flint.arb(0)
    tokens = list(sequences(task.d_vocab, task.k))
    with flint.ctx.workprec(PRECISION):
        for t, weight in zip(tokens, question.distribution.weigh(np.array(tokens)).tolist(), strict=True):
            values, y = model(t), int(task.target(np.array(t)))
            odds = sum(((value - values[y]).exp() for o, value in enumerate(values) if o != y), flint.arb(0))
            missing += flint.arb(weight) * (odds / (1 + odds))
            loss += flint.arb(weight) * (1 + odds).log()
    return {MEAN_PROBABILITY: lower(missing), LOSS: lower(loss)}


def lower(ball: flint.arb) -> Fraction:
    mantissa, exponent = ball.lower().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def some_levels(kind: str, seed: int) -> dict[str, np.ndarray]:
    """Increasing margins: near the origin, negative, or of any size."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    if kind == "ordinary":
        pairs = [(int(m), -2) for m in rng.integers(-20, 60, count)]
    else:
        pairs = [(int(rng.integers(-(2**53), 2**53 + 1)), int(rng.integers(-1000, 1001))) for _ in range(count)]
    pairs = sorted({Fraction(m) * Fraction(2) ** e: (m, e) for m, e in pairs}.items())
    return dict(zip(LEVELS, np.array([pair for _, pair in pairs], dtype=np.int64).T.copy(), strict=True))
