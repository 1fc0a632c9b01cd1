r"""Input distributions: how often every sequence occurs, in integers.

A distribution gives every sequence $t$ of a task a **weight** $w(t)$, an integer, and all sequences together the total
$W = \sum_t w(t)$; the probability of $t$ is $w(t) / W$. Nothing is rounded anywhere.

Contents:
    AbstractDistribution — the interface: a name, named integer arrays, the weight of every sequence, the total.
    Uniform — every sequence weighs 1.
    Product — independent positions: $w(t) = \prod_i w_i(t_i)$.
    Markov — a chain: every token depends on the one before it.
    usual_distribution — of a task.
    DISTRIBUTIONS, distribution_from — from the record and arrays of a certificate.
    DistributionError — weights that are no distribution, or do not fit the task.
    whole_numbers — weights, checked.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from math import gcd, prod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.digest import digest
from pessimal.spec.task import MAX_DIGITS, AbstractTask

MAX_WEIGHT = 2**48
PREFIX = "distribution_"
# 10**MAX_DIGITS has 13,288 bits.
MAX_BITS = 13_290


class DistributionError(ValueError):
    """The weights are no distribution, or not one over the sequences of this task; the message says why."""


def whole_numbers(values: Any, axes: int, what: str) -> Int[np.ndarray, "..."]:
    """Weights as int64, from 0 to 2**48, with a positive sum along the last axis.

    Raises:
        DistributionError: anything else.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise DistributionError(f"{what} is not a table with rows of one length") from None
    if array.ndim != axes or not array.size or array.dtype.kind not in "iu":
        raise DistributionError(f"{what} must hold integers, in {axes} axes")
    if array.min() < 0 or array.max() > MAX_WEIGHT:
        raise DistributionError(f"{what} must be from 0 to 2**48")
    # At most 4,096 weights of 2**48 are added, so int64 holds every sum.
    array = array.astype(np.int64)
    if array.shape[-1] > 4096 or (array.sum(-1) < 1).any():
        raise DistributionError(f"every row of {what} needs a positive sum over at most 4,096 tokens")
    array.flags.writeable = False
    return array


class AbstractDistribution(ABC):
    """Integer weights of all sequences. Two distributions are equal if they are the same arrays under the same name.

    Attributes:
        name: as it stands in a certificate and on a verdict line.
        claim_kind: the kind of claim that is made about it (`claim.py`).
        parts: its tables of weights, attributes and arguments in this order.
    """

    name: ClassVar[str]
    claim_kind: ClassVar[str] = "probability"
    parts: ClassVar[tuple[str, ...]] = ()

    def arrays(self) -> dict[str, Int[np.ndarray, "..."]]:
        """The weights by name, int64, as they stand in a certificate."""
        return {PREFIX + part: getattr(self, part) for part in self.parts}

    @abstractmethod
    def complaint(self, task: AbstractTask) -> str:
        """Why this is no distribution over the sequences of a task; empty if it is one."""

    @abstractmethod
    def total(self, task: AbstractTask) -> int:
        """W, the weight of all sequences together, exact."""

    def tokens(self, task: AbstractTask, i: int) -> Int[np.ndarray, " n"]:
        """Tokens that may stand at position i: a sequence with any other there weighs 0."""
        del i
        return np.arange(task.d_vocab)

    @abstractmethod
    def weigh(self, tokens: Int[np.ndarray, "n k"]) -> np.ndarray:
        """w(t) of every sequence, `[n]`: integers, as Python's where 64 bits may not hold them."""

    def record(self) -> dict[str, str]:
        """The distribution as it stands in a certificate's header."""
        return {"name": self.name}

    def __str__(self) -> str:
        """Name, and the digest of the weights where there are any, for a reader."""
        return f"{self.name} (sha256:{self.sha256})" if self.arrays() else self.name

    def require_fits(self, task: AbstractTask) -> None:
        """Raise `DistributionError` unless every sequence of the task has a weight, and the total few enough digits."""
        complaint = self.complaint(task)
        if complaint:
            raise DistributionError(f"distribution {self.name}: {complaint}")

    @cached_property
    def key(self) -> tuple[str, ...]:
        """Name and digest; what equality compares."""
        return (self.name, self.sha256)

    @cached_property
    def sha256(self) -> str:
        """Digest of the name and the arrays: names, shapes and entries, each led by its length in 8 bytes."""
        parts = [b"pessimal-distribution/1", self.name.encode()]
        for name, array in sorted(self.arrays().items()):
            parts += [name.encode(), np.array(array.shape, dtype="<i8").tobytes(), array.astype("<i8").tobytes()]
        return digest(parts)

    def __eq__(self, other: object) -> bool:
        """Whether names and arrays are equal."""
        return isinstance(other, AbstractDistribution) and self.key == other.key

    def __hash__(self) -> int:
        """Hash of name and arrays."""
        return hash(self.key)


class Uniform(AbstractDistribution):
    """Every one of the `d_vocab ** k` sequences has the same probability."""

    name: ClassVar[str] = "uniform"
    claim_kind: ClassVar[str] = "correct-count"

    def complaint(self, task: AbstractTask) -> str:
        """None: `AbstractTask` bounds the digits."""
        del task
        return ""

    def total(self, task: AbstractTask) -> int:
        """The number of sequences."""
        return task.total()

    def weigh(self, tokens: Int[np.ndarray, "n k"]) -> np.ndarray:
        """Every sequence weighs one."""
        return np.ones(len(tokens), dtype=np.int64)


class Product(AbstractDistribution):
    r"""Independent positions: $w(t) = \prod_i w_i(t_i)$, so token t stands at position i with $w_i(t) / \sum w_i$.

    Attributes:
        weights: w, `[k, d_vocab]`, or `[1, d_vocab]` shared by all positions; 0 to 2**48, every row with a positive
            sum, which is the total of its position.
    """

    name: ClassVar[str] = "product"
    parts: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(self, weights: Any) -> None:
        self.weights = whole_numbers(weights, 2, "weights")

    def complaint(self, task: AbstractTask) -> str:
        """Wrong sizes, or a total of too many digits."""
        rows, tokens = self.weights.shape
        if tokens != task.d_vocab or rows not in (1, task.k):
            return f"weights are [{rows}, {tokens}], the task asks for {task.k} rows or one, of {task.d_vocab} tokens"
        return "" if self.total(task) < 10**MAX_DIGITS else f"the total has more than {MAX_DIGITS} digits"

    def position(self, i: int) -> Int[np.ndarray, " d_vocab"]:
        """Weights w_i of the tokens at position i."""
        return np.asarray(self.weights[min(i, len(self.weights) - 1)])

    def tokens(self, task: AbstractTask, i: int) -> Int[np.ndarray, " n"]:
        """Tokens with a positive weight."""
        del task
        return np.flatnonzero(self.position(i))

    def total(self, task: AbstractTask) -> int:
        """The product of the totals of all positions."""
        return prod(int(self.position(i).sum()) for i in range(task.k))

    def weigh(self, tokens: Int[np.ndarray, "n k"]) -> np.ndarray:
        """Products of one weight per position."""
        weights = np.ones(len(tokens), dtype=object)
        for i in range(tokens.shape[1]):
            weights = weights * self.position(i)[tokens[:, i]].astype(object)
        return weights


class Markov(AbstractDistribution):
    r"""A chain: $P(t) = \frac{a(t_0)}{\sum a} \prod_{i \ge 1} \frac{b(t_{i-1}, t_i)}{B(t_{i-1})}$ with row totals B.

    In integers: with L the least common multiple of all row totals,
    $w(t) = a(t_0) \prod_{i \ge 1} b(t_{i-1}, t_i) L / B(t_{i-1})$ and $W = L^{K-1} \sum a$.

    Attributes:
        initial: a, `[d_vocab]`; 0 to 2**48, with a positive sum.
        transition: b, `[d_vocab, d_vocab]`, from row to column; 0 to 2**48, every row with a positive sum.
    """

    name: ClassVar[str] = "markov"
    parts: ClassVar[tuple[str, ...]] = ("initial", "transition")

    def __init__(self, initial: Any, transition: Any) -> None:
        self.initial = whole_numbers(initial, 1, "initial")
        self.transition = whole_numbers(transition, 2, "transition")

    def complaint(self, task: AbstractTask) -> str:
        """Wrong sizes, or a total of too many digits."""
        v = task.d_vocab
        if self.initial.shape != (v,) or self.transition.shape != (v, v):
            shapes = f"{list(self.initial.shape)} and {list(self.transition.shape)}"
            return f"initial and transition are {shapes}, the task asks for [{v}] and [{v}, {v}]"
        # Bits first: the power itself could fill the memory.
        if (self.common_total.bit_length() - 1) * (task.k - 1) > MAX_BITS or self.total(task) >= 10**MAX_DIGITS:
            return f"the total has more than {MAX_DIGITS} digits (row totals without common factors?)"
        return ""

    @cached_property
    def common_total(self) -> int:
        """L, or what it has grown to once it is too large for any task of two tokens."""
        multiple = 1
        for total in self.transition.sum(1).tolist():
            multiple = multiple // gcd(multiple, total) * total
            if multiple.bit_length() > 2 * MAX_BITS:
                break
        return multiple

    @cached_property
    def scaled(self) -> np.ndarray:
        """b(s, t) L / B(s), Python integers, `[d_vocab, d_vocab]`; every row adds up to L."""
        factor = [self.common_total // total for total in self.transition.sum(1).tolist()]
        return np.asarray(self.transition.astype(object) * np.array(factor, dtype=object)[:, np.newaxis])

    def total(self, task: AbstractTask) -> int:
        """L**(K-1) times the sum of the initial weights."""
        return int(self.initial.sum()) * int(self.common_total ** (task.k - 1))

    def weigh(self, tokens: Int[np.ndarray, "n k"]) -> np.ndarray:
        """One initial weight and one transition after each token but the last."""
        weights = self.initial[tokens[:, 0]].astype(object)
        for i in range(1, tokens.shape[1]):
            weights = weights * self.scaled[tokens[:, i - 1], tokens[:, i]]
        return np.asarray(weights)


DISTRIBUTIONS: dict[str, type[AbstractDistribution]] = {one.name: one for one in (Uniform, Product, Markov)}


def usual_distribution(task: AbstractTask) -> AbstractDistribution:
    """The distribution of claims about a task that name none."""
    weights = task.usual_weights()
    return Uniform() if weights is None else Product(weights)


def distribution_from(record: object, arrays: Mapping[str, Any]) -> AbstractDistribution:
    """The distribution of a certificate or a file.

    Args:
        record: exactly `{"name": ...}`.
        arrays: exactly its arrays, of integers, by name.

    Raises:
        DistributionError: unknown name, missing or unknown array, or weights that are no distribution.
    """
    known = ", ".join(DISTRIBUTIONS)
    if not isinstance(record, dict) or set(record) != {"name"} or not isinstance(record["name"], str):
        raise DistributionError(f"a distribution record has exactly a name, one of {known}")
    if record["name"] not in DISTRIBUTIONS:
        raise DistributionError(f"unknown distribution; known: {known}")
    kind = DISTRIBUTIONS[record["name"]]
    expected = [PREFIX + part for part in kind.parts]
    if sorted(arrays) != expected:
        raise DistributionError(f"distribution {record['name']} has exactly the arrays {', '.join(expected) or 'none'}")
    return kind(*(arrays[name] for name in expected))
