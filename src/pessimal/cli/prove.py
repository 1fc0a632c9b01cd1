"""`pessimal prove`: weights to a certificate."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from pessimal import api
from pessimal.cli.files import require_outputs
from pessimal.cli.model_flags import ModelFlags, read_distribution, read_model, read_task
from pessimal.cli.terminal import RESOURCES, USAGE, Watch, exit_code, print_json, say, say_claim, show
from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.verdict import Verified
from pessimal.runs.inputs import shown
from pessimal.runs.outputs import CERTIFICATE, STRATA, Output
from pessimal.spec import SEMANTICS
from pessimal.spec.architecture import Architecture
from pessimal.spec.claim import ACCURACY
from pessimal.strategies import AbstractStrategy, Proof, StrategyError, default_strategy
from pessimal.strategies.words import make_strategy, read_budget


@dataclass(frozen=True)
class Prove:
    """Prove a lower bound on a model's accuracy and write the certificate."""

    weights: tyro.conf.Positional[Path]
    """safetensors file of the model"""
    out: Path
    """where to write the certificate; `-` is stdout, and the verdict line then goes to stderr"""
    strategy: str | None = None
    """name of a strategy (see `pessimal strategies`); left out: the usual one for such a model (exponential-moment,
    key-frequency or brute-force), or with a budget the best of all"""
    option: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """option of the strategy as NAME=VALUE; may be repeated"""
    budget: str | None = None
    """largest number of flops of the proof, such as 1048576 or 2^20"""
    task: str | None = None
    """task name, or a JSON file with a machine (default: what the weights file states)"""
    claim: Literal["accuracy", "mean-probability", "loss"] = "accuracy"
    """what to bound; the softmax claims take the strategy layer-cake unless another is named"""
    distribution: Path | None = None
    """JSON or TOML file with integer weights: product or markov (default: the task's own, which is all inputs
    alike but for modular-addition-equals)"""
    semantics: str = "real"
    """arithmetic of the claim: real, or float32 for every float32 execution"""
    max_ops: int = Limits.max_ops
    """largest number of checker operations"""
    max_bytes: int = Limits.max_bytes
    """largest memory of the check, in bytes"""
    strata: Path | None = None
    """write the bound of every last token and right output to this CSV (or .json) file"""
    force: bool = False
    """write over files that hold something else"""
    json: bool = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Prove, check what was proved, write it."""
        if self.semantics not in SEMANTICS:
            raise StrategyError(f"semantics {self.semantics!r} is not one of {', '.join(SEMANTICS)}")
        budget = None if self.budget is None else read_budget(self.budget)
        aside = require_outputs(self, self._outputs())
        weights = read_model(self.weights, self.model)
        strategy = self._strategy(weights.architecture, budget)
        label = "the best strategy" if strategy is None else strategy.name
        task, assumed = read_task(weights, self.task)
        for line in assumed:
            say(f"pessimal: assumed {line}")
        distribution = None if self.distribution is None else read_distribution(self.distribution)
        limits = Limits(self.max_ops, self.max_bytes)
        started = time.monotonic()
        try:
            with Watch(f"proving {label}") as watch:
                words: dict[str, Any] = {
                    "distribution": distribution,
                    "semantics": self.semantics,
                    "limits": limits,
                    "progress": watch,
                }
                if strategy is not None:
                    proof = api.prove(weights, task, strategy, claim=self.claim, **words)
                else:
                    proof = api.within(weights, task, budget or 0, **words)
            if budget is not None and proof.cost.flops > budget:
                raise Rejected(
                    Reason.RESOURCES,
                    f"the proof needs {proof.cost.flops} flops, over the budget of {budget}",
                )
        except Rejected as refusal:
            say(f"pessimal: {shown(self.weights)}: {label} refuses: {refusal.detail}")
            if self.json:
                seconds = time.monotonic() - started
                row = api.refused_row(weights, refusal, strategy=label, seconds=seconds)
                print_json({**row, "semantics": self.semantics})
            return RESOURCES if refusal.reason is Reason.RESOURCES else USAGE
        seconds = time.monotonic() - started
        with Watch("checking it") as watch:
            verdict = api.check(proof, weights, limits=limits, progress=watch)
        if isinstance(verdict, Verified):
            self._write(proof, verdict)
            say_claim(verdict)
            show(verdict.line(), aside=aside)
        else:
            say(f"pessimal: the new certificate does not check ({verdict.reason}): {verdict.detail}")
        if self.json:
            print_json(api.result_row(weights, verdict, seconds=seconds, assumptions=assumed))
        return exit_code(verdict)

    def _outputs(self) -> list[Output]:
        """The files to write: the certificate and perhaps the table."""
        certificate = Output("--out", self.out, CERTIFICATE)
        if self.strata is None:
            return [certificate]
        if self.claim != ACCURACY:
            raise StrategyError(f"there are no bounds by stratum of a claim of {self.claim}: leave --strata out")
        return [certificate, Output("--strata", self.strata, STRATA)]

    def _write(self, proof: Proof, verdict: Verified) -> None:
        """Write them; none if the table cannot be made."""
        contents = [proof.data]
        if self.strata is not None:
            contents.append(api.strata_bytes(verdict, as_json=self.strata.suffix == ".json"))
        for output, data in zip(self._outputs(), contents, strict=True):
            output.write(data)

    def _strategy(self, architecture: Architecture, budget: int | None) -> AbstractStrategy | None:
        """The one to use, or None for the best of all within a budget; claims about the softmax have one."""
        if self.claim == ACCURACY and self.strategy is None and budget is not None and not self.option:
            return None
        return make_strategy(self.strategy or default_strategy(architecture, self.claim), self.option, budget)
