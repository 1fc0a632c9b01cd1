"""Running the extracted checker, and telling what it covers."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

from pessimal.kernel.certificate import decode
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules import RULES as KNOWN
from pessimal.spec import TASKS, WeightsError, read_weights
from reference_checker import ROOT, RULES

BINARY = ROOT / "formal" / "build" / "pessimal-verified"
MISSING = "" if BINARY.exists() else "formal/build/pessimal-verified is not built: run make formal"


def command(certificate, weights, *flags):
    """Exit code, stdout and stderr."""
    done = subprocess.run(
        [BINARY, certificate, "--weights", weights, *flags], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def run(folder, pairs):
    """Line and what else was said, of every pair of weights and certificate bytes; exit codes fit the lines."""
    paths = {}
    for content in {content for pair in pairs for content in pair}:
        paths[content] = folder / str(len(paths))
        paths[content].write_bytes(content)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda pair: command(paths[pair[1]], paths[pair[0]]), pairs))
    for code, line, said in found:
        verdict = line.partition(" reason=")[0].split(maxsplit=2)[:2]
        assert (code, verdict) in ((0, ["s", "VERIFIED"]), (1, ["s", "REJECTED"]), (3, ["s", "REJECTED"]), (2, [])), (
            said
        )
        assert (code == 3) == (line == "s REJECTED reason=resources\n")
    return [(line.rstrip("\n"), said) for _, line, said in found]


def covers(raw, data):
    """Whether there is a theorem about this model and this question, as far as they can be read."""
    try:
        weights = read_weights(raw)
    except WeightsError:
        return True
    model = weights.architecture
    plain = not (model.ln1 or model.ln_final or model.biases) and model.attention == "causal-softmax"
    if not plain or model.shape.n_heads != 1 or model.shape.d_mlp:
        return False
    try:
        asked = decode(data)
    except Rejected:
        return True
    tasks, distributions = {*TASKS} - {"max-of-k"}, ("product", "markov")
    return not (
        asked.task.get("name") in tasks or asked.distribution.get("name") in distributions
        or asked.semantics == "float32" or asked.rule in {*KNOWN} - {*RULES}
        or model.shape.d_vocab != model.shape.d_vocab_out or model.attn_scale != "1/sqrt(d_head)"
    )  # fmt: skip


def assert_same(folder, pairs, expected):
    """The lines are those expected, or there is none and the certificate is not covered."""
    found = run(folder, pairs)
    for pair, line, (mine, said) in zip(pairs, expected, found, strict=True):
        assert mine == line or (mine == "" and not covers(*pair)), (line, said)
    return [line for line, _ in found]
