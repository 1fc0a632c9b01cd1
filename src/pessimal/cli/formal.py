"""`pessimal formal export`: a certificate as a Coq file."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from pessimal import api
from pessimal.cli.fields import Switch
from pessimal.cli.files import require_outputs
from pessimal.cli.model_flags import ModelFlags, read_model
from pessimal.cli.terminal import VERIFIED, UnreadableError, exit_code, say
from pessimal.formal import coq_instance
from pessimal.kernel.verdict import Verified
from pessimal.runs.inputs import shown, stem_of
from pessimal.runs.outputs import COQ, Output
from pessimal.runs.own_files import require_folder


@dataclass(frozen=True)
class Formal:
    """Write a certificate and its weights as a Coq theorem, to be compiled in a clone of the repository."""

    action: tyro.conf.Positional[Literal["export"]]
    """what to do"""
    certificate: tyro.conf.Positional[Path]
    """certificate file, rule position-minima, exponential-moment, grid-count or exact"""
    weights: Path
    """safetensors file of the model it is about"""
    out: Path
    """folder of the Coq file"""
    force: Switch = False
    """write over a file that holds something else"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Check the certificate first: Coq would refuse a false claim, but only after minutes."""
        name = re.sub(r"\W", "_", stem_of(self.certificate).removesuffix(".cert"), flags=re.ASCII)
        require_folder("--out", self.out, of_runs=False)
        coq = Output("--out", self.out / f"Bound_{name}.v", COQ)
        require_outputs(self, [coq])
        weights = read_model(self.weights, self.model)
        try:
            verdict = api.check(self.certificate, weights)
        except OSError as error:
            raise UnreadableError(f"{shown(self.certificate)}: {error.strerror or 'cannot be read'}") from None
        if not isinstance(verdict, Verified):
            say(f"pessimal: {verdict.detail}")
            print(verdict.line())
            return exit_code(verdict)
        coq.write(coq_instance(weights, verdict.certificate, f"bound_{name}").encode("ascii"))
        print(coq.path)
        say(
            "pessimal: compile it in a clone of the repository, after its `make formal`:"
            f" coqc -Q formal/theories Pessimal {coq.path.absolute()}"
        )
        return VERIFIED
