"""`pessimal prove`: weights to a certificate."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from pessimal import api
from pessimal.cli.answers import best_fields, say_looseness, say_runners_up
from pessimal.cli.certificates import default_output
from pessimal.cli.fields import Count, File, Real, Switch, Text, Texts
from pessimal.cli.files import require_outputs
from pessimal.cli.model_flags import ModelFlags, read_distribution, read_model, read_task
from pessimal.cli.terminal import RESOURCES, USAGE, Watch, exit_code, print_json, say, say_claim, show
from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.kernel.verdict import Verified
from pessimal.proving import Proof, covering, default_strategy, prove_within
from pessimal.proving.plugins import is_plugin
from pessimal.proving.words import make_strategy, read_budget
from pessimal.records import refused_row, result_row, strata_bytes
from pessimal.runs.inputs import shown, stem_of
from pessimal.runs.outputs import CERTIFICATE, STRATA, Output
from pessimal.spec import SEMANTICS, Weights
from pessimal.spec.architecture import Architecture
from pessimal.spec.claim import ACCURACY
from pessimal.spec.distribution import usual_distribution
from pessimal.spec.question import Question
from pessimal.strategies import AbstractStrategy, StrategyError


@dataclass(frozen=True)
class Prove:
    """Prove a lower bound on a model's accuracy and write the certificate."""

    weights: tyro.conf.Positional[Path]
    """weights file of the model: safetensors, or what `pessimal convert` takes"""
    out: File = None
    """where to write the certificate (default: MODEL.STRATEGY.cert in the current folder); `-` is stdout, and the
    verdict line then goes to stderr"""
    strategy: Text = None
    """name of a strategy (see `pessimal strategies`), or FILE.py:CLASS; left out: the best of all within the budget;
    without one the exact count if it takes at most 2^24 flops, otherwise the best within 2^21, and more where nothing
    is that short"""
    option: Texts = ()
    """option of the strategy as NAME=VALUE; may be repeated"""
    budget: Text = None
    """largest number of flops of the proof, such as 1048576 or 2^20"""
    seconds: Real = None
    """stop the search after this time and take the best proof found by then"""
    task: Text = None
    """task name, or a JSON file with a machine (default: what the weights file states, else max-of-k)"""
    claim: Literal["accuracy", "mean-probability", "loss"] = "accuracy"
    """what to bound; the softmax claims take the strategies layer-count and layer-cake unless another is named"""
    distribution: File = None
    """JSON or TOML file with integer weights: product or markov (default: the task's own, which is all inputs
    alike but for modular-addition-equals)"""
    semantics: Literal["real", "float32"] = "real"
    """arithmetic of the claim: real, or float32 for every float32 execution"""
    max_ops: Count = Limits.max_ops
    """largest number of checker operations"""
    max_bytes: Count = Limits.max_bytes
    """largest memory of the check, in bytes"""
    strata: File = None
    """write the bound of every last token and right output to this CSV (or .json) file"""
    force: Switch = False
    """write over files that hold something else"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Prove, check what was proved, write it."""
        if self.semantics not in SEMANTICS:
            raise StrategyError(f"semantics {self.semantics!r} is not one of {', '.join(SEMANTICS)}")
        budget = None if self.budget is None else read_budget(self.budget)
        aside = self.out is not None and require_outputs(self, self._outputs(self.out))
        weights = read_model(self.weights, self.model)
        strategy = self._strategy(weights.architecture, budget)
        task, assumed = read_task(weights, self.task)
        for line in assumed:
            say(f"pessimal: assumed {line}")
        distribution = None if self.distribution is None else read_distribution(self.distribution)
        question = Question(task, distribution or usual_distribution(task), self.semantics, self.claim)
        if self.out is None:
            aside = self._require_defaults(weights, question, strategy)
        started = time.monotonic()
        try:
            proof, more = self._search(weights, question, strategy, budget)
        except Rejected as refusal:
            return self._refused(weights, strategy, refusal, time.monotonic() - started)
        seconds = time.monotonic() - started
        with Watch("checking it") as watch:
            verdict = api.check(proof, weights, limits=self._limits(), progress=watch)
        if isinstance(verdict, Verified):
            self._write(proof, verdict, self._certificate(weights, question, proof.strategy))
            say_claim(verdict)
            if self.claim == ACCURACY and verdict.claim.correct == 0:
                say("pessimal: this certifies nothing; what says more is longer (--budget)")
            show(verdict.line(), aside=aside)
            more |= say_looseness(weights, verdict)
        else:
            say(f"pessimal: the new certificate does not check ({verdict.reason}): {verdict.detail}")
        if self.json:
            print_json({**result_row(weights, verdict, seconds=seconds, assumptions=assumed), **more})
        return exit_code(verdict)

    def _search(
        self, weights: Weights, question: Question, strategy: AbstractStrategy | None, budget: int | None
    ) -> tuple[Proof, dict[str, Any]]:
        """The proof, and what the object of `--json` says of others; without a strategy the best of all."""
        label = "proving" if strategy is None else f"proving {strategy.name}"
        with Watch(label) as watch:

            def tell(text: str) -> None:
                say(f"pessimal: {text}")
                watch.restart()

            words: dict[str, Any] = {
                "budget": budget,
                "seconds": self.seconds,
                "distribution": question.distribution,
                "claim": self.claim,
                "semantics": self.semantics,
                "limits": self._limits(),
                "progress": watch,
            }
            if strategy is None:
                found = api.best(weights, question.task, **words, tell=tell)
                say_runners_up(found)
                return found.proof, best_fields(found)
            proof, stopped = prove_within(weights, question.task, strategy, **words)
        if stopped:
            say(f"pessimal: stopped after {self.seconds} s: the best that {strategy.name} had found")
        if is_plugin(strategy):
            say("pessimal: a strategy of your own ran in this process; `pessimal check` runs without it")
        return proof, {"stopped": stopped} if self.seconds is not None else {}

    def _refused(self, weights: Weights, strategy: AbstractStrategy | None, refusal: Rejected, seconds: float) -> int:
        """Say why there is no proof."""
        label = "the best strategy" if strategy is None else strategy.name
        if strategy is None and self.claim != ACCURACY:
            label = default_strategy(weights.architecture, self.claim)
        who = "" if label == "the best strategy" else f"{label} refuses: "
        say(f"pessimal: {shown(self.weights)}: {who}{refusal.detail}")
        if self.json:
            row = refused_row(weights, refusal, strategy=label, seconds=seconds)
            print_json({**row, "semantics": self.semantics})
        return RESOURCES if refusal.reason is Reason.RESOURCES else USAGE

    def _limits(self) -> Limits:
        return Limits(self.max_ops, self.max_bytes)

    def _certificate(self, weights: Weights, question: Question, strategy: str) -> Output:
        """Where the certificate goes."""
        if self.out is not None:
            return Output("--out", self.out, CERTIFICATE)
        return default_output(stem_of(self.weights), strategy, weights, question, force=self.force)

    def _require_defaults(self, weights: Weights, question: Question, strategy: AbstractStrategy | None) -> bool:
        """Refuse, before the search, what stands where a certificate may go; whether the table goes to stdout."""
        names = (
            [strategy.name] if strategy is not None else covering(kind_of_attention(weights.architecture), self.claim)
        )
        certificates = [self._certificate(weights, question, name) for name in names]
        return require_outputs(self, [*certificates, *self._outputs(None)])

    def _outputs(self, out: Path | None) -> list[Output]:
        """The files to write that are named: the certificate and perhaps the table."""
        certificate = [] if out is None else [Output("--out", out, CERTIFICATE)]
        if self.strata is None:
            return certificate
        if self.claim != ACCURACY:
            raise StrategyError(f"there are no bounds by stratum of a claim of {self.claim}: leave --strata out")
        return [*certificate, Output("--strata", self.strata, STRATA)]

    def _write(self, proof: Proof, verdict: Verified, certificate: Output) -> None:
        """Write them; none if the table cannot be made."""
        files = [(certificate, proof.data)]
        if self.strata is not None:
            table = strata_bytes(verdict, as_json=self.strata.suffix == ".json")
            files.append((Output("--strata", self.strata, STRATA), table))
        for output, data in files:
            output.write(data)
        if self.out is None:
            say(f"pessimal: certificate written to {certificate.path}")

    def _strategy(self, architecture: Architecture, budget: int | None) -> AbstractStrategy | None:
        """The one to use, or None for the best of all; options without a name are those of the usual one."""
        if self.strategy is None and not self.option:
            return None
        name = self.strategy or default_strategy(architecture, self.claim)
        strategy = make_strategy(name, self.option, budget)
        if self.strategy is None:
            say(f"pessimal: no --strategy is named, so options are those of {name}")
        return strategy
