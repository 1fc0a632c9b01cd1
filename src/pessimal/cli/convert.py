"""`pessimal convert`: what people have, to the safetensors file that the trusted reader reads.

Contents:
    Convert — write a model as a canonical safetensors file.
    read_facts — words NAME=VALUE to a mapping.
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from pessimal.cli.fields import Switch, Texts
from pessimal.cli.files import require_outputs
from pessimal.cli.model_flags import ConversionFlags
from pessimal.cli.terminal import VERIFIED, print_json, say, show
from pessimal.inputs import conversion_of
from pessimal.runs.inputs import shown
from pessimal.runs.outputs import HEAD, Kind, Output
from pessimal.spec import WeightsError, read_weights


@dataclass(frozen=True)
class Convert:
    """Write a model as the safetensors file that proofs are about: from .pt, .npz, bfloat16, other names and axes."""

    weights: tyro.conf.Positional[Path]
    """the file as it is: a PyTorch state dict or checkpoint, a NumPy archive, safetensors"""
    out: Path
    """safetensors file to write; `-` is stdout"""
    fact: Texts = ()
    """what the file does not say of the model, as NAME=VALUE under the names of TransformerLens, such as act_fn=relu;
    written into the metadata; may be repeated"""
    force: Switch = False
    """write over a file that holds something else"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""
    file: ConversionFlags = field(default_factory=ConversionFlags)

    def run(self) -> int:
        """Convert, read the result with the trusted reader, write it."""
        found = conversion_of(self.weights, self.file.stated(read_facts(self.fact)))
        # Another model under this name is not replaced without being asked.
        same = Kind("what this conversion gives", lambda head: head == found.data[:HEAD])
        output = Output("--out", self.out, same)
        aside = require_outputs(self, [output])
        try:
            weights = read_weights(found.data)
        except WeightsError as error:
            raise WeightsError(f"{shown(self.weights)}: {error}") from None
        output.write(found.data)
        name = shown(self.weights)
        say(f"pessimal: {found.line(name) if found.kind else f'{name} is read as it is: copied'}")
        if weights.architecture.assumed:
            say(f"pessimal: assumed {'; '.join(map(str, weights.architecture.assumed))}")
        show(f"weights     sha256:{weights.sha256}", aside=aside)
        if self.json:
            print_json(
                {
                    "weights_sha256": weights.sha256,
                    "converted": found.kind,
                    "source_sha256": found.source_sha256,
                    "notes": list(found.notes),
                    "metadata": dict(weights.metadata),
                    "assumptions": [str(one) for one in weights.architecture.assumed],
                }
            )
        return VERIFIED


def read_facts(words: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, each name once.

    Raises:
        ValueError: anything else.
    """
    facts: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals or not value or name in facts:
            raise ValueError(f"--fact {word[:60]!r} is not NAME=VALUE with a name of its own")
        facts[name] = value
    return facts
