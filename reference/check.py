r"""Check a certificate with the standard library alone, in integers: `python reference/check.py CERT --weights W`.

An independent reader and checker of `docs/certificate-format.md` for the rules position-minima, exponential-moment and
grid-count in real arithmetic. It shares no code with the package, which need not be installed. A certificate carries
its claim, and this checker has to reach it by its own arithmetic: every product of weights is exact, every
exponential lies between two integers (`model.py`).

stdout: one line (broken here), that of `pessimal check` but for `flops` and `ops`, lengths of the kernel's computation:

    s VERIFIED correct>=8/9 accuracy>=0.888888 task=max-of-k dist=uniform semantics=real
        weights=sha256:... rule=... bytes=...
    s REJECTED reason=...

Exit code: 0 verified; 1 rejected; 3 rejected because it would take too long; 2 no verdict: a file that cannot be read,
or a certificate that this checker does not cover (another rule, semantics float32), with the reason on stderr.

Contents:
    NotCoveredError — no verdict.
    check — bytes of certificate and weights to the line.
    main — the command.
"""

import argparse
import sys
from pathlib import Path

from certificate import Certificate, Rejected, read_certificate
from hints import Options
from model import Model, final_bias
from rules import position_minima, summed, work
from tasks import Distribution, Machine, Strata, distribution_of, machine_of
from weights import UnreadableError, Weights, read_weights

RULES = ("position-minima", "exponential-moment", "grid-count")
OTHER_RULES = ("brute-force", "cubic", "sub-cubic", "band", "exact", "layer-cake", "sparse-output", "key-frequency")
FINE_KINDS = ("mean-probability", "loss")
MAX_BYTES = 2**31
MAX_WORK = 2**30


class NotCoveredError(Exception):
    """A certificate that is none of this checker's business."""


def check(data: bytes, weights: Weights, max_work: int = MAX_WORK) -> str:
    """The verdict line of a certificate that is verified.

    Conditions 1 to 23 of section 5 of the format, in their order; 21 asks for nothing here.

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
    distribution = distribution_of(certificate, machine)
    _require_claim(certificate, distribution)
    if header["rule"] not in RULES:
        raise NotCoveredError(f"this checker covers the rules {', '.join(RULES)}, not {header['rule']}")
    if header["semantics"] != "real":
        raise NotCoveredError("this checker covers real arithmetic, not float32 executions")
    _require_covered(certificate, weights, distribution)
    wrong = _bound(certificate, weights, machine, distribution, max_work)
    if certificate.correct > certificate.total - wrong:
        detail = f"claimed {certificate.correct}; the rule gives {certificate.total - wrong}"
        raise Rejected("bound-too-low", detail)
    return _line(certificate, weights, distribution)


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
    certificate: Certificate, weights: Weights, machine: Machine, distribution: Distribution, max_work: int
) -> int:
    """Conditions 19, 20 and 22, and the rule's bound on the weight of the wrong sequences."""
    rule = certificate.header["rule"]
    needed = machine.n_states * machine.d_vocab * machine.n_outputs // 4
    if needed > max_work:
        raise Rejected("resources", f"about {needed:.1e} steps for the strata alone; allowed are {max_work:.1e}")
    strata = Strata(machine)
    options = None
    if rule != "position-minima":
        options = Options(certificate, weights.record, strata, distribution)
    elif certificate.header["options"] or any(not name.startswith("distribution_") for name in certificate.arrays):
        raise Rejected("bad-hint", "the rule reads no hints")
    needed = work(rule, strata, distribution, weights.record, options)
    if needed > max_work:
        raise Rejected("resources", f"the check takes about {needed:.1e} steps; allowed are {max_work:.1e}")
    model = Model(weights)
    if options is None:
        return position_minima(model, strata, distribution)
    return summed(model, strata, distribution, options)


def _line(certificate: Certificate, weights: Weights, distribution: Distribution) -> str:
    """The line of a verified claim; decimals rounded down."""
    header, correct, total = certificate.header, certificate.correct, certificate.total
    scaled = correct * 10**6 // total
    head = "correct" if header["claim"]["kind"] == "correct-count" else "probability"
    named = "" if distribution.name == "uniform" else f" distribution=sha256:{distribution.sha256}"
    return (
        f"s VERIFIED {head}>={correct}/{total} accuracy>={scaled // 10**6}.{scaled % 10**6:06d}"
        f" task={header['task']['name']} dist={distribution.name}{named} semantics={header['semantics']}"
        f" weights=sha256:{weights.sha256} rule={header['rule']} bytes={certificate.n_bytes}"
    )


def main() -> int:
    """Read, check, print; the exit code is the verdict."""
    parser = argparse.ArgumentParser(description="Check a certificate with the standard library alone.")
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file of the model it is about")
    parser.add_argument("--max-work", type=int, default=MAX_WORK, help="refuse longer checks; a million is a second")
    parser.add_argument("--k", type=int, help="number of positions to use (default: metadata, or all rows of W_pos)")
    parser.add_argument("--attn-scale", help="factor on the attention scores: 1/sqrt(d_head) or 1")
    parser.add_argument("--ln-eps", help="LayerNorm epsilon as an exact decimal, such as 1e-5")
    flags = parser.parse_args()
    stated = {"k": flags.k, "attn_scale": flags.attn_scale, "ln_eps": flags.ln_eps}
    try:
        weights = read_weights(flags.weights.read_bytes(), stated)
        line = check(flags.certificate.read_bytes(), weights, flags.max_work)
    except (UnreadableError, NotCoveredError, OSError) as error:
        print(f"reference: {error}", file=sys.stderr)
        return 2
    except Rejected as rejected:
        print(f"reference: {rejected.detail}", file=sys.stderr)
        print(f"s REJECTED reason={rejected.reason}")
        return 3 if rejected.reason == "resources" else 1
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
