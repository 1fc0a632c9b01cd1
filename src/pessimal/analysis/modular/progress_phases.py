"""The three phases of a grokking run, read off its curves.

The rule, on checkpoints in order of epoch:

- memorisation ends at the checkpoint with the smallest excluded loss (the first of equal ones) up to that from which
  the test pairs stay answered, or, if later, at the first from which the accuracy on training pairs stays at
  `answered`: until then what is learnt makes the training pairs right without the circuit;
- circuit formation ends at the first checkpoint, not before, at which the excluded loss is within a tenth of its
  largest value after memorisation: until then the training pairs lean on the circuit more and more, beside what was
  memorised, and the test pairs are still wrong. It has no end while the excluded loss rises, that is if its largest
  value is the last one and the test pairs are not answered either;
- clean-up ends at the first checkpoint, not before, from which the accuracy on test pairs stays at `answered`.

Each end is where the next phase begins; an end that the run does not reach is None, as are all after it. The precision
is the distance between checkpoints. A run that generalises at once has its ends at or near the first checkpoint.

Contents:
    Curves — what the rule reads.
    Phases, phases — the three ends.

References:
    Nanda et al. 2023, arXiv 2301.05217, section 5.2: three phases, told apart by eye.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float

ANSWERED = 0.999
NEAR = 0.9


@dataclass(frozen=True)
class Curves:
    """Measures by checkpoint, all of one length; losses in nats, accuracies as shares.

    Attributes:
        epochs: rising.
        train_accuracy, test_accuracy: on the pairs trained on and on the others.
        excluded_loss: on the pairs trained on.

    Raises:
        ValueError: no checkpoint, lengths differ, epochs do not rise, or a number is not finite.
    """

    epochs: Sequence[int]
    train_accuracy: Sequence[float | int]
    test_accuracy: Sequence[float | int]
    excluded_loss: Sequence[float | int]

    def __post_init__(self) -> None:
        """Refuse what is no set of curves."""
        values = {field.name: np.asarray(getattr(self, field.name), dtype=float) for field in fields(self)}
        if len({len(one) for one in values.values()}) != 1 or not len(self.epochs):
            raise ValueError("curves have one value per checkpoint, and at least one checkpoint")
        for name, one in values.items():
            if not np.isfinite(one).all():
                raise ValueError(f"{name} holds a NaN or an infinity")
        if (np.diff(values["epochs"]) <= 0).any():
            raise ValueError("epochs do not rise")


@dataclass(frozen=True)
class Phases:
    """Epochs at which the phases end, None where they do not.

    Attributes:
        memorised: end of memorisation.
        formed: end of circuit formation.
        cleaned: end of clean-up.
    """

    memorised: int | None
    formed: int | None
    cleaned: int | None


def phases(curves: Curves, *, answered: float = ANSWERED) -> Phases:
    """The ends of the three phases by the rule of this module.

    Args:
        curves: of one run.
        answered: share of pairs right from which they count as answered.
    """
    epochs = [int(epoch) for epoch in curves.epochs]
    known = _stays(np.asarray(curves.train_accuracy) >= answered)
    if known is None:
        return Phases(None, None, None)
    cleaned = _stays(np.asarray(curves.test_accuracy) >= answered)
    excluded: Float[np.ndarray, " n"] = np.asarray(curves.excluded_loss, dtype=float)
    memorised = max(int(excluded[: None if cleaned is None else cleaned + 1].argmin()), known)
    ends: list[int | None] = [epochs[memorised], None, None]
    left = excluded[memorised:]
    if cleaned is not None or left.argmax() < len(left) - 1:
        formed = memorised + int(np.argmax(left >= NEAR * left.max()))
        ends[1] = epochs[formed]
        ends[2] = None if cleaned is None else epochs[max(formed, cleaned)]
    return Phases(*ends)


def _stays(holds: Bool[np.ndarray, " n"]) -> int | None:
    """First place from which something holds to the end."""
    fails = np.flatnonzero(~holds)
    first = int(fails[-1]) + 1 if fails.size else 0
    return first if first < len(holds) else None
