"""A task from a Python function: the small Moore machine that agrees with it.

Two machines are sought, and the smaller one is taken.

The **plain** one is for functions of sequences of any length, such as `max`: prefixes that no ending tells apart are
one state. It is the smallest machine that goes on for ever.

The **layered** one is for functions of k tokens: prefixes of one length that no ending tells apart are one state, and
states of different lengths are made one where no sequence of k tokens notices.

Endings are a few to begin with, and every sequence of k tokens on which machine and function differ brings its own
endings in, until none is found; where all sequences are enumerated, the layered machine has them all.

What comes out is a machine, and the machine is the task: that it equals the function was enumerated or tested, not
proved.

Contents:
    task_from — the task of a function.
    Learned — that task, and how far it was compared with the function.
    learned_from — likewise, as a `Learned`.
    MAX_ENUMERATED — up to so many sequences all are enumerated.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from jaxtyping import Int

from pessimal.runs.notices import notice
from pessimal.spec.task import MAX_SIZE, TaskError
from pessimal.spec.tasks.custom import MAX_ENTRIES, MAX_OUTPUT, CustomTask

MAX_ENUMERATED = 10**6
# Random sequences that a machine is tested on, half of them of a few different tokens.
TESTED = 10**5
# Sequences of the first few tokens that are tested, all of them.
SHORT = 10**4
# Calls of the function while a machine is sought.
MAX_CALLS = 10**7
# States of the layered machine.
MAX_LAYERED = 4096
# Endings to begin with: all of a length, if there are so few.
FEW_ENDINGS = 256
RANDOM_ENDINGS = 32
ROUNDS = 100
# Longer sequences are read by the plain machine alone, from endings up to this length.
LONG = 64
# Numbers in all sequences that are tested.
MAX_TESTED = 10**7
TAKEN = 8

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Learned:
    """A task and where it comes from.

    Attributes:
        task: the machine.
        compared: number of sequences on which function and machine were compared.
        enumerated: whether these are all.
    """

    task: CustomTask
    compared: int
    enumerated: bool

    def sentence(self) -> str:
        """What is known of the machine and the function."""
        size = f"{self.task.n_states} states, k={self.task.k}, d_vocab={self.task.d_vocab}"
        how = (
            f"on all {self.compared} sequences, which were enumerated"
            if self.enumerated
            else f"on {self.compared} sequences, which were tested: that it does on all is not proved"
        )
        return f"the machine is the task ({size}); it agrees with the function {how}"


def task_from(function: Callable[[Tokens], int], k: int, d_vocab: int) -> CustomTask:
    """The task of a function: a small Moore machine that agrees with it, which is told how far that was compared.

    Args:
        function: from a tuple of k tokens, 0 .. d_vocab - 1, to the right output.
        k: sequence length.
        d_vocab: vocabulary size.

    Raises:
        TaskError: the function fails, its outputs are none, it needs too large a machine, or no machine that agrees
            with it was found; one sentence, with a sequence.
    """
    found = learned_from(function, k, d_vocab)
    notice(found.sentence())
    return found.task


def learned_from(function: Any, k: int, d_vocab: int) -> Learned:
    """`task_from` of what may be no function, with how far it was compared."""
    if not callable(function):
        raise TaskError(f"a task is made from a function, not from an object of type {type(function).__name__}")
    for name, value in (("k", k), ("d_vocab", d_vocab)):
        if not (isinstance(value, int) and 1 <= value <= MAX_SIZE):
            raise TaskError(f"{name}={value!r} is not a whole number from 1 to {MAX_SIZE}")
    # Sizes that no machine can have are refused by the machine with one state.
    CustomTask(k, d_vocab, 0, ((0,) * d_vocab,), (0,))
    asked = _Function(function, k, d_vocab)
    enumerated = d_vocab**k <= MAX_ENUMERATED
    sample = _all_sequences(k, d_vocab) if enumerated else _tests(k, d_vocab, np.random.default_rng(0))
    values = np.fromiter((asked(tuple(one)) for one in sample.tolist()), dtype=np.int64, count=len(sample))
    for place in (0, len(sample) - 1):
        _require_same(asked, tuple(sample[place].tolist()), int(values[place]))
    known = _Known(sample, values)
    found: list[CustomTask] = []
    refusal: TaskError | None = None
    seekers = [_plain, _of_table] if enumerated else [_plain, _layered] if k <= LONG else [_plain]
    for seek in seekers:
        asked.calls = 0
        try:
            found.append(seek(asked, known))
        except TaskError as error:
            refusal = error
    if not found:
        raise refusal or TaskError(f"no machine was found for {asked.name}")
    task = min(found, key=lambda one: one.n_states)
    differing = known.differing(task.target(sample))
    if differing:
        raise TaskError(f"no machine was found that agrees with {asked.name} on {_shown(differing[0])}")
    return Learned(task, len(sample), enumerated)


def _text(error: BaseException) -> str:
    """What an error says, if it says anything."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - theirs too
        return ""


class _Function:
    """A function of other people: called with a tuple, counted, its outputs read, its errors in one sentence."""

    def __init__(self, function: Callable[[Tokens], int], k: int, d_vocab: int) -> None:
        self.function, self.k, self.d_vocab = function, k, d_vocab
        self.name = getattr(function, "__name__", type(function).__name__)
        self.calls = 0

    def __call__(self, tokens: Tokens) -> int:
        self.calls += 1
        try:
            found: Any = self.function(tokens)
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001 - whatever it is, it is theirs
            text = " ".join(_text(error).split())[:120]
            raise TaskError(f"{self.name}({_shown(tokens)}) failed: {type(error).__name__}: {text}") from None
        return self._read(found, tokens)

    def of_any_length(self, tokens: Tokens) -> int | None:
        """None where it has no answer."""
        self.calls += 1
        try:
            return self._read(self.function(tokens), tokens)
        except (Exception, SystemExit, GeneratorExit):  # noqa: BLE001 - it is about sequences of k tokens
            return None

    def _read(self, found: Any, tokens: Tokens) -> int:
        if isinstance(found, np.generic) or (isinstance(found, np.ndarray) and found.ndim == 0):
            found = found.item()
        if not isinstance(found, int) or not 0 <= found <= MAX_OUTPUT:
            raise TaskError(
                f"{self.name}({_shown(tokens)}) is {str(found)[:40]!r}, and outputs are whole numbers 0 .. {MAX_OUTPUT}"
            )
        return int(found)


@dataclass(frozen=True)
class _Layered:
    """A machine with states of their own for every length of prefix.

    Attributes:
        steps: by length, next state (of the next layer) by state and token.
        outputs: of the last layer.
    """

    steps: list[Int[np.ndarray, "_ d_vocab"]]
    outputs: Int[np.ndarray, " n"]

    def target(self, tokens: Int[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
        """Output of every sequence."""
        state = np.zeros(len(tokens), dtype=np.int64)
        for i, step in enumerate(self.steps):
            state = step[state, tokens[:, i]]
        return np.asarray(self.outputs[state])


@dataclass(frozen=True)
class _Known:
    """Sequences of k tokens, and what the function gives on them.

    Attributes:
        sample: the sequences.
        values: the outputs.
    """

    sample: Int[np.ndarray, "n k"]
    values: Int[np.ndarray, " n"]

    def differing(self, outputs: Int[np.ndarray, " n"]) -> list[Tokens]:
        """Some sequences on which a machine gives something else."""
        wrong = np.flatnonzero(outputs != self.values)
        return [tuple(one) for one in self.sample[wrong[:: max(1, wrong.size // TAKEN)]].tolist()]


def _of_table(asked: _Function, known: _Known) -> CustomTask:
    """The layered machine of all sequences: prefixes with equal rows of a table are one state."""
    v, k = asked.d_vocab, asked.k
    outputs, ids = np.unique(known.values, return_inverse=True)
    steps: list[np.ndarray] = []
    for _ in range(k):
        rows, ids = np.unique(ids.reshape(-1, v), axis=0, return_inverse=True)
        ids = ids.reshape(-1)
        steps.insert(0, rows)
    if sum(map(len, steps)) > MAX_LAYERED:
        raise _too_large(asked, sum(map(len, steps)))
    return _folded(_Layered(steps, outputs), k, v)


def _layered(asked: _Function, known: _Known) -> CustomTask:
    """The layered machine, from endings that tell prefixes apart."""
    k, v = asked.k, asked.d_vocab
    rng = np.random.default_rng(0)
    endings = [_first_endings(length, v, rng) for length in range(k + 1)]

    def build() -> _Layered:
        return _by_endings(asked, endings)

    def add(one: Tokens) -> None:
        for length in range(1, k + 1):
            endings[length].setdefault(one[k - length :])

    return _folded(_refined(asked, known, build, add), k, v)


def _plain(asked: _Function, known: _Known) -> CustomTask:
    """The plain machine: the function is asked about sequences of any length, and need not know an answer."""
    k, v = asked.k, asked.d_vocab
    endings: dict[Tokens, None] = dict.fromkeys([(), *((token,) for token in range(min(v, FEW_ENDINGS)))])

    def build() -> CustomTask:
        def signature(prefix: Tokens) -> tuple[int | None, ...]:
            if asked.calls > MAX_CALLS:
                raise _too_large(asked, len(reps))
            return tuple([asked.of_any_length(prefix + end) for end in endings])

        reps: list[Tokens] = [()]
        first = signature(())
        places, outputs = {first: 0}, [first[0]]
        moves: list[tuple[int, ...]] = []
        while len(moves) < len(reps):
            row = []
            for token in range(v):
                longer = (*reps[len(moves)], token)
                one = signature(longer)
                place = places.setdefault(one, len(reps))
                if place == len(reps):
                    reps.append(longer)
                    outputs.append(one[0])
                row.append(place)
            moves.append(tuple(row))
            if len(reps) * (v + 1) > MAX_ENTRIES:
                raise _too_large(asked, len(reps))
        return CustomTask(k, v, 0, tuple(moves), tuple(one or 0 for one in outputs))

    def add(one: Tokens) -> None:
        endings.update(dict.fromkeys(one[place:] for place in range(max(1, k - LONG), k)))

    found: CustomTask = _refined(asked, known, build, add)
    return found


def _refined(asked: _Function, known: _Known, build: Callable[[], Any], add: Callable[[Tokens], None]) -> Any:
    """A machine, built again with more endings until it agrees with the function on what is known of it."""
    for _ in range(ROUNDS):
        machine: Any = build()
        differing = known.differing(machine.target(known.sample))
        if not differing:
            return machine
        for one in differing:
            add(one)
    worst = differing[0]
    gives = int(machine.target(np.array([worst]))[0])
    raise TaskError(
        f"no machine was found that agrees with {asked.name}: on {_shown(worst)} it gives {asked(worst)}, the machine"
        f" {gives}"
    )


def _too_large(asked: _Function, n: int) -> TaskError:
    most = MAX_ENTRIES // (asked.d_vocab + 1)
    return TaskError(
        f"{asked.name} needs too large a machine: at least {n} states were found, and a machine has at most {most} with"
        f" d_vocab={asked.d_vocab}"
    )


def _require_same(asked: _Function, tokens: Tokens, value: int) -> None:
    """Refuse a function that changes its mind."""
    again = asked(tokens)
    if again != value:
        raise TaskError(f"{asked.name}({_shown(tokens)}) is {value} once and {again} then: a task is one function")


def _first_endings(length: int, v: int, rng: np.random.Generator) -> dict[Tokens, None]:
    """All of a length if they are few; else those of one token, and some at random."""
    if v**length <= FEW_ENDINGS:
        return dict.fromkeys(product(range(v), repeat=length))
    same = ((token,) * length for token in range(min(v, FEW_ENDINGS)))
    random = map(tuple, rng.integers(0, v, size=(RANDOM_ENDINGS, length)).tolist())
    return dict.fromkeys([*same, *random])


def _all_sequences(k: int, v: int) -> Int[np.ndarray, "n k"]:
    """In the order of a table."""
    return np.stack(np.unravel_index(np.arange(v**k), (v,) * k), axis=1)


def _tests(k: int, v: int, rng: np.random.Generator) -> Int[np.ndarray, "n k"]:
    """All sequences of the first few tokens, and random ones, of all tokens and of a few different ones."""
    tested, few = min(TESTED, MAX_TESTED // k), 1
    while (few + 1) ** k <= SHORT and few < v:
        few += 1
    short = np.array(list(islice(product(range(few), repeat=k), SHORT)), dtype=np.int64)
    spread = rng.integers(0, v, size=(tested // 2, k))
    among = rng.integers(0, v, size=(tested - tested // 2, 3))
    chosen = np.take_along_axis(among, rng.integers(0, 3, size=(len(among), k)), axis=1)
    return np.concatenate([short, spread, chosen])


def _by_endings(asked: _Function, endings: Sequence[Iterable[Tokens]]) -> _Layered:
    """Prefixes are one state where the function gives the same on all endings."""
    k, v = asked.k, asked.d_vocab
    layer: list[Tokens] = [()]
    steps, total, outputs = [], 1, {}
    for length in range(1, k + 1):
        known: dict[tuple[int, ...], int] = {}
        after: list[Tokens] = []
        step = np.empty((len(layer), v), dtype=np.int64)
        ends = list(endings[k - length])
        for state, prefix in enumerate(layer):
            for token in range(v):
                longer = (*prefix, token)
                signature = tuple([asked(longer + end) for end in ends])
                place = known.setdefault(signature, len(after))
                if place == len(after):
                    after.append(longer)
                step[state, token] = place
            if total + len(after) > MAX_LAYERED or asked.calls > MAX_CALLS:
                raise _too_large(asked, len(after))
        outputs = {place: signature[0] for signature, place in known.items()}
        layer, total = after, total + len(after)
        steps.append(step)
    return _Layered(steps, np.array([outputs[place] for place in range(len(layer))]))


def _folded(layered: _Layered, k: int, v: int) -> CustomTask:
    """States of different layers made one, the first that does not contradict, in the order of reading.

    A class of states has at most one of every layer: two of one layer have different outputs after some ending.
    """
    fold = _Fold(layered)
    kept = [fold.find(0, 0)]
    for length in range(1, k + 1):
        for state in range(fold.sizes[length]):
            mine = fold.find(length, state)
            if mine not in map(fold.root, kept) and not any(fold.merge(one, mine) for one in kept):
                kept.append(mine)
    numbers = {one: place for place, one in enumerate(dict.fromkeys(map(fold.root, kept)))}
    if len(numbers) * (v + 1) > MAX_ENTRIES:
        raise TaskError(
            f"the function needs {len(numbers)} states with d_vocab={v}, and a machine has at most"
            f" {MAX_ENTRIES // (v + 1)}"
        )
    moves, outputs = [], []
    for one, number in numbers.items():
        row, output = fold.row(one)
        moves.append(tuple(numbers[fold.root(after)] for after in row) if row else (number,) * v)
        outputs.append(output)
    return CustomTask(k, v, numbers[fold.find(0, 0)], tuple(moves), tuple(outputs))


class _Fold:
    """Classes of states of a layered machine, one of every layer at most; merged by their moves, or not at all."""

    def __init__(self, layered: _Layered) -> None:
        self.steps, self.outputs = layered.steps, layered.outputs
        self.sizes = [len(step) for step in layered.steps] + [len(layered.outputs)]
        self.first = np.concatenate([[0], np.cumsum(self.sizes)]).tolist()
        self.above = list(range(self.first[-1]))
        # Members of a class by layer.
        self.members: dict[int, dict[int, int]] = {
            self.first[layer] + state: {layer: state} for layer, size in enumerate(self.sizes) for state in range(size)
        }

    def root(self, one: int) -> int:
        """The class of a state or of a class that was."""
        while self.above[one] != one:
            one = self.above[one]
        return one

    def find(self, layer: int, state: int) -> int:
        """The class of a state."""
        return self.root(self.first[layer] + state)

    def row(self, one: int) -> tuple[list[int], int]:
        """Classes after every token, none where no sequence goes on; and the output, 0 where no sequence ends."""
        mine = self.members[one]
        last = len(self.steps)
        output = int(self.outputs[mine[last]]) if last in mine else 0
        ahead = [(layer, state) for layer, state in mine.items() if layer < last]
        if not ahead:
            return [], output
        layer, state = ahead[0]
        return [self.find(layer + 1, after) for after in self.steps[layer][state].tolist()], output

    def merge(self, one: int, other: int) -> bool:
        """Make two classes one, and those that their moves lead to; undone if that contradicts."""
        undo: list[tuple[int, int, dict[int, int]]] = []
        waiting = [(one, other)]
        while waiting:
            a, b = (self.root(each) for each in waiting.pop())
            if a == b:
                continue
            mine, theirs = self.members[a], self.members[b]
            if mine.keys() & theirs.keys():
                for kept, gone, before in reversed(undo):
                    self.above[gone] = gone
                    self.members[kept] = before
                return False
            row, others = self.row(a)[0], self.row(b)[0]
            undo.append((a, b, mine))
            self.above[b] = a
            self.members[a] = {**mine, **theirs}
            waiting += zip(row, others, strict=False)
        return True


def _shown(tokens: Tokens) -> str:
    """A sequence, cut where it is long."""
    return f"({', '.join(map(str, tokens[:12]))}{', ..' if len(tokens) > 12 else ''})"


__all__ = ["MAX_ENUMERATED", "Learned", "learned_from", "task_from"]
