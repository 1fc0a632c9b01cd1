"""Running the extracted checker, and telling what it covers."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pessimal as ps
from pessimal.kernel.certificate import decode
from pessimal.kernel.rejection import Rejected
from pessimal.spec import TASKS, WeightsError, read_weights
from support.reference_checker import ROOT, RULES, comparable

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
        assert said.startswith("pessimal-verified: ") == (code != 0)
    return [(line.rstrip("\n"), said) for _, line, said in found]


# Reasons of the conditions before the one on the task, and of those up to the one on the rule.
BEFORE_TASK = (
    "malformed-container", "malformed-header", "unsupported-format", "unknown-rule", "weights-mismatch", "model-mismatch",
)  # fmt: skip
BEFORE_RULE = (*BEFORE_TASK, "task-mismatch", "bad-claim")


SCALES = ("1/sqrt(d_head)", "1")


def silent(raw, data, line=""):
    """Whether there is to be no verdict, where the kernel says `line`: no theorem is about this model or question."""
    reason = line.partition("=")[2]
    try:
        weights = read_weights(raw)
    except WeightsError:
        return True
    model = weights.architecture
    plain = not (model.ln1 or model.ln_final or model.biases) and model.attention == "causal-softmax"
    if not plain or model.shape.n_heads != 1 or model.shape.d_mlp or model.attn_scale not in SCALES:
        return True
    try:
        asked = decode(data)
    except Rejected:
        return False
    if asked.task.get("name") in {*TASKS} - {"max-of-k"} or asked.distribution.get("name") in ("product", "markov"):
        return reason not in BEFORE_TASK
    covered = asked.rule in RULES and asked.semantics == "real" and model.attn_scale == "1/sqrt(d_head)"
    return reason not in BEFORE_RULE and not (covered and model.shape.d_vocab == model.shape.d_vocab_out)


def by_balls(raw, data):
    """The kernel's line in ball arithmetic, in which nothing overflows."""
    return comparable(ps.check(data, read_weights(raw), arithmetic="arb").line())


def assert_same(folder, pairs, expected):
    """The lines are those expected, or there is to be none; where floats overflow, balls decide."""
    found = run(folder, pairs)
    for pair, line, (mine, said) in zip(pairs, expected, found, strict=True):
        same = mine == line or (mine == "" and silent(*pair, line))
        assert same or (line.endswith("bound-too-low") and mine == by_balls(*pair)), (line, said)
    return [line for line, _ in found]
