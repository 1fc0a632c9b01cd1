"""Where `pessimal prove` puts a certificate when nobody says where.

Contents:
    default_output — `MODEL.STRATEGY.cert` in the current folder.
"""

import os
from pathlib import Path

from pessimal.api import read_certificate
from pessimal.kernel.certificate import decode
from pessimal.kernel.rejection import Rejected
from pessimal.runs.outputs import CERTIFICATE, Output, OutputError
from pessimal.spec.claim import CLAIMS
from pessimal.spec.distribution import DistributionError, distribution_from
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

MAX_NUMBER = 1000


def default_output(stem: str, strategy: str, weights: Weights, question: Question, *, force: bool = False) -> Output:
    """The certificate of a strategy: in a file of a new name, or of the same model, question and strategy.

    Where something else has the name, a number makes it another one; with `force` it is replaced.
    """
    for number in range(1, MAX_NUMBER):
        path = Path(f"{stem}.{strategy}.cert" if number == 1 else f"{stem}.{strategy}.{number}.cert")
        if force or not os.path.lexists(path) or _answers(path, strategy, weights, question):
            return Output("the certificate", path, CERTIFICATE)
    raise OutputError(f"{stem}.{strategy}.cert and {MAX_NUMBER} numbers after it are taken; name a file with --out")


def _answers(path: Path, strategy: str, weights: Weights, question: Question) -> bool:
    """Whether a file is a certificate of these; whether it is a true one is not asked."""
    try:
        found = decode(read_certificate(path))
        distribution = distribution_from(found.distribution, found.distribution_arrays)
    except (Rejected, DistributionError, OSError):
        return False
    asked = (strategy, weights.sha256, question.task.record(), question.distribution, question.semantics)
    stands = (found.strategy, found.weights_sha256, found.task, distribution, found.semantics)
    kind = CLAIMS.get(found.claim_kind)
    return asked == stands and kind is not None and kind.quantity == question.quantity
