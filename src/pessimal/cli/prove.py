"""`pessimal prove`: weights to a certificate."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import tyro

from pessimal import api
from pessimal.cli.model_flags import ModelFlags, read_model
from pessimal.cli.terminal import RESOURCES, USAGE, VERIFIED, Watch, print_json, say, say_claim
from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.claim import ACCURACY
from pessimal.strategies import STRATEGIES, AbstractStrategy, StrategyError, known_strategies


@dataclass(frozen=True)
class Prove:
    """Prove a lower bound on a model's accuracy and write the certificate."""

    weights: tyro.conf.Positional[Path]
    """safetensors file of the model"""
    out: Path
    """where to write the certificate"""
    strategy: str | None = None
    """name of a strategy (see `pessimal strategies`; default: exponential-moment)"""
    option: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """option of the strategy as NAME=VALUE; may be repeated"""
    budget: int | None = None
    """largest number of flops of the proof"""
    task: str | None = None
    """task name (default: what the file states)"""
    claim: Literal["accuracy", "mean-probability", "loss"] = "accuracy"
    """what to bound; the softmax claims take the strategy layer-cake unless another is named"""
    distribution: Path | None = None
    """JSON or TOML file with integer weights: product or markov (default: all inputs alike)"""
    semantics: str = "real"
    """arithmetic of the claim: real"""
    max_ops: int = Limits.max_ops
    """largest number of checker operations"""
    max_bytes: int = Limits.max_bytes
    """largest memory of the check, in bytes"""
    strata: Path | None = None
    """write the bound of every last token and right output to this CSV (or .json) file"""
    json: bool = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Prove, check what was proved, write it."""
        if self.semantics != "real":
            raise StrategyError(f"semantics {self.semantics!r} is not available; the only one so far is real")
        default = "exponential-moment" if self.claim == ACCURACY else "layer-cake"
        strategy = make_strategy(self.strategy or default, self.option, self.budget)
        weights = read_model(self.weights, self.model)
        task, assumed = api.task_of(weights, self.task)
        for line in assumed:
            say(f"pessimal: assumed {line}")
        distribution = None if self.distribution is None else api.load_distribution(self.distribution)
        limits = Limits(self.max_ops, self.max_bytes)
        started = time.monotonic()
        try:
            with Watch(f"proving {strategy.name}") as watch:
                proof = api.prove(
                    weights, task, strategy, distribution=distribution, claim=self.claim, limits=limits, progress=watch
                )
            if self.budget is not None and proof.cost.flops > self.budget:
                raise Rejected(
                    Reason.RESOURCES,
                    f"the proof needs {proof.cost.flops} flops, over the budget of {self.budget}",
                )
        except Rejected as refusal:
            say(f"pessimal: {self.weights.name}: {strategy.name} refuses: {refusal.detail}")
            if self.json:
                seconds = time.monotonic() - started
                print_json(api.refused_row(weights, refusal, strategy=strategy.name, seconds=seconds))
            return RESOURCES if refusal.reason is Reason.RESOURCES else USAGE
        seconds = time.monotonic() - started
        with Watch("checking it") as watch:
            verdict = api.check(proof, weights, limits=limits, progress=watch)
        if not verdict.verified:
            say(f"pessimal: the new certificate does not check ({verdict.reason}): {verdict.detail}")
            return 1
        api.save_certificate(proof, self.out)
        say_claim(verdict)
        if self.strata is not None:
            api.write_strata(verdict, self.strata)
        print(verdict.line())
        if self.json:
            print_json(api.result_row(weights, verdict, seconds=seconds, assumptions=assumed))
        return VERIFIED


def make_strategy(name: str, options: tuple[str, ...], budget: int | None) -> AbstractStrategy:
    """A strategy from its name and NAME=VALUE words; the messages list what is valid."""
    kind = STRATEGIES.get(name.lower())
    if kind is None:
        raise StrategyError(f"unknown strategy {name!r}; known: {known_strategies()}")
    valid = kind.option_names()
    values: dict[str, int | str] = {}
    for word in options:
        key, equals, value = word.partition("=")
        if not equals or key not in valid:
            known = ", ".join(valid) or "none"
            raise StrategyError(f"strategy {name} has no option {key!r}; its options: {known}")
        is_number = int in (get_type_hints(kind)[key], *get_args(get_type_hints(kind)[key]))
        if is_number and not (value.isascii() and value.isdigit() and len(value) < 19):
            raise StrategyError(f"option {key}={value!r} is not a number")
        values[key] = int(value) if is_number else value
    if budget is not None and "budget" in valid:
        values["budget"] = budget
    return kind(**values)
