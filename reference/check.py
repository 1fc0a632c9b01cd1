r"""Check a certificate with the standard library alone, in integers: `python reference/check.py CERT --weights W`.

An independent reader and checker of `docs/certificate-format.md` for the rules position-minima, exponential-moment and
grid-count in real arithmetic. It shares no code with the package, which need not be installed. A certificate carries
its claim, and this checker has to reach it by its own arithmetic: every product of weights is exact, every
exponential lies between two integers (`model.py`).

stdout: one line (broken here), that of `pessimal check` but for `flops` and `ops`, lengths of the kernel's computation:

    s VERIFIED correct>=8/9 accuracy>=0.888888 task=max-of-k dist=uniform semantics=real
        weights=sha256:... rule=... bytes=... question=sha256:... assumed=...
    s REJECTED reason=...

Exit code: 0 verified; 1 rejected; 3 rejected because it would take too long; 2 no verdict: a file that cannot be read,
or a certificate that this checker does not cover (another rule, semantics float32), with the reason on stderr. The
exit code is the verdict whether or not anyone reads stdout.

Contents:
    NotCoveredError — no verdict.
    check — bytes of certificate and weights to the line.
    contents — a file up to a limit.
    main — the command.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from budget import MAX_WORK, Budget
from certificate import Certificate, Rejected, read_certificate
from cost import charge_bound, charge_tables
from hints import Options
from model import Model, final_bias
from question import verdict_line
from rules import position_minima, summed
from tasks import Distribution, Machine, Strata, distribution_of, machine_of
from weights import UnreadableError, Weights, read_weights

RULES = ("position-minima", "exponential-moment", "grid-count")
OTHER_RULES = (
    "brute-force",
    "cubic",
    "sub-cubic",
    "band",
    "exact",
    "comparisons",
    "layer-cake",
    "layer-count",
    "sparse-output",
    "key-frequency",
)
FINE_KINDS = ("mean-probability", "loss")
MAX_BYTES, MAX_WEIGHTS_BYTES = 2**31, 2**30


class NotCoveredError(Exception):
    """A certificate that is none of this checker's business."""


def check(data: bytes, weights: Weights, max_work: int = MAX_WORK) -> str:
    """The verdict line of a certificate that is verified.

    Conditions 1 to 23 of section 5 of `docs/certificate-format.md`, in their order; 21 asks for nothing here.

    Raises:
        Rejected: with the reason of the first condition that fails.
        NotCoveredError: if the conditions up to 17 hold, but rule or semantics are not covered.
    """
    if len(data) > MAX_BYTES:
        raise Rejected("resources", "the certificate is too long")
    certificate = read_certificate(data)
    header = certificate.header
    if header["rule"] not in (*RULES, *OTHER_RULES):
        raise Rejected("unknown-rule", "no such rule")
    if header["weights_sha256"] != weights.sha256:
        raise Rejected("weights-mismatch", "the certificate is about other weights or another architecture record")
    # Compared with types, because Python's True equals 1.
    if repr(sorted(header["model"].items())) != repr(sorted(weights.record.items())):
        raise Rejected("model-mismatch", "the architecture record is not that of the weights")
    machine = machine_of(header["task"], weights.record)
    budget = Budget(max_work)
    distribution = distribution_of(certificate, machine, budget)
    _require_claim(certificate, distribution)
    if header["rule"] not in RULES:
        raise NotCoveredError(f"this checker covers the rules {', '.join(RULES)}, not {header['rule']}")
    if header["semantics"] != "real":
        raise NotCoveredError("this checker covers real arithmetic, not float32 executions")
    _require_covered(certificate, weights, distribution)
    wrong = _bound(certificate, weights, machine, distribution, budget)
    if certificate.correct > certificate.total - wrong:
        detail = f"claimed {certificate.correct}; the rule gives {certificate.total - wrong}"
        raise Rejected("bound-too-low", detail)
    return verdict_line(certificate, weights, distribution)


def _require_claim(certificate: Certificate, distribution: Distribution) -> None:
    """Conditions 16 and 17."""
    kind, semantics = certificate.header["claim"]["kind"], certificate.header["semantics"]
    if semantics not in ("real", "float32"):
        raise Rejected("bad-claim", "the semantics are real or float32")
    own = "correct-count" if distribution.name == "uniform" else "probability"
    if kind not in (own, *FINE_KINDS) or (kind in FINE_KINDS and semantics != "real"):
        raise Rejected("bad-claim", f"no claim of this kind under {distribution.name} and {semantics}")
    if certificate.total != distribution.total << (20 if kind in FINE_KINDS else 0):
        raise Rejected("bad-claim", "the total is not that of all sequences")
    if certificate.correct > certificate.total and kind != "loss":
        raise Rejected("bad-claim", "more than all sequences")


def _require_covered(certificate: Certificate, weights: Weights, distribution: Distribution) -> None:
    """Condition 18."""
    header, record = certificate.header, weights.record
    reasons = {
        "the rules bound no mean probability and no loss": header["claim"]["kind"] in FINE_KINDS,
        "grid-count needs independent positions": header["rule"] == "grid-count" and distribution.name == "markov",
        "attention is uniform": record["attention"] == "uniform",
        "there is an MLP": "d_mlp" in record,
        "position-minima covers one head": header["rule"] == "position-minima" and record["n_heads"] > 1,
        "final biases are not scaled with the other logits": final_bias(weights),
        "there is no rival": record["d_vocab_out"] < 2,
        "there is a single position": record["k"] < 2,
    }
    for detail, holds in reasons.items():
        if holds:
            raise Rejected("unsupported-model", detail)


def _bound(
    certificate: Certificate, weights: Weights, machine: Machine, distribution: Distribution, budget: Budget
) -> int:
    """Conditions 19, 20 and 22, and the rule's bound on the weight of the wrong sequences."""
    rule = certificate.header["rule"]
    hinted = certificate.header["options"] or any(not name.startswith("distribution_") for name in certificate.arrays)
    if rule == "position-minima" and hinted:
        raise Rejected("bad-hint", "the rule reads no hints")
    strata = Strata(machine, budget)
    options = None if rule == "position-minima" else Options(certificate, weights.record, strata, distribution)
    charge_tables(weights, budget)
    charge_bound(rule, strata, distribution, weights.record, options, budget)
    model = Model(weights, budget)
    if options is None:
        return position_minima(model, strata, distribution)
    return summed(model, strata, distribution, options)


def contents(path: Path, limit: int) -> bytes | None:
    """A file, device or pipe, of which at most a byte more than the limit is read; None if it is longer."""
    found = bytearray()
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > limit:
            return None
        while len(found) <= limit and (part := file.read(min(1 << 20, limit + 1 - len(found)))):
            found += part
    return None if len(found) > limit else bytes(found)


def _verdict(certificate: Path, weights: Path, stated: dict, max_work: int) -> tuple[int, str, str]:
    """Exit code, line of stdout and sentence of stderr."""
    try:
        model = contents(weights, MAX_WEIGHTS_BYTES)
        if model is None:
            return 2, "", f"the weights are longer than {MAX_WEIGHTS_BYTES} bytes"
        read = read_weights(model, stated)
        data = contents(certificate, MAX_BYTES)
        if data is None:
            raise Rejected("resources", "the certificate is too long")
        return 0, check(data, read, max_work), ""
    except Rejected as rejected:
        return 3 if rejected.reason == "resources" else 1, f"s REJECTED reason={rejected.reason}", rejected.detail
    except (MemoryError, RecursionError):
        return 3, "s REJECTED reason=resources", "out of memory"
    except (UnreadableError, NotCoveredError, OSError) as error:
        return 2, "", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing was verified and nothing rejected
        return 2, "", f"no verdict: {type(error).__name__}"


def _say(text: str, stream: TextIO | None) -> None:
    """Print a line, if anyone is there to read it: the exit code is the verdict all the same."""
    if not text or stream is None:
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError):
        # What could not be written is not tried again at the end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main() -> int:
    """Read, check, print; the exit code is the verdict."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(description="Check a certificate with the standard library alone.")
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file of the model it is about")
    parser.add_argument("--max-work", type=int, default=MAX_WORK, help="refuse longer checks; a million is a second")
    parser.add_argument("--k", type=int, help="number of positions to use (default: metadata, or all rows of W_pos)")
    parser.add_argument("--attn-scale", help="factor on the attention scores: 1/sqrt(d_head), 1, or such as 1/8")
    parser.add_argument("--ln-eps", help="LayerNorm epsilon as an exact decimal, such as 1e-5")
    parser.add_argument(
        "--normalization-type", choices=("none", "LN", "LNPre", "RMS", "RMSPre"), help="what normalises"
    )
    flags = parser.parse_args()
    stated = {name: getattr(flags, name) for name in ("k", "attn_scale", "ln_eps", "normalization_type")}
    code, line, said = _verdict(flags.certificate, flags.weights, stated, flags.max_work)
    _say(said and f"reference: {said}", sys.stderr)
    _say(line, sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
