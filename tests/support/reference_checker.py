"""Running the standard-library checker of `reference/`, and certificates to give it.

It runs in processes of its own, `python -I -S`: no site packages, no environment.
"""

import json
import re
import subprocess
import sys
from math import floor
from pathlib import Path

import pessimal as ps
from pessimal.proving.proof import encode
from pessimal.spec import WeightsError, read_weights
from pessimal.spec.claim import CLAIMS
from pessimal.spec.semantics import REAL
from pessimal.strategies import ExponentialMoment, GridCount
from pessimal.testing import LongMoment, safetensors_bytes, tiny_weights
from support.containers import join, split
from support.models import stated_norms

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "reference" / "check.py"
RULES = ("position-minima", "exponential-moment", "grid-count")
# Every pair of files on stdin, as hexadecimal digits: its line, and what else it says.
DRIVER = """
import json, sys
reference = sys.argv[1]
sys.path.insert(0, reference)
import check
from certificate import Rejected
from weights import UnreadableError, read_weights
found = []
for weights, certificate in json.load(sys.stdin):
    try:
        found.append((check.check(bytes.fromhex(certificate), read_weights(bytes.fromhex(weights))), ""))
    except Rejected as rejected:
        found.append((f"s REJECTED reason={rejected.reason}", rejected.detail))
    except (UnreadableError, check.NotCoveredError) as error:
        found.append(("", str(error)))
foreign = [
    name for name, module in sys.modules.items()
    if name.split(".")[0] not in sys.stdlib_module_names and name != "__main__"
    and not str(getattr(module, "__file__", "")).startswith(reference)
]
print(json.dumps([found, foreign]))
"""


def answers(code, data, *flags):
    """What a program beside the checker's files prints, JSON in and out."""
    command = [sys.executable, *(flags or ("-I", "-S")), "-c", code, str(CHECKER.parent)]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(pairs, *flags, before=""):
    """(line, what else was said) of every pair of weights and certificate bytes, and the foreign modules loaded."""
    found, foreign = answers(before + DRIVER, [(weights.hex(), proof.hex()) for weights, proof in pairs], *flags)
    return found, foreign


def lines(pairs):
    found, foreign = run(pairs)
    assert foreign == []
    return [line for line, _ in found]


def command(certificate, weights, *flags):
    """Exit code, stdout and stderr of the command."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(CHECKER), str(certificate), "--weights", str(weights), *flags],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def comparable(line):
    """A verdict line without the lengths of the kernel's computation."""
    return re.sub(r" flops=\d+ ops=\d+", "", line)


def kernel(data, raw):
    """The kernel's line, or nothing where the weights cannot be read."""
    try:
        return comparable(ps.check(data, read_weights(raw)).line())
    except WeightsError:
        return ""


def wrong(found, share=1):
    """What a bound of the kernel leaves wrong: the parts times `share`, each rounded down."""
    return sum(floor(part * share) for part in found.parts())


def stored(weights):
    tensors = {name: array.copy() for name, array in weights.tensors.items()}
    return safetensors_bytes(tensors, stated_norms(tensors))


def changed(data, **fields):
    header, body = split(data)
    return join({**header, **fields}, body)


def claiming(data, correct):
    header, _ = split(data)
    return changed(data, claim={**header["claim"], "correct": str(correct)})


STRATEGY = {
    "position-minima": ps.STRATEGIES["position-minima"](),
    "exponential-moment": ExponentialMoment(),
    "grid-count": GridCount(),
}


def certificate(weights, question, rule, hints, correct):
    claim = CLAIMS[question.distribution.claim_kind](correct, question.total(), REAL)
    return encode(weights, question, STRATEGY[rule], hints, claim)


def stored_exactly(weights):
    """A file of the model; what its tensors do not say stands in the metadata."""
    return safetensors_bytes({name: array.copy() for name, array in weights.tensors.items()}, weights.metadata)


EXAMPLE = tiny_weights(0, k=3)
TASK = ps.MaxOfK(3, 5)
PROOFS = {
    "moment": ps.prove(EXAMPLE, TASK, LongMoment(rival="centred", position="each", near=2)).data,
    "short": ps.prove(EXAMPLE, TASK, ExponentialMoment(rival="joint")).data,
    "minima": ps.prove(EXAMPLE, TASK, STRATEGY["position-minima"]).data,
    "grid": ps.prove(EXAMPLE, TASK, GridCount(rival="every", cells=64)).data,
}
