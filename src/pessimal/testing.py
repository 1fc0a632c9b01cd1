"""Conformance: what every rule and every strategy must keep to; authors of new ones call it from their tests.

Contents:
    check_rule — bounds of a rule on many models and hints against the truth, its cost, lost numbers, unknown hints.
    Checked — what `check_rule` looked at.
    check_strategy — prove and check tiny models, compare with brute force, option by option.
    ConformanceError — what both raise.
    tiny_models — models that a rule covers, by seed.
    tiny_weights, tiny_adder — a small random or planted model through the trusted reader.
    plant_maximum — a perfect maximum, added to tensors.
    safetensors_bytes — a file of tensors.
    LongMoment — exponential moments whose hints have the long form.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from operator import eq

import numpy as np

from pessimal import api
from pessimal.kernel.arithmetic import ARITHMETICS, CountingArithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.check import check
from pessimal.kernel.cost import Cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.brute_force import BruteForceRule
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress
from pessimal.spec import MaxOfK, Weights, read_weights
from pessimal.spec.architecture import SOFTMAX, UNIFORM
from pessimal.spec.claim import ACCURACY
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import ModularAddition
from pessimal.strategies import AbstractStrategy, BruteForce, ExponentialMoment

Model = tuple[Weights, Question]
Truth = Mapping[tuple[int, int], Fraction | int] | Fraction | int


class ConformanceError(AssertionError):
    """A rule or a strategy broke a rule of the house; the message says which."""


class LongMoment(ExponentialMoment):
    """Writes mantissas and exponents, the form that certificates had first and that is still read."""

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """As found."""
        return self.long_hints(weights, question, progress)


def safetensors_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file from arrays, in name order."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    body = b""
    for name, array in sorted(tensors.items()):
        raw = np.ascontiguousarray(array).tobytes()
        dtype = {"float32": "F32", "float64": "F64"}[array.dtype.name]
        span = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": span}
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + body


def plant_maximum(tensors: Mapping[str, np.ndarray], *, sharpness: float = 12.0, gain: float = 4.0) -> None:
    """Add a model of the largest token to tensors, in place; heads, if they have an axis, are the first one's.

    The score of a key is `sharpness` times its token; values add up to gain * (2 o t - o**2) for output o where
    attention is on token t, largest at o = t.
    """
    q, k, v, o = (tensors[name].reshape(-1, *tensors[name].shape[-2:])[0] for name in ("W_Q", "W_K", "W_V", "W_O"))
    token, output = np.arange(len(tensors["W_E"])), np.arange(tensors["W_U"].shape[1])
    tensors["W_E"][:, 0] += token
    tensors["W_E"][:, 1] += 1
    q[1, 0] += 1
    k[0, 0] += sharpness
    v[0, 0] += 1
    v[1, 1] += 1
    o[0, 2] += 1
    o[1, 3] += 1
    tensors["W_U"][2] += 2 * gain * output
    # Minus zero for output 0, as if the row were written out: digests of models depend on it.
    tensors["W_U"][3] = -(gain * output**2 - tensors["W_U"][3])


def tiny_weights(seed: int, *, k: int = 3, d_vocab: int = 5, planted: bool = True) -> Weights:
    """A model with sizes d_model = 7, d_head = 2: random, or close to a perfect maximum.

    Args:
        seed: of the random part.
        k: sequence length.
        d_vocab: tokens and outputs.
        planted: scores grow with the token and each token writes itself.
    """
    rng = np.random.default_rng(seed)
    shapes = {"W_E": (d_vocab, 7), "W_pos": (k, 7), "W_Q": (7, 2), "W_K": (7, 2), "W_V": (7, 2), "W_O": (2, 7)}
    tensors = {name: 0.02 * rng.normal(size=shape) for name, shape in {**shapes, "W_U": (7, d_vocab)}.items()}
    if planted:
        plant_maximum(tensors)
    return read_weights(safetensors_bytes({name: array.astype(np.float32) for name, array in tensors.items()}))


def tiny_adder(seed: int, *, p: int = 5, planted: bool = True) -> Weights:
    """A model with uniform attention and an MLP of two neurons: random, or close to addition modulo p.

    Planted, the residual holds the sum s of both tokens and the MLP its carry c = [s >= p]; the logit of output o is
    2 o (s - p c) - o^2, largest at o = s - p c.
    """
    rng = np.random.default_rng(seed)
    shapes = {"W_E": (p, 4), "W_pos": (2, 4), "W_Q": (4, 1), "W_K": (4, 1), "W_V": (4, 1), "W_O": (1, 4),
              "W_in": (4, 2), "b_in": (2,), "W_out": (2, 4), "W_U": (4, p)}  # fmt: skip
    tensors = {name: 0.02 * rng.normal(size=shape) for name, shape in shapes.items()}
    if planted:
        output = np.arange(p)
        tensors["W_E"][:, 0] += output
        tensors["W_E"][:, 1] += 1
        tensors["W_V"][0, 0] += 2
        tensors["W_O"][0, 2] += 1
        tensors["W_in"][2] += 1
        tensors["b_in"] += (1 - p, -p)
        tensors["W_out"][:, 3] += (1, -1)
        tensors["W_U"][1] -= output**2
        tensors["W_U"][2] += 2 * output
        tensors["W_U"][3] -= 2 * p * output
    arrays = {name: array.astype(np.float32) for name, array in tensors.items()}
    return read_weights(safetensors_bytes(arrays, {"attention": UNIFORM, "act_fn": "relu"}))


def _tiny(rule: str, seed: int) -> tuple[Weights, AbstractTask]:
    """A model that the rule covers, every other one planted."""
    planted = seed % 2 == 0
    if SOFTMAX not in RULES[rule].attention:
        adder = tiny_adder(seed, p=(3, 5, 7)[seed % 3], planted=planted)
        return adder, ModularAddition(k=2, d_vocab=adder.architecture.shape.d_vocab)
    weights = tiny_weights(seed, k=2 + seed % 3, planted=planted)
    return weights, MaxOfK(k=weights.architecture.shape.k, d_vocab=weights.architecture.shape.d_vocab)


def tiny_models(rule: AbstractRule, number: int = 12) -> Iterator[Model]:
    """As many models that the rule covers, every other one planted, and the question how often they are right."""
    uniform = SOFTMAX not in rule.attention
    for seed in range(number):
        weights, task = _tiny("sparse-output" if uniform else "cubic", seed)
        yield weights, Question(task)


@dataclass(frozen=True)
class Checked:
    """What `check_rule` looked at, for a test that asks whether it has seen enough.

    Attributes:
        bounds: how many were compared with the truth.
        refused: how many hints the rule refused.
        useful: how many of the bounds say more than that everything may be wrong.
    """

    bounds: int = 0
    refused: int = 0
    useful: int = 0


def _ran(
    rule: AbstractRule, weights: Weights, question: Question, hints: Hints, arith: AbstractArithmetic
) -> tuple[Cost, CountBound]:
    """Cost and bound, as a check computes them: the only place here that calls a rule."""
    rule.require_covers(weights, question)
    instance = rule.read(hints, weights.architecture, question)
    cost = instance.cost()
    with arith.running():
        return cost, instance.bound(weights, arith)


def _by_brute_force(weights: Weights, question: Question) -> Truth:
    """Weight of the wrong sequences by stratum; a sequence that no precision decides is a tie, and wrong."""
    if not _by_brute_force_known(question):
        raise ValueError("brute force knows what is right in real arithmetic; pass another truth")
    _, found = _ran(BruteForceRule(), weights, question, Hints(), ARITHMETICS["float64"]())
    return found.strata or found.wrong_at_most


def _wrong_for_certain(weights: Weights, question: Question) -> Truth:
    """Weight of the sequences that a precision shows to be wrong: not of those that none decides."""
    _, found = _ran(BruteForceRule(), weights, question, Hints(), ARITHMETICS["float64"]())
    return found.wrong_at_least or 0


def _by_brute_force_known(question: Question) -> bool:
    """Whether brute force decides every sequence of the question."""
    return (question.semantics, question.quantity) == (REAL, ACCURACY)


def _with_lost_numbers(weights: Weights, question: Question, rng: np.random.Generator) -> Iterator[Weights]:
    """The model with an entry, a tensor and everything so large that tables are infinite, or not numbers at all.

    In real arithmetic the tensors become float64, where products of a few of them leave the range.
    """
    kind = np.float64 if question.semantics == REAL else np.float32
    largest = float(np.finfo(kind).max) / 4
    chosen = str(rng.choice(sorted(weights.tensors)))
    for damage in ("entry", "tensor", "everything"):
        tensors = {name: np.array(array, dtype=kind) for name, array in weights.tensors.items()}
        if damage == "entry":
            tensors[chosen].flat[rng.integers(tensors[chosen].size)] = largest * rng.choice((-1, 1))
        for name, array in tensors.items():
            if damage == "everything" or (damage, name) == ("tensor", chosen):
                tensors[name] = array * kind(largest / max(1.0, float(np.abs(array).max())))
        yield replace(weights, tensors=tensors)


class _RuleCheck:
    """One rule on one model after the other; `Checked` grows."""

    def __init__(
        self,
        rule: AbstractRule,
        truth: Callable[[Weights, Question], Truth],
        arithmetics: Sequence[str],
        length: Callable[[int, int], bool] | None,
    ) -> None:
        self.rule, self.truth, self.arithmetics, self.length = rule, truth, arithmetics, length
        self.checked = Checked()

    def require_conforms(
        self, weights: Weights, question: Question, advice: Iterable[Hints], lost: np.random.Generator | None
    ) -> None:
        """Raise `ConformanceError` with the first fault on this model; without a generator, nothing is lost."""
        truth = cache(lambda: self.truth(weights, question))
        for number, hints in enumerate(advice):
            said = f"hints {number}"
            if not all(self._bound(weights, question, hints, name, truth, said) for name in self.arithmetics):
                continue
            self._require_refuses_more(weights, question, hints, said)
            if self.length is not None:
                self._require_length(weights, question, hints, said)
            for damaged in () if lost is None else _with_lost_numbers(weights, question, lost):
                known = cache(lambda damaged=damaged: self._certain(damaged, question))
                for name in self.arithmetics:
                    self._bound(damaged, question, hints, name, known, f"{said}, with huge numbers in the model")

    def _certain(self, weights: Weights, question: Question) -> Truth:
        """What is wrong beyond doubt: numbers that differ by their last of a thousand digits stay undecided."""
        if self.rule.name != BruteForceRule.name and _by_brute_force_known(question):
            return _wrong_for_certain(weights, question)
        return self.truth(weights, question)

    def _bound(
        self, weights: Weights, question: Question, hints: Hints, name: str, truth: Callable[[], Truth], said: str
    ) -> bool:
        """Compare a bound with the truth; whether there is one."""
        said = f"{said}, {name}"
        try:
            cost, found = _ran(self.rule, weights, question, hints, ARITHMETICS[name]())
            found.parts()
        except Rejected as rejected:
            if rejected.reason == Reason.RULE_FAILED:
                raise ConformanceError(f"{said}: {rejected}") from rejected
            self.checked = replace(self.checked, refused=self.checked.refused + 1)
            return False
        except Exception as error:
            raise ConformanceError(f"{said}: raises {type(error).__name__}: {error}") from error
        if not cost.checker_ops > 0 < cost.bytes_needed:
            raise ConformanceError(f"{said}: states no cost")
        useful = found.wrong_at_most < question.total()
        self.checked = replace(self.checked, bounds=self.checked.bounds + 1, useful=self.checked.useful + bool(useful))
        counts = question.quantity == ACCURACY
        if counts and found.wrong_at_most > question.total():
            raise ConformanceError(f"{said}: {found.wrong_at_most} of {question.total()} wrong is more than there is")
        # The truth takes long, and says nothing against a bound that certifies nothing.
        if useful or not counts or found.wrong_at_least is not None:
            _require_above(found, truth(), said)
        return True

    def _require_length(self, weights: Weights, question: Question, hints: Hints, said: str) -> None:
        """The stated number of flops is the number counted."""
        arith = CountingArithmetic()
        try:
            cost, _ = _ran(self.rule, weights, question, hints, arith)
        except Exception as error:
            raise ConformanceError(f"{said}: a run over shapes raises {type(error).__name__}: {error}") from error
        if self.length is not None and not self.length(cost.flops, arith.tally.flops):
            raise ConformanceError(f"{said}: states {cost.flops} flops, a run counts {arith.tally.flops}")

    def _require_refuses_more(self, weights: Weights, question: Question, hints: Hints, said: str) -> None:
        """A hint that the rule does not read is refused, or two certificates would say the same."""
        more = (
            replace(hints, options={**hints.options, "no_such_option": 1}),
            replace(hints, arrays={**hints.arrays, "no_such_array": np.zeros(1, dtype=np.int64)}),
        )
        for one, what in zip(more, ("option", "array"), strict=True):
            try:
                _ran(self.rule, weights, question, one, ARITHMETICS[self.arithmetics[0]]())
            except Rejected as rejected:
                if rejected.reason == Reason.BAD_HINT:
                    continue
            raise ConformanceError(f"{said}: takes an unknown {what}")


def _require_above(found: CountBound, truth: Truth, said: str) -> None:
    """Raise `ConformanceError` if less is wrong by the bound than in truth, in a stratum or altogether."""
    if isinstance(truth, Mapping):
        for place, wrong in truth.items():
            if found.strata and found.strata.get(place, 0) < wrong:
                most = found.strata.get(place, 0)
                raise ConformanceError(f"{said}: at most {most} wrong in stratum {place}, in truth {wrong}")
    wrong = sum(truth.values()) if isinstance(truth, Mapping) else truth
    if found.wrong_at_most < wrong:
        raise ConformanceError(f"{said}: at most {found.wrong_at_most} wrong, in truth {wrong}")
    if found.wrong_at_least is not None and found.wrong_at_least > wrong:
        raise ConformanceError(f"{said}: at least {found.wrong_at_least} wrong, in truth {wrong}")


def check_rule(
    rule: AbstractRule,
    models: Iterable[Model],
    hints: Callable[[Weights, Question, np.random.Generator], Iterable[Hints]],
    *,
    truth: Callable[[Weights, Question], Truth] | None = None,
    arithmetics: Sequence[str] = tuple(ARITHMETICS),
    length: Callable[[int, int], bool] | None = eq,
    lost: bool = True,
) -> Checked:
    """Raise `ConformanceError` unless the rule keeps its word on these models; the smallest that fails is named.

    No bound is below the truth, in any stratum and in either arithmetic, nor where numbers of the model are so large
    that tables are infinite; nothing but `Rejected` is raised; a hint that the rule does not read is refused with
    bad-hint; the stated flops are what a run counts. A test of a new rule copies three lines:

        def test_my_rule_keeps_its_word():
            found = check_rule(MyRule(), tiny_models(MyRule()), lambda weights, question, rng: [some_hints(rng)])
            assert found.refused == 0 < found.useful

    Args:
        rule: the theorem under test.
        models: weights with questions, such as `map(my_model, range(40))` for a function of a seed.
        hints: arbitrary advice for a model, of the right form; `rng` is the model's own.
        truth: weight of the wrong sequences, by stratum (last token, right output) or altogether. Never by the rule
            under test. Default: brute force, which decides every sequence exactly, in real arithmetic.
        arithmetics: names of `ARITHMETICS`.
        length: what must hold of stated and counted flops; None where a run over shapes says nothing of the length.
        lost: whether to try models with huge numbers, too.
    """
    if truth is None and rule.name == BruteForceRule.name:
        raise ValueError("brute force is no judge of itself; pass another truth")
    checker = _RuleCheck(rule, truth or _by_brute_force, arithmetics, length)
    faults = []
    for number, (weights, question) in enumerate(models):
        rng = np.random.default_rng(number)
        try:
            advice = hints(weights, question, rng)
            checker.require_conforms(weights, question, advice, rng if lost else None)
        except ConformanceError as error:
            task = question.task
            faults.append((task.d_vocab**task.k, weights.architecture.shape.n_parameters(), number, str(error)))
    if faults:
        _, _, number, said = min(faults)
        raise ConformanceError(f"{rule.name}, model {number}, {said} ({len(faults)} models fail)")
    if not checker.checked.bounds:
        raise ConformanceError(f"{rule.name} gives no bound on any model: {checker.checked.refused} refusals")
    return checker.checked


def _instances(
    strategy: AbstractStrategy | type[AbstractStrategy], options: Iterable[Mapping[str, object]] | None
) -> list[AbstractStrategy]:
    """The strategy itself; of a class, one with these options each, or with every word of every option."""
    if isinstance(strategy, AbstractStrategy):
        return [replace(strategy, **dict(one)) for one in options or ({},)]  # type: ignore[type-var]
    if options is not None:
        return [strategy(**dict(one)) for one in options]
    words: dict[str, Iterable[str]] = {}

    class Asked(strategy):  # type: ignore[valid-type,misc]
        def _require_words(self, **allowed: Iterable[str]) -> None:
            words.update(allowed)

    Asked()
    return [strategy(), *(strategy(**{name: word}) for name, allowed in words.items() for word in allowed)]


def check_strategy(
    strategy: AbstractStrategy | type[AbstractStrategy],
    models: int = 6,
    *,
    options: Iterable[Mapping[str, object]] | None = None,
) -> None:
    """Raise `ConformanceError` unless the strategy behaves on tiny models.

    The certificate must verify in both arithmetics, never claim more than brute force finds, come out the same twice,
    name a rule and state its cost.

    Args:
        strategy: one with its options, or a class: with its defaults, and with every word that an option takes.
        models: how many, for each choice of options.
        options: the choices of options to try instead.
    """
    for one in _instances(strategy, options):
        for seed in range(models):
            _require_behaves(one, seed)


def _require_behaves(strategy: AbstractStrategy, seed: int) -> None:
    """One model: sound, the same twice, verified in both arithmetics, at a stated cost."""
    weights, task = _tiny(strategy.rule, seed)
    proof = api.prove(weights, task, strategy)
    truth = api.prove(weights, task, BruteForce()).claim.amount
    if proof.claim.amount > truth:
        raise ConformanceError(f"{strategy} claims {proof.claim.amount}, the truth is {truth}")
    if api.prove(weights, task, strategy).data != proof.data:
        raise ConformanceError(f"{strategy} is not deterministic")
    for arithmetic in ARITHMETICS:
        verdict = check(proof.data, weights, arithmetic=arithmetic)
        if not verdict.verified:
            raise ConformanceError(f"{strategy}: {arithmetic} rejects: {verdict.detail}")
    if proof.cost.flops <= 0 or proof.cost.checker_ops < proof.cost.flops:
        raise ConformanceError(f"{strategy} states no cost")
