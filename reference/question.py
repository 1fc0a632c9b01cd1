"""The verdict line of a claim that is verified: what was asked, of which model, and on which assumptions.

Contents:
    question_digest — the whole question in 64 hexadecimal digits.
    verdict_line — the line.
"""

from certificate import Certificate, canonical, digest
from tasks import Distribution
from weights import Weights

DOMAIN = b"pessimal-question/1"


def question_digest(task: dict, distribution: Distribution, semantics: str, quantity: str) -> str:
    """Digest of task record, distribution, semantics and quantity: another for every other question."""
    asked = {
        "distribution": {"name": distribution.name, "sha256": distribution.sha256}, "quantity": quantity,
        "semantics": semantics, "task": task,
    }  # fmt: skip
    return digest([DOMAIN, canonical(asked)])


def verdict_line(certificate: Certificate, weights: Weights, distribution: Distribution) -> str:
    """The line of a verified claim of accuracy; decimals rounded down."""
    header, correct, total = certificate.header, certificate.correct, certificate.total
    scaled = correct * 10**6 // total
    head = "correct" if header["claim"]["kind"] == "correct-count" else "probability"
    named = "" if distribution.name == "uniform" else f" distribution=sha256:{distribution.sha256}"
    question = question_digest(header["task"], distribution, header["semantics"], "accuracy")
    assumed = ",".join(f"{name}:{value}" for name, value in sorted(weights.assumed.items())) or "-"
    return (
        f"s VERIFIED {head}>={correct}/{total} accuracy>={scaled // 10**6}.{scaled % 10**6:06d}"
        f" task={header['task']['name']} dist={distribution.name}{named} semantics={header['semantics']}"
        f" weights=sha256:{weights.sha256} rule={header['rule']} bytes={certificate.n_bytes}"
        f" question=sha256:{question} assumed={assumed}"
    )
