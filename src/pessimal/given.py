"""What Python callers may hand over for a model, a task, a strategy: the object, its name, or a path.

Contents:
    as_weights — a model, or whatever `load_weights` reads.
    as_task — a task, its name, a file with a machine, or None for what the weights state.
    as_asked — the question of a check, or a task.
    as_strategy — a strategy, its class or its name.
    Given, GivenTask, GivenStrategy — their types.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pessimal.inputs import load_weights, task_of
from pessimal.kernel.check import Asked
from pessimal.proving.words import make_strategy
from pessimal.runs.notices import notice
from pessimal.spec import (
    AbstractDistribution,
    AbstractTask,
    DistributionError,
    TaskError,
    Uniform,
    Weights,
    WeightsError,
)
from pessimal.strategies import AbstractStrategy, StrategyError

# A model, the path or the bytes of its file, a state dict, or whatever torch calls a model.
Given = Weights | Path | str | bytes | object
GivenTask = AbstractTask | type[AbstractTask] | Path | str | None
GivenStrategy = AbstractStrategy | type[AbstractStrategy] | str


def as_weights(given: Any) -> Weights:
    """A model; of a path, the bytes of a file, a state dict or a model of torch, what `load_weights` reads.

    What its architecture was assumed to be is told, as on the command line.

    Raises:
        WeightsError: one sentence.
    """
    if isinstance(given, Weights):
        return given
    if given is None or isinstance(given, int | float | type):
        raise WeightsError(f"weights are a model or the path of its file, not {_called(given)}")
    weights = load_weights(given)
    if weights.architecture.assumed:
        notice(f"assumed {'; '.join(map(str, weights.architecture.assumed))}")
    return weights


def as_task(given: Any, weights: Weights) -> AbstractTask:
    """A task; of a name the one that fits the model, of None the one that its file states.

    Raises:
        TaskError: one sentence.
    """
    if isinstance(given, AbstractTask):
        return given
    if isinstance(given, type) and issubclass(given, AbstractTask):
        given = getattr(given, "name", given.__name__)
    if given is not None and not isinstance(given, str | Path):
        raise TaskError(
            f"a task is an object such as MaxOfK(k=4, d_vocab=64), a name such as 'max-of-k', or a file with a machine,"
            f" not {_called(given)}"
        )
    task, assumed = task_of(weights, None if given is None else str(given))
    for line in assumed:
        notice(f"assumed {line}")
    return task


def as_asked(given: Any, weights: Weights) -> Asked | None:
    """The question that a certificate has to answer; a task is one, and names stand for tasks and distributions.

    Raises:
        TaskError: one sentence.
        DistributionError: likewise.
    """
    if given is None:
        return None
    if isinstance(given, AbstractTask | str | Path):
        given = Asked(task=as_task(given, weights))
    if not isinstance(given, Asked):
        raise TaskError(f"a question is ps.Asked(task=..., ...), or a task, not {_called(given)}")
    pair = given.at_least
    if pair is not None and not (isinstance(pair, tuple) and len(pair) == 2 and all(type(one) is int for one in pair)):
        raise TaskError(f"at_least is a pair of integers (n, total), not {pair!r:.40}")
    task = given.task if given.task is None else as_task(given.task, weights)
    distribution: Any = given.distribution
    if isinstance(distribution, str) and distribution == Uniform.name:
        distribution = Uniform()
    if distribution is not None and not isinstance(distribution, AbstractDistribution):
        raise DistributionError(f"a distribution is an object such as ps.Uniform(), not {_called(distribution)}")
    return replace(given, task=task, distribution=distribution)


def as_strategy(given: Any) -> AbstractStrategy:
    """A strategy; of a class or a name the one with its default options, of `name option=value ..` with these.

    Raises:
        StrategyError: one sentence.
    """
    if isinstance(given, AbstractStrategy):
        return given
    if isinstance(given, type) and issubclass(given, AbstractStrategy):
        try:
            return given()
        except TypeError as error:
            raise StrategyError(f"the class {given.__name__} cannot be used without options: {error}") from None
    if isinstance(given, str):
        words = given.split(" ")
        first = next((place for place, word in enumerate(words) if place and "=" in word), len(words))
        return make_strategy(" ".join(words[:first]).strip(), [word for word in words[first:] if word])
    raise StrategyError(f"a strategy is an object such as Band(), its class, or a name, not {_called(given)}")


def _called(given: object) -> str:
    """What kind of thing this is."""
    return f"the class {given.__name__}" if isinstance(given, type) else f"an object of type {type(given).__name__}"
