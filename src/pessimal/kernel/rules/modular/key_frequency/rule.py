r"""Key frequencies: the MLP read at a few frequencies, its logits turned to the right answer, the rest bounded.

Counted are the inputs whose logit is certainly largest. Hints name the frequencies, which neurons are evaluated for
each, and how. What is lost are neurons not evaluated, approximations, and all that is written beside the frequencies.

Theorem. Addition of two tokens a, b modulo p; models with uniform attention and an MLP (`model/folded.py`); neuron i
has pre-activation $x_i$ and activation $h_i = \tfrac12x_i + \tfrac12|x_i|$. Let $\theta = 2\pi/p$,
$\mathcal K$ a set of n frequencies, and $g_{ik}$ two numbers per neuron and frequency (a cosine and a sine part);
whatever they are, the logits are

$$ \mathrm{logit}_c = \sum_{k\in\mathcal K} z_k\cdot(\cos\theta kc, \sin\theta kc) + f^\perp_c,\qquad
   z_k = \sum_ih_ig_{ik} + \text{skip}, $$

with $f^\perp$ the remainder. Suppose $|z_k - \tilde z_k| \le \rho_k$ and $f^\perp_c \in [f^-_c, f^+_c]$. Turn
$\tilde z_k$ by the angle of the answer y = a + b: $\alpha_k = \tilde z_k\cdot(\cos\theta ky, \sin\theta ky)$,
$\beta_k = \tilde z_k\cdot(-\sin\theta ky, \cos\theta ky)$. The logit of y less that of y + e is at least

$$ \sum_k\bigl[\alpha_k(1-\cos\theta ke) - \beta_k\sin\theta ke - 2\rho_k|\sin\tfrac{\theta ke}2|\bigr]
   + f^-_y - f^+_{y+e}, $$

because the target's wave vector at k, turned by $\theta ke$, is the rival's, and the two are $2|\sin(\theta ke/2)|$
apart. All inputs with one difference a - b share the smallest $\alpha_k$ and the largest $|\beta_k|$ of them, unless
hints ask for each by itself. What follows says where $\tilde z$, $\rho$ and $f^\pm$ come from.

z: half of $x_i$ is linear in the residual and evaluated exactly for all neurons. $\tfrac12|x_i|$ is evaluated for the
(neuron, frequency) pairs that hints keep: neuron by neuron, by profiles that several neurons share, or as one integral
per frequency (activations.py); the last two are off by a part that depends on a, one on b and one on a - b. Of the
other pairs, $\tfrac12|x_i| \in [0, X_i/2]$, $X_i$ the largest magnitude: the middle is added, and $X_i/4$ per neuron
goes into $\rho_k$ by `quadrature.spread`.

Pre-activations are exact, or through any matrix Q of d columns (a hint): with $C = Q^\top W_{in}$,
$\varrho = \kappa Q^\top + \varrho_\perp$, $\kappa = \varrho Q$, and column $v_i = QC_i + v_{\perp i}$ of $W_{in}$,

$$ \varrho\cdot v_i = \kappa\cdot(2C_i - Q^\top QC_i) + \varrho_\perp\cdot v_{\perp i}, $$

whose last term is at most $|\varrho_\perp||v_{\perp i}|$; it goes into $X_i$, and half of it into $\rho_k$.

Remainder: with $h_i \in [0, u_i]$ and $G^\perp$ what neurons write of it, $\sum_ih_iG^\perp_{ic}$ is within
$\sum_i\tfrac{u_i}2|G^\perp_{ic}|$ of $\sum_i\tfrac{u_i}2G^\perp_{ic}$. $|G^\perp_{ic}|$ is multiplied out or, for any
matrix T (a hint), at most $|\gamma_i\cdot S^\top U^\perp_c| + |o_i - S\gamma_i||U^\perp_c|$, $\gamma_i = T^\top g_i$,
$o_i$ row i of $W_{out}$, S what the residual writes at $\mathcal K$.

*Proof.* of `docs/modular-addition.md#key-frequencies`

| symbol | name in the code | shape |
|---|---|---|
| $\mathcal K$, kept pairs | `options.frequencies`, `options.kept` | `[n]`, `[f, n]` |
| $\alpha, \beta$ | `Margins.alpha`, `.beta` | `[p^2, n]` |
| $\rho_k$ | `Margins.rho`, `Approximation.error`, `.spread_out` | `[1, n]`, `[p, n]` |
| $2\lvert\sin(\theta ke/2)\rvert$ | `Margins.chord` | `[n, p]` |
| $f^-, f^+$ | `Margins.low`, `.high` by a, each plus `.second` by b | `[p, p]` |
| $C, \kappa$, $X_i$, $u_i$ | `read`, `seen`, `Inputs.reach`, `.top` | `[d, f]`, `[p, d]`, `[f]` |
| $g_i$, $\gamma_i$; S | `Outputs.writes`, `gamma`; `written` | `[f, 2 n]`; `[m, 2 n]` |

Soundness: for all weights, frequencies, kept pairs, Q and T. No symmetry is assumed: $\alpha, \beta$ are computed for
every input, and a difference takes the worst of its inputs.
Cost: counted by running the rule over shapes; per input 2 operations per neuron and 4 per kept pair, or 2 + 4 n per
profile, or none: with integrals everything but assembling p^2 n numbers is linear in the size of tables and weights.
Source: new.

Contents:
    KeyFrequencyInstance, KeyFrequencyRule — about one question, and about all.
    Margins — lower bounds of margins, difference by difference.
    waves_at, fixed_radii — what is written at key frequencies, and how far off it may be.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Uncounted
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.folded import output_bias, require_folded
from pessimal.kernel.model.tensors import plus_exact
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.rules.modular.key_frequency.activations import Approximation, approximation, by_frequency
from pessimal.kernel.rules.modular.key_frequency.options import KeyFrequencyOptions
from pessimal.kernel.rules.modular.key_frequency.residuals import Inputs, Outputs
from pessimal.kernel.rules.modular.quadrature import root_above
from pessimal.spec.architecture import UNIFORM, Architecture
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.tasks.modular_addition import ModularAddition
from pessimal.spec.weights import Weights

MAX_P = 1024
# Waves of all inputs and frequencies that are held at once.
MAX_NUMBERS = 1 << 28
CHUNK = 1 << 12


def waves_at(
    kept: Approximation, inputs: Inputs, outputs: Outputs, options: KeyFrequencyOptions, arith: AbstractArithmetic
) -> AbstractEnclosure:
    """All z but for what `Margins.off` bounds, cosine parts before sine parts, `[p^2, 2 n]`, a outermost."""
    p, n = inputs.pre[0].shape[0], len(options.frequencies)
    tables = [(rho @ outputs.linear).enclose() for rho in inputs.rows]
    tables[1] = plus_exact(tables[1], outputs.bias)
    if not options.kept.all():
        quarter, middle = inputs.reach * Fraction(1, 4), []
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
    inputs: Inputs, outputs: Outputs, options: KeyFrequencyOptions, arith: AbstractArithmetic
) -> AbstractEnclosure:
    """The part of rho that all inputs share: pairs that are not kept, and approximate pre-activations, `[n]`."""
    bounded = replace(options, kept=~options.kept)
    rho = by_frequency(inputs.reach * Fraction(1, 4), outputs, bounded, arith)
    if inputs.error is None:
        return rho
    return rho + by_frequency(inputs.error * Fraction(1, 2), outputs, options, arith)


class Margins:
    """Lower bounds of margins, one difference a - b after another.

    Attributes:
        alpha, beta: of all inputs, `[p^2, n]`.
        kept: what the kept pairs write, and how far off that may be.
        rho: the rest of the error of z, `[1, n]`.
        chord: 2 |sin(theta k e / 2)|, `[n, p]`.
        low, high: ends of the remainder by a, output bias included, `[p, p]`.
        second: the remainder by b, `[p, p]`.
    """

    def __init__(self, weights: Weights, options: KeyFrequencyOptions, arith: AbstractArithmetic) -> None:
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
        apart = 1 - outputs.cos[outputs.angle]
        # 2 |sin(x / 2)| is the root of 2 - 2 cos x.
        self.chord = root_above(apart * 2)
        self.rho = fixed_radii(inputs, outputs, options, arith).reshape(1, -1)
        self.shared = self.rho @ self.chord
        self.apart, self.sine = apart.T, outputs.sin[outputs.angle].T
        self.steep = self.sine.absolute()
        beside = [rho.enclose() @ outputs.beside for rho in inputs.rows]
        middle = plus_exact(outputs.centre, output_bias(weights, arith))
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
        return (rho + self.rho) @ self.chord

    def key(self, index: Int[np.ndarray, " p"], *, fine: bool) -> AbstractEnclosure:
        """The sum over the key frequencies for all e, of every input or the worst, like `off`."""
        alpha, beta = self.alpha[index], self.beta[index]
        if fine:
            return alpha @ self.apart.T - beta @ self.sine.T
        worst, largest = alpha.min(0), beta.absolute().max(0)
        return (self.apart * worst).sum(1).reshape(1, -1) - (self.steep * largest).sum(1).reshape(1, -1)

    def right(self, difference: int, *, fine: bool) -> tuple[Int[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
        """The second tokens of the inputs with one difference, and which of these are certainly right."""
        first = np.arange(self.p)
        second = (first - difference) % self.p
        y = (first + second) % self.p
        rival = (y[:, np.newaxis] + np.arange(1, self.p)) % self.p
        key = self.key(first * self.p + second, fine=fine) - self.off(first, second, fine=fine)
        right_end = (self.low[first, y] + self.second[second, y]).reshape(-1, 1)
        # SOUND: a lost number is not greater than anything.
        rival_end = self.high[first[:, np.newaxis], rival] + self.second[second[:, np.newaxis], rival]
        return second, np.asarray((key[:, 1:] + right_end).greater(rival_end).all(1))


@dataclass(frozen=True, eq=False)
class KeyFrequencyInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        options: frequencies, kept pairs and approximations.
    """

    options: KeyFrequencyOptions

    @property
    def length(self) -> Hashable:
        """Everything but the values of approximations."""
        return self.options.numbers

    def uncounted(self) -> Uncounted:
        """The numbers of the tables and of the hints."""
        s, options = self.architecture.shape, self.options
        p, f, n = s.d_vocab, s.d_mlp, len(options.frequencies)
        if 8 * p * p * n > MAX_NUMBERS:
            raise Rejected(Reason.RESOURCES, f"{n} frequencies of {p * p} inputs are more than {MAX_NUMBERS} numbers")
        columns = 0 if options.directions is None else options.directions.shape[1]
        hints = int(options.kept.sum()) + n + s.d_model * columns + 4 * n * n * (options.shrink is not None)
        return Uncounted(2 * p * f + 2 * n * f + 2 * p * p, hints)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Inputs that are not certainly right."""
        margins = Margins(weights, self.options, arith)
        p = margins.p
        wrong: Counter[tuple[int, int]] = Counter()
        for difference in range(p):
            second, right = margins.right(difference, fine=bool(self.options.fine[difference]))
            uncertified = second[~right]
            # y = a + b = (a - b) + 2 b
            wrong.update(zip(uncertified.tolist(), ((difference + 2 * uncertified) % p).tolist(), strict=True))
            progress(difference + 1, p)
        return CountBound.of(wrong, decided=True)


class KeyFrequencyRule(AbstractRule):
    """Count the inputs that the key frequencies get right."""

    name: ClassVar[str] = "key-frequency"
    attention: ClassVar[tuple[str, ...]] = (UNIFORM,)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Uniform attention over two tokens, an MLP, no LayerNorm, addition modulo p = d_vocab = d_vocab_out."""
        if question.semantics != REAL:
            raise Rejected(Reason.UNSUPPORTED_MODEL, f"rounding is not bounded for {UNIFORM} attention")
        _require_two_tokens(weights.architecture, question)
        require_folded(weights)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> KeyFrequencyInstance:
        """Read the frequencies, the kept pairs, and how they are evaluated."""
        return KeyFrequencyInstance(architecture, question, KeyFrequencyOptions.read(hints, architecture.shape))


def _require_two_tokens(arch: Architecture, question: Question) -> None:
    """Raise `Rejected(unsupported-model)` for another task or no MLP."""
    s = arch.shape
    if not isinstance(question.task, ModularAddition) or s.k != 2 or s.d_vocab != s.d_vocab_out or not s.d_mlp:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "key-frequency covers addition of two tokens modulo p by an MLP")
    if not 3 <= s.d_vocab <= MAX_P:
        raise Rejected(Reason.RESOURCES, f"p={s.d_vocab} is not from 3 to {MAX_P}")
