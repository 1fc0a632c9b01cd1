"""`pessimal formal export`: a certificate as a Coq file."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from pessimal import api
from pessimal.cli.model_flags import ModelFlags, read_model
from pessimal.cli.terminal import REJECTED, VERIFIED, say
from pessimal.formal import coq_instance


@dataclass(frozen=True)
class Formal:
    """Write a certificate and its weights as a Coq theorem; `formal/README.md` says how to compile it."""

    action: tyro.conf.Positional[Literal["export"]]
    """what to do"""
    certificate: tyro.conf.Positional[Path]
    """certificate file, rule position-minima, exponential-moment, grid-count or exact"""
    weights: Path
    """safetensors file of the model it is about"""
    out: Path
    """folder of the Coq file"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Check the certificate first: Coq would refuse a false claim, but only after minutes."""
        weights = read_model(self.weights, self.model)
        verdict = api.check(self.certificate, weights)
        if not verdict.verified or verdict.certificate is None:
            say(f"pessimal: {verdict.detail}")
            print(verdict.line())
            return REJECTED
        name = re.sub(r"\W", "_", self.certificate.name.removesuffix(".cert"), flags=re.ASCII)
        text = coq_instance(weights, verdict.certificate, f"bound_{name}")
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"Bound_{name}.v"
        path.write_text(text, encoding="ascii")
        print(path)
        say(f"pessimal: compile it after `make formal`:  coqc -Q formal/theories Pessimal {path}")
        return VERIFIED
