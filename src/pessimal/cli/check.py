"""`pessimal check`: certificate and weights to one verdict line.

Contents:
    Check — check a certificate.
    read_at_least — N/TOTAL as two numbers.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pessimal import api
from pessimal.cli.fields import Count, File, Switch, Text, choice
from pessimal.cli.files import require_outputs, what_it_is
from pessimal.cli.model_flags import ModelFlags, read_distribution, read_model, read_task
from pessimal.cli.terminal import UnreadableError, Watch, exit_code, print_json, say, say_claim, show
from pessimal.kernel.certificate import MAX_DIGITS
from pessimal.kernel.check import Asked, Limits
from pessimal.kernel.verdict import Verified
from pessimal.records import result_row, strata_bytes
from pessimal.runs.inputs import shown
from pessimal.runs.outputs import STRATA, Output
from pessimal.spec import Weights, WeightsError


@dataclass(frozen=True)
class Check:
    """Check a certificate: prints `s VERIFIED ...` or `s REJECTED reason=...`.

    The weights file may also be the second word, without --weights. Exit code: 0 verified, 1 rejected, 2 a file or a
    word that cannot be used, 3 more work than --max-ops or --max-bytes allow.
    """

    certificate: tyro.conf.Positional[Path]
    """certificate file"""
    weights: Path
    """weights file of the model it is about: safetensors, or what `pessimal convert` takes"""
    arithmetic: Literal["float64", "arb"] = "float64"
    """how the checker computes: outward-rounded float64, or Arb balls as a second opinion"""
    max_ops: Count = Limits.max_ops
    """largest number of checker operations"""
    max_bytes: Count = Limits.max_bytes
    """largest memory of the check, in bytes"""
    task: Text = None
    """the task it has to be about: a name, with parameters as contains-token:token=3, or a JSON file with a machine"""
    distribution: File = None
    """the distribution it has to be about: uniform, or a JSON or TOML file with integer weights"""
    semantics: Annotated[Literal["real", "float32"] | None, choice("real", "float32")] = None
    """the arithmetic it has to be about"""
    at_least: Text = None
    """what it has to claim at least, as N/TOTAL: right sequences, or their weight, of the claim's own total"""
    strata: File = None
    """write the bound of every last token and right output to this CSV (or .json) file; `-` is stdout, and the verdict
    line then goes to stderr"""
    strict: Switch = False
    """refuse a model that had to be converted: then the reader of other formats is not part of what is trusted"""
    force: Switch = False
    """write --strata over a file that holds something else"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Check; the exit code is the verdict."""
        strata = None if self.strata is None else Output("--strata", self.strata, STRATA)
        aside = require_outputs(self, [] if strata is None else [strata])
        weights = self._model()
        asked = self._asked(weights)
        started = time.monotonic()
        try:
            with Watch("checking") as watch:
                verdict = api.check(
                    self.certificate,
                    weights,
                    arithmetic=self.arithmetic,
                    limits=Limits(self.max_ops, self.max_bytes),
                    asked=asked,
                    strict=self.strict,
                    progress=watch,
                )
        except OSError as error:
            raise UnreadableError(f"{shown(self.certificate)}: {error.strerror or 'cannot be read'}") from None
        seconds = time.monotonic() - started
        if isinstance(verdict, Verified):
            say_claim(verdict)
            if strata is not None:
                strata.write(strata_bytes(verdict, as_json=strata.path.suffix == ".json"))
        else:
            swapped = what_it_is(self.certificate) if verdict.certificate is None else None
            say(f"pessimal: {swapped or verdict.detail}")
        show(verdict.line(), aside=aside)
        if self.json:
            print_json(result_row(weights, verdict, seconds=seconds))
        return exit_code(verdict)

    def _model(self) -> Weights:
        """The model; says so where the two files are swapped."""
        try:
            return read_model(self.weights, self.model)
        except WeightsError as error:
            kinds = what_it_is(self.weights) or "", what_it_is(self.certificate) or ""
            if not (kinds[0].endswith("not weights") and kinds[1].endswith("not a certificate")):
                raise
            right = f"pessimal check {self.weights} --weights {self.certificate}"
            raise WeightsError(f"{error}, and {kinds[1]}: the two are swapped; {right}") from None

    def _asked(self, weights: Weights) -> Asked:
        """The question that the flags state."""
        return Asked(
            task=None if self.task is None else read_task(weights, self.task)[0],
            distribution=None if self.distribution is None else read_distribution(self.distribution),
            semantics=self.semantics,
            at_least=None if self.at_least is None else read_at_least(self.at_least),
        )


def read_at_least(text: str) -> tuple[int, int]:
    """N/TOTAL as two numbers.

    Raises:
        ValueError: anything else.
    """
    n, _, total = text.partition("/")
    if not all(part.isascii() and part.isdigit() and len(part) <= MAX_DIGITS for part in (n, total)):
        raise ValueError(f"--at-least {text[:40]!r} is not N/TOTAL, two whole numbers of at most {MAX_DIGITS} digits")
    if int(total) < 1:
        raise ValueError(f"--at-least {text[:40]!r}: the total is not positive")
    return int(n), int(total)
