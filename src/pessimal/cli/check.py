"""`pessimal check`: certificate and weights to one verdict line."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from pessimal import api
from pessimal.cli.model_flags import ModelFlags, read_model
from pessimal.cli.terminal import REJECTED, RESOURCES, USAGE, VERIFIED, Watch, print_json, say, say_claim
from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason


@dataclass(frozen=True)
class Check:
    """Check a certificate: prints `s VERIFIED ...` or `s REJECTED reason=...`."""

    certificate: tyro.conf.Positional[Path]
    """certificate file"""
    weights: Path
    """safetensors file of the model it is about"""
    arithmetic: Literal["float64", "arb"] = "float64"
    """how the checker computes: outward-rounded float64, or Arb balls as a second opinion"""
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
        """Check; the exit code is the verdict."""
        weights = read_model(self.weights, self.model)
        started = time.monotonic()
        try:
            with Watch("checking") as watch:
                verdict = api.check(
                    self.certificate,
                    weights,
                    arithmetic=self.arithmetic,
                    limits=Limits(self.max_ops, self.max_bytes),
                    progress=watch,
                )
        except OSError as error:
            say(f"pessimal: {self.certificate.name}: {error.strerror or 'cannot be read'}")
            return USAGE
        seconds = time.monotonic() - started
        if verdict.verified:
            say_claim(verdict)
            if self.strata is not None:
                api.write_strata(verdict, self.strata)
        else:
            say(f"pessimal: {verdict.detail}")
        print(verdict.line())
        if self.json:
            print_json(api.result_row(weights, verdict, seconds=seconds))
        if verdict.verified:
            return VERIFIED
        return RESOURCES if verdict.reason is Reason.RESOURCES else REJECTED
