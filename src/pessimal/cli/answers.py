"""What `pessimal prove` says beside the verdict: other proofs, and how far a bound may be from the truth.

Contents:
    say_runners_up — the proofs that were not the best, as a table on stderr.
    best_fields — the same for the object of `--json`.
    say_looseness — how far a claim about the softmax is from a sampled estimate.
    SAMPLES — random inputs of that estimate.
"""

from fractions import Fraction
from typing import Any

from pessimal.analysis.accuracy import sampled_softmax
from pessimal.cli.terminal import say
from pessimal.kernel.verdict import Verified
from pessimal.proving import Best, Proof
from pessimal.proving.frontier import is_exact
from pessimal.records import float_down
from pessimal.report.numbers import nearest
from pessimal.spec import Weights
from pessimal.spec.claim import ACCURACY, LOSS, decimal_down, decimal_up

SAMPLES = 20_000
# A bound that is so many times the estimate says little.
FAR = 10
# Below the natural logarithm of two.
LOG_2 = Fraction(693147, 10**6)
SHOWN = 4


def say_runners_up(found: Best) -> None:
    """The best proof and the next ones that say something, by bound and length."""
    others = [
        (one.strategy, one.found)
        for one in found.runners_up
        if isinstance(one.found, Proof) and (one.found.claim.quantity != ACCURACY or one.found.claim.amount)
    ]
    mine = next((one.strategy for one in found.attempts if one.found is found.proof), found.proof.strategy)
    unfinished = [one.strategy for one in found.attempts if one.unfinished and not isinstance(one.found, Proof)]
    claim = found.proof.claim
    exact = claim.quantity == ACCURACY and is_exact(found.proof)
    if exact and not others:
        say(f"pessimal: {mine} counts exactly, within {found.budget} flops")
    else:
        say(f"pessimal: the best of {len(others) + 1} within {found.budget} flops is {mine}")
    if exact and 2 * claim.amount < claim.total:
        say("pessimal: that is the exact accuracy; is the task the right one (--task)?")
    rows = [("strategy", "flops", "bound")]
    for name, proof in [(mine, found.proof), *others[:SHOWN]] if others else []:
        rows.append((name, str(proof.cost.flops), _decimal(proof)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, flops, bound in rows if others else []:
        say(f"  {name:<{widths[0]}}  {flops:>{widths[1]}}  {bound:>{widths[2]}}")
    if found.stopped:
        rest = f" ({', '.join(unfinished)} unfinished)" if unfinished else ""
        say(f"pessimal: the search was stopped{rest}; more time may find a better one")


def best_fields(found: Best) -> dict[str, Any]:
    """The budget in the end, whether the time was up, and the other proofs within it, the best first."""
    others = [(one.strategy, one.found) for one in found.runners_up if isinstance(one.found, Proof)]
    return {
        "budget": found.budget,
        "stopped": found.stopped,
        "runners_up": [
            {
                "strategy": name,
                "flops": proof.cost.flops,
                "correct": str(proof.claim.amount),
                "total": str(proof.claim.total),
                "accuracy_lower_bound": float_down(proof.claim.value) if proof.claim.quantity == ACCURACY else None,
            }
            for name, proof in others
        ],
    }


def _decimal(proof: Proof) -> str:
    """A bound, rounded to the side that is true."""
    claim = proof.claim
    return decimal_up(claim.value) if claim.quantity == LOSS else decimal_down(claim.value)


def say_looseness(weights: Weights, verdict: Verified) -> dict[str, Any]:
    """Compare a claim about the softmax with a sample, say what it and a proof of accuracy imply of each other."""
    claim, question = verdict.claim, verdict.question
    if claim.quantity == ACCURACY:
        return {}
    loss, probability = sampled_softmax(weights, question.task, question.distribution, SAMPLES)
    is_loss = claim.quantity == LOSS
    bound = claim.value if is_loss else 1 - claim.value
    estimate = loss if is_loss else 1 - probability
    times = float(bound) / estimate if estimate > 0 else float("inf")
    what = (
        f"a mean cross-entropy of {nearest(loss, '.3g')} nats"
        if is_loss
        else f"a mean probability of {nearest(probability, '.6g')}"
    )
    far = ""
    if times > FAR:
        how = "more than a million" if times > 10**6 else nearest(times, ".0f")
        measure = "it" if is_loss else "what it leaves to 1"
        far = f"; the bound is far from that: {measure} is {how} times as large"
    say(f"pessimal: {SAMPLES} random inputs have {what} (an estimate, not proved){far}")
    n = weights.architecture.shape.d_vocab_out
    if is_loss:
        # A wrong answer has a probability of at most one half.
        implied = max(Fraction(0), 1 - claim.value / LOG_2)
        other = "of the loss it says nothing, because a wrong answer may cost any number of nats"
    else:
        implied = max(Fraction(0), 2 * claim.value - 1)
        other = f"of this it says only a probability above 1/{n} for every right answer"
    say(
        f"pessimal: this bound implies an accuracy of at least {decimal_down(implied)}; a proof of accuracy"
        f" (--claim accuracy) may say more of that, and {other}"
    )
    sampled = {"samples": SAMPLES, "loss": loss, "mean_probability": probability}
    return {"sampled": sampled, "far_from_sampled": times > FAR, "implied_accuracy": float_down(implied)}
