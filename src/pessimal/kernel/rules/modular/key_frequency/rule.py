r"""Key frequencies: the MLP read at a few frequencies, its logits turned to the right answer, the rest boxed.

Theorem. Addition of two tokens a, b modulo p; models with uniform attention and an MLP (`model/folded.py`); neuron i
has pre-activation $x_i$ and activation $h_i = \tfrac12x_i + \tfrac12|x_i|$. Let $\theta = 2\pi/p$, K frequencies, and
$g_{ik}$ two numbers per neuron and frequency (a cosine and a sine part); whatever they are, the logits are

$$ \mathrm{logit}_c = \sum_{k\in K} z_k\cdot(\cos\theta kc, \sin\theta kc) + f^\perp_c,\qquad
   z_k = \sum_ih_ig_{ik} + \text{skip}, $$

with $f^\perp$ the remainder. Suppose $|z_k - \tilde z_k| \le \rho_k$ and $f^\perp_c \in [f^-_c, f^+_c]$. Turn
$\tilde z_k$ by the angle of the answer y = a + b: $\alpha_k = \tilde z_k\cdot(\cos\theta ky, \sin\theta ky)$,
$\beta_k = \tilde z_k\cdot(-\sin\theta ky, \cos\theta ky)$. The logit of y less that of y + e is at least

$$ \sum_k\bigl[\alpha_k(1-\cos\theta ke) - \beta_k\sin\theta ke - 2\rho_k|\sin\tfrac{\theta ke}2|\bigr]
   + f^-_y - f^+_{y+e}, $$

because the two wave vectors are $2|\sin(\theta ke/2)|$ apart. All inputs with one difference a - b share the smallest
$\alpha_k$ and the largest $|\beta_k|$ of them, unless hints ask for each by itself.

z: half of $x_i$ is linear in the residual and evaluated exactly for all neurons. $\tfrac12|x_i|$ is evaluated for the
(neuron, frequency) pairs that hints keep: neuron by neuron, by profiles that several neurons share, or as one integral
per frequency (hidden.py); the last two are off by a part that depends on a, one on b and one on a - b. Of the others,
$\tfrac12|x_i| \in [0, X_i/2]$, $X_i$ the largest magnitude: the middle is added, and $X_i/4$ per neuron goes into
$\rho_k$ by `quadrature.spread`.

Pre-activations are exact, or through any matrix Q of few columns (a hint): with $c = Q^\top W_{in}$ and
$\varrho = \alpha Q^\top + \varrho_\perp$, $\alpha = \varrho Q$, and $w_i = Qc_i + w_{\perp i}$,

$$ \varrho\cdot w_i = \alpha\cdot(2c_i - Q^\top Qc_i) + \varrho_\perp\cdot w_{\perp i}, $$

whose last term is at most $|\varrho_\perp||w_{\perp i}|$; it goes into $X_i$, and half of it into $\rho_k$.

Remainder: with $h_i \in [0, u_i]$ and $G^\perp$ what neurons write of it, $\sum_ih_iG^\perp_{ic}$ is within
$\sum_i\tfrac{u_i}2|G^\perp_{ic}|$ of $\sum_i\tfrac{u_i}2G^\perp_{ic}$. $|G^\perp_{ic}|$ is multiplied out or, for any
matrix T (a hint), at most $|\gamma_i\cdot S^\top U^\perp_c| + |w_i - S\gamma_i||U^\perp_c|$, $\gamma_i = T^\top g_i$,
S what the residual writes at K.

Soundness: for all weights, frequencies, kept pairs, Q and T. No symmetry is assumed: $\alpha, \beta$ are computed for
every input, and a difference class takes the worst of its inputs.
Cost: counted by running the rule over shapes; per input 2 operations per neuron and 4 per kept pair, or 2 + 4 n per
profile, or none: with integrals everything but assembling p^2 n numbers is linear in the size of tables and weights.
Source: new; specification `modular-addition-certificates.md`, (*), D, S, F (profiles) and the cheap fold.
"""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from operator import add
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, counted_cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.folded import require_folded
from pessimal.kernel.model.tensors import optional, product
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.rules.modular.key_frequency.hidden import Approximation, approximation, by_frequency
from pessimal.kernel.rules.modular.key_frequency.options import KeyFrequency
from pessimal.kernel.rules.modular.key_frequency.parts import Inputs, Outputs
from pessimal.kernel.rules.modular.quadrature import root_above
from pessimal.spec.architecture import UNIFORM, Architecture
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.tasks import ModularAddition
from pessimal.spec.weights import Weights

MAX_P = 1024
CHUNK = 1 << 12


def waves_at(
    kept: Approximation, inputs: Inputs, outputs: Outputs, options: KeyFrequency, arith: AbstractArithmetic
) -> AbstractEnclosure:
    """All z but for what `Margins.off` bounds, cosine parts before sine parts, `[p^2, 2 n]`, a outermost."""
    p, n = inputs.pre[0].shape[0], len(options.frequencies)
    tables = [(rho @ outputs.linear).enclose() for rho in inputs.rows]
    if outputs.bias is not None:
        tables[1] = tables[1] + outputs.bias.enclose()
    if not options.kept.all():
        quarter, middle = inputs.reach * arith.fraction(Fraction(1, 4)), []
        for j in range(2 * n):
            neurons = np.flatnonzero(~options.kept[:, j % n])
            middle.append((quarter[neurons] * outputs.writes[neurons, j]).sum(0))
        tables[1] = tables[1] + arith.stack(middle)
    parts = []
    for begin in range(0, p * p, CHUNK):
        first, second = np.divmod(np.arange(begin, min(begin + CHUNK, p * p)), p)
        parts.append(kept.waves(first, second) + tables[0][first] + tables[1][second])
    return arith.concatenate(parts, axis=0)


def fixed_radii(
    inputs: Inputs, outputs: Outputs, options: KeyFrequency, arith: AbstractArithmetic
) -> AbstractEnclosure:
    """The part of rho that all inputs share: boxed pairs and approximate pre-activations, `[n]`."""
    boxed = replace(options, kept=~options.kept)
    rho = by_frequency(inputs.reach * arith.fraction(Fraction(1, 4)), outputs, boxed, arith)
    if inputs.error is None:
        return rho
    return rho + by_frequency(inputs.error * arith.fraction(Fraction(1, 2)), outputs, options, arith)


class Margins:
    """Lower bounds of margins, class of differences by class of differences.

    Attributes:
        alpha, beta: of all inputs, `[p^2, n]`.
        kept: what the kept pairs write, and how far off that may be.
        rho: the rest of the error of z, `[1, n]`.
        chord: 2 |sin(theta k e / 2)|, `[n, p]`.
        low, high: ends of the remainder by a, output bias included, `[p, p]`.
        second: the remainder by b, `[p, p]`.
    """

    def __init__(self, weights: Weights, options: KeyFrequency, arith: AbstractArithmetic) -> None:
        inputs = Inputs(weights, options, arith)
        outputs = Outputs(weights, options, inputs, arith)
        p, n = inputs.pre[0].shape[0], len(options.frequencies)
        self.p, self.n = p, n
        self.kept = approximation(inputs, outputs, options, arith)
        z = waves_at(self.kept, inputs, outputs, options, arith)
        first, second = np.divmod(np.arange(p * p), p)
        turn = outputs.angle[:, (first + second) % p].T
        cos, sin = outputs.cos[turn], outputs.sin[turn]
        self.alpha = z[:, :n] * cos + z[:, n:] * sin
        self.beta = z[:, n:] * cos - z[:, :n] * sin
        one, two = arith.fraction(Fraction(1)), arith.fraction(Fraction(2))
        apart = one - outputs.cos[outputs.angle]
        # 2 |sin(x / 2)| is the root of 2 - 2 cos x.
        self.chord = root_above(apart * two, arith)
        self.rho = fixed_radii(inputs, outputs, options, arith).reshape(1, -1)
        self.shared = product(self.rho, self.chord)
        self.apart, self.sine = apart.transpose(1, 0), outputs.sin[outputs.angle].transpose(1, 0)
        self.steep = self.sine.absolute()
        beside = [product(rho.enclose(), outputs.beside) for rho in inputs.rows]
        middle = outputs.centre
        bias = _output_bias(weights, arith)
        middle = middle if bias is None else middle + bias
        self.low, self.high = beside[0] + (middle - outputs.radius), beside[0] + (middle + outputs.radius)
        self.second = beside[1]

    def off(self, first: Int[np.ndarray, " p"], second: Int[np.ndarray, " p"], *, fine: bool) -> AbstractEnclosure:
        """What the errors of z may cost for all e, by input, `[p, p]`, or for the worst of the inputs, `[1, p]`."""
        if self.kept.error is None:
            return self.shared
        rho = self.kept.error[0][first] + self.kept.error[1][second]
        rho = rho if fine else rho.max(0).reshape(1, -1)
        if self.kept.spread_out is not None:
            rho = rho + self.kept.spread_out[[int(first[0] - second[0]) % self.p]]
        return product(rho + self.rho, self.chord)

    def key(self, index: Int[np.ndarray, " p"], *, fine: bool) -> AbstractEnclosure:
        """The sum over K for all e, like `off`."""
        alpha, beta = self.alpha[index], self.beta[index]
        if fine:
            return product(alpha, self.apart.transpose(1, 0)) - product(beta, self.sine.transpose(1, 0))
        worst, largest = alpha.min(0), beta.absolute().max(0)
        return (self.apart * worst).sum(1).reshape(1, -1) - (self.steep * largest).sum(1).reshape(1, -1)

    def right(self, difference: int, *, fine: bool) -> tuple[Int[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
        """The second tokens of the inputs of one class, and which of these are certainly right."""
        first = np.arange(self.p)
        second = (first - difference) % self.p
        y = (first + second) % self.p
        rival = (y[:, np.newaxis] + np.arange(1, self.p)) % self.p
        key = self.key(first * self.p + second, fine=fine) - self.off(first, second, fine=fine)
        own = (self.low[first, y] + self.second[second, y]).reshape(-1, 1)
        # SOUND: a lost number is not greater than anything.
        other = self.high[first[:, np.newaxis], rival] + self.second[second[:, np.newaxis], rival]
        return second, np.asarray((key[:, 1:] + own).greater(other).all(1))


def _output_bias(weights: Weights, arith: AbstractArithmetic) -> AbstractEnclosure | None:
    """b_out W_U + b_U, `[p]`, or None."""
    after, b_u = optional(weights, "b_out", arith), optional(weights, "b_U", arith)
    parts = [b_u] if b_u is not None else []
    if after is not None:
        parts.append(after @ arith.matrix(weights["W_U"]))
    return reduce(add, parts).enclose()[0] if parts else None


class KeyFrequencyRule(AbstractRule):
    """Count the inputs that the key frequencies get right."""

    name: ClassVar[str] = "key-frequency"
    attention: ClassVar[tuple[str, ...]] = (UNIFORM,)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Counted; the form of every hint is checked here."""
        s = architecture.shape
        _require_two_tokens(architecture, question)
        options = KeyFrequency.read(hints, s)
        p, f, n = s.d_vocab, s.d_mlp, len(options.frequencies)
        columns = 0 if options.directions is None else options.directions.shape[1]
        numbers = int(options.kept.sum()) + n + s.d_model * columns + 4 * n * n * (options.shrink is not None)
        return counted_cost(
            architecture,
            lambda weights, arith: self.bound(weights, question, hints, arith, no_progress),
            dims=2 * p * f + 2 * n * f + 2 * p * p,
            hints=numbers,
            entries=4 * min(CHUNK, p * p) * f + 8 * p * p * n + 8 * p * (f + p) + 4 * f * (2 * n + p),
        )

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Uniform attention over two tokens, an MLP, no LayerNorm, addition modulo p = d_vocab = d_vocab_out."""
        if question.semantics != REAL:
            raise Rejected(Reason.UNSUPPORTED_MODEL, f"rounding is not bounded for {UNIFORM} attention")
        _require_two_tokens(weights.architecture, question)
        require_folded(weights)

    def bound(
        self, weights: Weights, question: Question, hints: Hints, arith: AbstractArithmetic, progress: Progress
    ) -> CountBound:
        """Inputs that are not certainly right."""
        _require_two_tokens(weights.architecture, question)
        options = KeyFrequency.read(hints, weights.architecture.shape)
        margins = Margins(weights, options, arith)
        p = margins.p
        wrong: Counter[tuple[int, int]] = Counter()
        for difference in range(p):
            second, right = margins.right(difference, fine=bool(options.fine[difference]))
            lost = second[~right]
            # y = a + b = (a - b) + 2 b
            wrong.update(zip(lost.tolist(), ((difference + 2 * lost) % p).tolist(), strict=True))
            progress(difference + 1, p)
        return CountBound(Fraction(wrong.total()), None, decided=True, strata=wrong)


def _require_two_tokens(arch: Architecture, question: Question) -> None:
    """Raise `Rejected(unsupported-model)` for another task or no MLP."""
    s = arch.shape
    if not isinstance(question.task, ModularAddition) or s.k != 2 or s.d_vocab != s.d_vocab_out or not s.d_mlp:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "key-frequency covers addition of two tokens modulo p by an MLP")
    if not 3 <= s.d_vocab <= MAX_P:
        raise Rejected(Reason.RESOURCES, f"p={s.d_vocab} is not from 3 to {MAX_P}")
