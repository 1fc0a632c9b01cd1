r"""A certificate and its weights as a Coq file that proves the claim.

The theorem is $n \le$ `count_correct (real_model D)` (`formal/theories/Statement.v`) with n the claim of the
certificate and D the exact weights, written as integers over one power of two. Its proof runs the evaluator of the rule
(`evaluation.py`) in Coq's kernel. Nothing computed here is believed: a wrong n, and the file does not compile. What
remains to trust is that the integers are those of the weights file, whose digest stands in a comment.

Contents:
    FormalError — the certificate is outside what the development covers.
    coq_instance — the text of the file.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from pessimal.formal.evaluation import EVALUATORS
from pessimal.kernel.certificate import Certificate
from pessimal.kernel.rejection import Rejected
from pessimal.spec.architecture import SOFTMAX, Architecture
from pessimal.spec.semantics import REAL
from pessimal.spec.tasks import MaxOfK
from pessimal.spec.weights import Weights

TENSORS = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")

TEMPLATE = """\
(** A lower bound on the accuracy of one model, proved.

    weights      sha256:{digest}
    certificate  rule {rule}, claim {correct} of {total} sequences of Max-of-{k}, d_vocab {d_vocab}

    [{name}]:
    at least {correct} of the {total} sequences are answered correctly by the model over the real numbers whose
    weights are the integers below, divided by 2^{bits}. Statement.v says what model and answer mean.
    To compare with the weights file: every float32 is such a fraction exactly. *)

From Coq Require Import ZArith List.
From Pessimal Require Import Integers Statement Tables{modules}.
Import ListNotations.

{tensors}

Definition weights_of_file : dyadic := {{|
  n_k := {k}; n_vocab := {d_vocab}; n_model := {d_model}; n_head := {d_head}; bits := {bits};
  dE := W_E; dpos := W_pos; dQ := W_Q; dK := W_K; dV := W_V; dO := W_O; dU := W_U
|}}.
{hints}
Theorem {name} : ({correct} <= count_correct (real_model weights_of_file))%Z.
Proof.
  apply Z.le_trans with ({function} big {arguments}).
  2: exact ({function}_correct big {arguments} big_lawful).
  apply Z.leb_le. vm_cast_no_check (eq_refl true).
Qed.

Print Assumptions {name}.
"""


class FormalError(ValueError):
    """The certificate or the model is outside what the Coq development covers; one sentence for the user."""


def _require_covered(arch: Architecture, certificate: Certificate) -> None:
    """Raise `FormalError` with the first reason why there is no theorem for this certificate."""
    shape = arch.shape
    conditions = (
        (
            certificate.rule in EVALUATORS,
            f"there are theorems for the rules {', '.join(EVALUATORS)}, not for {certificate.rule}",
        ),
        (certificate.task.get("name") == MaxOfK.name, f"the theorem is about {MaxOfK.name}"),
        (certificate.distribution.get("name") == "uniform", "the theorem counts sequences: uniform distribution only"),
        (certificate.semantics == REAL, "the theorem is about real arithmetic, not a float32 execution"),
        (
            certificate.claim_kind == "correct-count",
            f"there is no theorem for the claim {certificate.claim_kind}",
        ),
        (arch.attention == SOFTMAX, "the theorem is about softmax attention"),
        (arch.attn_scale == "1/sqrt(d_head)", "the theorem divides scores by sqrt(d_head)"),
        (shape.n_heads == 1, f"the theorem covers one head, W_Q has {shape.n_heads}"),
        (not shape.d_mlp, "the theorem covers attention-only models"),
        (not arch.ln1 and not arch.ln_final, "the theorem covers models without LayerNorm"),
        (not arch.biases, f"the theorem covers models without biases, not {', '.join(arch.biases)}"),
        (shape.d_vocab == shape.d_vocab_out, "the theorem has as many outputs as tokens"),
    )
    for holds, reason in conditions:
        if not holds:
            raise FormalError(reason)


def _bits(tensors: dict[str, Any]) -> int:
    """Smallest b with every weight an integer over 2**b."""
    numbers = (number for array in tensors.values() for number in array.ravel().tolist())
    return max(Fraction(number).denominator.bit_length() - 1 for number in numbers)


def _literal(name: str, array: Float[np.ndarray, "rows columns"], bits: int) -> str:
    """Definition of one tensor, row by row."""
    rows = [[int(Fraction(number) * 2**bits) for number in row] for row in array.tolist()]
    body = ";\n  ".join("[" + "; ".join(map(str, row)) + "]" for row in rows)
    return f"Definition {name} : list (list Z) := [\n  {body}\n]%Z."


def coq_instance(weights: Weights, certificate: Certificate, name: str) -> str:
    """The Coq file that proves the claim of a certificate.

    Args:
        weights: the model the certificate is about.
        certificate: a rule of `EVALUATORS`, task Max-of-K.
        name: of the theorem.

    Returns:
        Text of a `.v` file, to be compiled against `formal/theories`.

    Raises:
        FormalError: other weights, or a certificate or a model that the development does not cover.
    """
    arch = weights.architecture
    shape = arch.shape
    if certificate.weights_sha256 != weights.sha256:
        raise FormalError("the certificate is about other weights")
    _require_covered(arch, certificate)
    found = {one: weights.get(one, 0) for one in TENSORS}
    tensors = {one: np.asarray(array, dtype=np.float64) for one, array in found.items()}
    tensors["W_pos"] = tensors["W_pos"][: shape.k]
    bits = _bits(tensors)
    try:
        evaluation = EVALUATORS[certificate.rule](certificate)
    except Rejected as rejected:
        raise FormalError(f"the certificate would be rejected: {rejected.detail}") from rejected
    return TEMPLATE.format(
        name=name, digest=weights.sha256, rule=certificate.rule, correct=certificate.correct, total=certificate.total,
        k=shape.k, d_vocab=shape.d_vocab, d_model=shape.d_model, d_head=shape.d_head, bits=bits,
        tensors="\n".join(_literal(one, array, bits) for one, array in tensors.items()),
        modules="".join(f" {one}" for one in evaluation.modules), hints=evaluation.definitions,
        function=evaluation.function, arguments=evaluation.arguments,
    )  # fmt: skip
