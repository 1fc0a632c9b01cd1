r"""Tasks, strata and input distributions, in integers.

A task is a Moore machine: it reads the tokens from left to right, and the state after the last one decides the right
output. The stratum $(q, y)$ holds the sequences with last token q and right output y. Its **program** is the smallest
automaton, one layer per position, that reads the $K - 1$ tokens before q and accepts those that make y right: two
prefixes of a length share a state exactly if the same continuations are accepted after both. A **letter** of y is a
set of tokens that the machine, as far as y is concerned, cannot tell apart.

Contents:
    Machine, machine_of — the tasks of the format.
    Program — layers of moves (state, next state, letters).
    make_program — layers from an automaton.
    Strata — programs, letters and order of the strata of a task.
    Distribution, distribution_of — integer weights of sequences.
    flow — sum over the sequences of a stratum of weight times one value per position.
"""

import math
import struct

from budget import Budget
from certificate import Certificate, Rejected, digest, entries_of

MAX_SIZE = 4096
MAX_TOTAL = 10**4000
MAX_WEIGHT = 2**48
MAX_MACHINE = 8192
MAX_OUTPUT = 4095
MOVE_BITS = 3000

Move = tuple[int, int, frozenset]


class Machine:
    """A Moore machine.

    Attributes:
        k, d_vocab, n_outputs: sizes; right outputs are below `n_outputs`.
        n_states: no more states than this can be reached.
        step: `step[state][token]` is the next state; the first one is 0.
        output: `output[state]` is right after K tokens that lead to the state.
    """

    def __init__(self, k: int, d_vocab: int, n_states: int, parts: tuple) -> None:
        """`parts`: number of outputs, first state, its step and output as functions of any states."""
        self.k, self.d_vocab, self.n_states = k, d_vocab, n_states
        self.n_outputs, self._start, self._step, self._output = parts

    def build(self, budget: Budget) -> None:
        """Number the states that can be reached."""
        budget.spend(self.n_states * self.d_vocab // 4)
        budget.hold(self.n_states * (1 + self.d_vocab // 4), 0)
        number = {self._start: 0}
        states = [self._start]
        self.step: list[list[int]] = []
        for state in states:
            row = []
            for token in range(self.d_vocab):
                to = self._step(state, token)
                if to not in number:
                    number[to] = len(states)
                    states.append(to)
                row.append(number[to])
            self.step.append(row)
        self.output = [self._output(state) for state in states]


def _second(state: tuple[int, int], token: int) -> tuple[int, int]:
    """The two largest tokens so far."""
    largest, second = state
    return (token, largest) if token > largest else (largest, max(second, token))


def _built_in(name: str, v: int, more: dict[str, int]) -> tuple | None:
    """Own integers, number of outputs, first state, step and output of a task; None marks the state before a token."""
    half, p = v // 2, max(v - 1, 1)
    tasks: dict[str, tuple] = {
        "max-of-k": ((), v, -1, max, lambda s: s),
        "min-of-k": ((), v, v, min, lambda s: s),
        "first-of-k": ((), v, None, lambda s, t: t if s is None else s, lambda s: s),
        "last-of-k": ((), v, None, lambda _, t: t, lambda s: s),
        "second-largest": ((), v, (-1, -1), _second, lambda s: s[1]),
        # Tokens half .. v - 1 carry a flag and the payload t - half; without any flag the right output is half.
        "flagged-element": ((), half + 1, half, lambda s, t: t - half if s == half and t >= half else s, lambda s: s),
        "contains-token": (("token",), 2, 0, lambda s, t: s | (t == more.get("token")), int),
        "constant": (("output",), v, 0, lambda s, _: s, lambda _: more.get("output")),
        "modular-addition": ((), v, 0, lambda s, t: (s + t) % v, lambda s: s),
        # Token p = v - 1 is "=" and counts 0.
        "modular-addition-equals": ((), p, 0, lambda s, t: (s + t) % p, lambda s: s),
    }
    return tasks.get(name)


def _mismatch(detail: str) -> Rejected:
    return Rejected("task-mismatch", detail)


def machine_of(record: dict, model: dict) -> Machine:
    """The task of a certificate.

    Raises:
        Rejected: task-mismatch, if there is no such task or it does not fit the model.
    """
    name, k, v = record.get("name"), record.get("k"), record.get("d_vocab")
    for size in (k, v):
        if type(size) is not int or not 1 <= size <= MAX_SIZE:
            raise _mismatch(f"k and d_vocab are integers from 1 to {MAX_SIZE}")
    if v**k >= MAX_TOTAL:
        raise _mismatch("there are more than 10**4000 sequences")
    if name == "machine":
        start, moves, outputs, n_outputs = _own_machine(record, v)
        parts: tuple = (n_outputs, start, lambda s, t: moves[s][t], lambda s: outputs[s])
    else:
        own = {key: value for key, value in record.items() if key not in ("name", "k", "d_vocab")}
        found = _built_in(name, v, own) if isinstance(name, str) else None
        if found is None:
            raise _mismatch("unknown task")
        keys, *parts = found
        if set(own) != set(keys) or any(type(value) is not int or not 0 <= value < v for value in own.values()):
            raise _mismatch(f"{name} has exactly the numbers k, d_vocab {' '.join(keys)}, tokens below d_vocab")
        impossible = {"flagged-element": v % 2, "second-largest": k < 2, "modular-addition-equals": v < 2}
        if impossible.get(name):
            raise _mismatch(f"{name} does not exist at these sizes")
    if (model["k"], model["d_vocab"]) != (k, v) or model["d_vocab_out"] < parts[0]:
        raise _mismatch("the model has other sizes, or too few outputs")
    n_states = {"second-largest": (v + 1) * (v + 2) // 2, "machine": len(record.get("moves", ()))}.get(name, v + 1)
    return Machine(k, v, n_states, tuple(parts))


def _own_machine(record: dict, v: int) -> tuple[int, list, list, int]:
    """Start, moves, outputs and number of outputs of a task that is a machine of its own."""
    start, moves, outputs = record.get("start"), record.get("moves"), record.get("outputs")
    if set(record) != {"name", "k", "d_vocab", "start", "moves", "outputs"} or type(moves) is not list:
        raise _mismatch("a machine has exactly name, k, d_vocab, start, moves, outputs")
    if type(outputs) is not list or any(type(row) is not list or len(row) != v for row in moves):
        raise _mismatch("moves has a row of d_vocab states per state, outputs is a list")
    n = len(moves)
    if len(outputs) != n or not 1 <= n * (v + 1) <= MAX_MACHINE:
        raise _mismatch(f"a machine has an output per state and at most {MAX_MACHINE} numbers")
    if any(type(state) is not int or not 0 <= state < n for state in [start, *(s for row in moves for s in row)]):
        raise _mismatch("states of a machine are 0 .. n - 1")
    if any(type(one) is not int or not 0 <= one <= MAX_OUTPUT for one in outputs):
        raise _mismatch(f"outputs of a machine are 0 .. {MAX_OUTPUT}")
    return start, moves, outputs, max(outputs) + 1


class Program:
    """`layers[i]` are the moves of position i; `start` is the state before the first token, 0 the one at the end."""

    def __init__(self, start: int, layers: list[list[Move]]) -> None:
        self.start, self.layers = start, layers
        self.letters = frozenset().union(*(letters for layer in layers for _, _, letters in layer))

    def moves(self) -> int:
        """Number of moves, one for every letter."""
        return sum(len(letters) for layer in self.layers for _, _, letters in layer)

    def width(self) -> int:
        """Number of states of a layer, at most."""
        return max((len({target for _, target, _ in layer}) for layer in self.layers), default=1)


def make_program(moves: tuple, accepting: tuple, last: int, n: int, budget: Budget) -> Program | None:
    """The program of n tokens after which letter `last` is accepted, from state 0; None if there is no such sequence.

    Backward, states are merged if every letter leads them to merged states; None is the state of no hope.
    """
    budget.spend(n * len(moves) * (len(moves[0]) + 2) // 4)
    budget.hold(n * len(moves), 0)
    block: list = [0 if accepting[row[last]] else None for row in moves]
    blocks = [block]
    for _ in range(n):
        names: dict[tuple, int] = {}
        ahead, block = block, []
        for row in moves:
            signature = tuple(ahead[state] for state in row)
            hope = any(one is not None for one in signature)
            block.append(names.setdefault(signature, len(names)) if hope else None)
        blocks.append(block)
    blocks.reverse()
    if blocks[0][0] is None:
        return None
    here = {blocks[0][0]: 0}
    layers = []
    for ahead in blocks[1:]:
        layer: dict[tuple[int, int], set] = {}
        after: dict[int, int] = {}
        for name, state in here.items():
            for letter, to in enumerate(moves[state]):
                if ahead[to] is not None:
                    layer.setdefault((name, ahead[to]), set()).add(letter)
                    after.setdefault(ahead[to], to)
        # A move is a tuple and a set, which take as much as a large integer.
        budget.hold(sum(1 + len(letters) // 4 for letters in layer.values()), MOVE_BITS)
        layers.append([(source, target, frozenset(letters)) for (source, target), letters in layer.items()])
        here = after
    return Program(blocks[0][0], layers)


def _small(machine: Machine, y: int, budget: Budget) -> tuple[tuple, tuple, list[int]]:
    """Moves and acceptance of the smallest automaton that knows whether y is right, and the letter of every token."""
    block = [int(one == y) for one in machine.output]
    while True:
        budget.spend(len(block) * (machine.d_vocab + 2) // 8)
        names: dict[tuple, int] = {}
        refined = [
            names.setdefault((mine, *[block[to] for to in row]), len(names))
            for mine, row in zip(block, machine.step, strict=True)
        ]
        if len(names) == len(set(block)):
            break
        block = refined
    # Block of state 0 comes first: `names` numbers blocks in the order of their first states.
    first = {name: state for state, name in reversed(list(enumerate(refined)))}
    rows = [[refined[to] for to in machine.step[first[name]]] for name in range(len(first))]
    letters: dict[tuple, int] = {}
    letter = [letters.setdefault(column, len(letters)) for column in zip(*rows, strict=True)]
    accepting = tuple(machine.output[first[name]] == y for name in range(len(first)))
    return tuple(zip(*letters, strict=True)), accepting, letter


class Strata:
    """All strata of a task.

    Attributes:
        outputs: those that some state gives, in rising order.
        letter: letter of every token, by output.
        tokens: tokens of every letter, by output.
        order: (q, y) of the strata that have a sequence, by q, then y; `number` is the place in it.
    """

    def __init__(self, machine: Machine, budget: Budget) -> None:
        """Raises `Rejected(resources)` before what the budget has no room for."""
        # For every output, the moves of all states are looked at twice or more.
        budget.require(machine.n_states * machine.d_vocab * min(machine.n_states, machine.n_outputs) // 4)
        machine.build(budget)
        self.machine = machine
        given = {one for one in machine.output if one is not None}
        self.outputs = sorted(given & set(range(machine.n_outputs)))
        budget.hold(4 * machine.d_vocab * len(self.outputs), 0)
        self.letter: dict[int, list[int]] = {}
        self.tokens: dict[int, list[list[int]]] = {}
        self._programs: dict[int, list[Program | None]] = {}
        self._sizes: dict[tuple[int, int], tuple[int, int, int]] = {}
        known: dict[tuple, Program | None] = {}
        for y in self.outputs:
            moves, accepting, letter = _small(machine, y, budget)
            n_letters = max(letter) + 1
            self.letter[y] = letter
            self.tokens[y] = [[] for _ in range(n_letters)]
            for t, one in enumerate(letter):
                self.tokens[y][one].append(t)
            self._programs[y] = []
            for last in range(n_letters):
                key = (moves, accepting, last)
                if key not in known:
                    known[key] = make_program(*key, machine.k - 1, budget)
                self._programs[y].append(known[key])
        self._alive = {y: self._tokens_before(y) for y in self.outputs}
        pairs = ((q, y) for q in range(machine.d_vocab) for y in self.outputs)
        self.order = [pair for pair in pairs if self.program(*pair) is not None]
        self.number = {pair: number for number, pair in enumerate(self.order)}

    def program(self, q: int, y: int) -> Program | None:
        """Of stratum (q, y); None if no sequence belongs to it."""
        return self._programs[y][self.letter[y][q]]

    def alive(self, y: int) -> list[int]:
        """Tokens that stand before some last token in a sequence with right output y, in rising order."""
        return self._alive[y]

    def moves(self, q: int, y: int) -> int:
        """Moves of a stratum's program, by letter."""
        return self._size(q, y)[0]

    def reads(self, q: int, y: int) -> int:
        """The same by token."""
        return self._size(q, y)[1]

    def width(self, q: int, y: int) -> int:
        """Most states of a layer of a stratum's program."""
        return self._size(q, y)[2]

    def _size(self, q: int, y: int) -> tuple[int, int, int]:
        key = (y, self.letter[y][q])
        if key not in self._sizes:
            program, tokens = self.program(q, y), [len(mine) for mine in self.tokens[y]]
            layers = [] if program is None else program.layers
            reads = sum(tokens[letter] for layer in layers for _, _, letters in layer for letter in letters)
            self._sizes[key] = (0, 0, 1) if program is None else (program.moves(), reads, program.width())
        return self._sizes[key]

    def _tokens_before(self, y: int) -> list[int]:
        programs = [one for one in self._programs[y] if one is not None]
        letters = frozenset().union(*(one.letters for one in programs))
        return sorted(t for a in letters for t in self.tokens[y][a])


class Distribution:
    """Integer weights of sequences.

    Attributes:
        name: as in the certificate.
        rows: weights of the tokens at every position, or None for a chain.
        initial: first weights of a chain.
        step: b(s, t) L / B(s) of a chain.
        total: W.
        sha256: digest of name and arrays.
    """

    def __init__(self, name: str, arrays: dict[str, tuple], machine: Machine, budget: Budget) -> None:
        k, v = machine.k, machine.d_vocab
        self.name = name
        parts = [b"pessimal-distribution/1", name.encode("ascii")]
        for key in sorted(arrays):
            shape, entries = arrays[key]
            parts += [key.encode("ascii"), struct.pack(f"<{len(shape)}Q", *shape)]
            parts.append(struct.pack(f"<{len(entries)}q", *entries))
        self.sha256 = digest(parts)
        self.rows: list[list[int]] | None = None
        if name == "markov":
            self._chain(arrays, k, v, budget)
            return
        flat = arrays["distribution_weights"][1] if arrays else (1,) * v
        rows = [list(flat[i : i + v]) for i in range(0, len(flat), v)]
        self.rows = rows * k if len(rows) == 1 else rows
        self.total = math.prod(sum(row) for row in self.rows)

    def _chain(self, arrays: dict[str, tuple], k: int, v: int, budget: Budget) -> None:
        self.initial = list(arrays["distribution_initial"][1])
        flat = arrays["distribution_transition"][1]
        table = [flat[i : i + v] for i in range(0, v * v, v)]
        common = 1
        for row in table:
            common = math.lcm(common, sum(row))
            if (common.bit_length() - 1) * (k - 1) > 13_290:  # 10**4000 has 13,288 bits
                raise _mismatch("the total has more than 4,000 digits")
        budget.hold(v * v, common.bit_length() + 48)
        self.step = [[b * (common // sum(row)) for b in row] for row in table]
        self.total = common ** (k - 1) * sum(self.initial)


def _shapes(k: int, v: int) -> dict[str, dict[str, tuple[tuple[int, ...], ...]]]:
    """Arrays of every distribution, and the shapes that they may have."""
    return {
        "uniform": {},
        "product": {"distribution_weights": ((k, v), (1, v))},
        "markov": {"distribution_initial": ((v,),), "distribution_transition": ((v, v),)},
    }


def distribution_of(certificate: Certificate, machine: Machine, budget: Budget) -> Distribution:
    """The distribution of a certificate.

    Raises:
        Rejected: task-mismatch, or resources.
    """
    record = certificate.header["distribution"]
    name = record.get("name")
    known = _shapes(machine.k, machine.d_vocab)
    if set(record) != {"name"} or not isinstance(name, str) or name not in known:
        raise _mismatch("unknown distribution")
    arrays = {key: one for key, one in certificate.arrays.items() if key.startswith("distribution_")}
    if set(arrays) != set(known[name]):
        raise _mismatch(f"distribution {name} has other arrays")
    found_arrays = {}
    for key, (dtype, shape, raw) in arrays.items():
        if dtype != "int64" or shape not in known[name][key]:
            raise _mismatch(f"{key} has another dtype or shape")
        width, entries = shape[-1], entries_of((dtype, shape, raw))
        found_arrays[key] = (shape, entries)
        if min(entries) < 0 or max(entries) > MAX_WEIGHT:
            raise _mismatch(f"{key} is not from 0 to 2**48")
        if any(not any(entries[i : i + width]) for i in range(0, len(entries), width)):
            raise _mismatch(f"a row of {key} has no positive sum")
    found = Distribution(name, found_arrays, machine, budget)
    if found.total >= MAX_TOTAL:
        raise _mismatch("the total has more than 4,000 digits")
    return found


def flow(
    program: Program,
    tokens: list[list[int]],
    q: int,
    distribution: Distribution,
    values: list[dict[int, int]] | None = None,
    bits: int = 0,
) -> int:
    """Sum over the sequences of a program of weight times one value per position, in units of 2**-bits, rounded up.

    Args:
        program: its moves; open ones only, where some are left out.
        tokens: tokens of every letter.
        q: last token, which has its weight too.
        distribution: the weights.
        values: by position, the value of every token, not negative, in units of 2**-bits; 1 if None.
        bits: the unit.
    """
    if distribution.rows is None:
        return _chain_flow(program, tokens, q, distribution, values, bits)
    states = {program.start: 1 << bits}
    seen: tuple = ()
    sums: dict[int, int] = {}
    for i, layer in enumerate(program.layers):
        weights = distribution.rows[i]
        value = None if values is None else values[i]
        if not seen or seen[0] is not value or seen[1] is not weights:
            seen, sums = (value, weights), {}
        after: dict[int, int] = {}
        for source, target, letters in layer:
            if source not in states:
                continue
            for letter in letters:
                if letter not in sums:
                    mine = tokens[letter]
                    sums[letter] = (
                        sum(weights[t] for t in mine) << bits
                        if value is None
                        else sum(weights[t] * value[t] for t in mine if weights[t])
                    )
            factor = sum(sums[letter] for letter in letters)
            # ROUND: -(-x >> bits) is the ceiling.
            after[target] = after.get(target, 0) - ((-states[source] * factor) >> bits)
        states = after
    return states.get(0, 0) * distribution.rows[-1][q]


def _chain_flow(
    program: Program,
    tokens: list[list[int]],
    q: int,
    distribution: Distribution,
    values: list[dict[int, int]] | None,
    bits: int,
) -> int:
    """The same for a chain: a state carries an amount for every last token."""
    states: dict[int, dict[int, int]] = {}
    for i, layer in enumerate(program.layers):
        after: dict[int, dict[int, int]] = {}
        for source, target, letters in layer:
            if i > 0 and source not in states:
                continue
            here = after.setdefault(target, {})
            for t in (t for letter in letters for t in tokens[letter]):
                if i == 0:
                    arrived = distribution.initial[t] << bits
                else:
                    arrived = sum(amount * distribution.step[s][t] for s, amount in states[source].items())
                if arrived:
                    value = 1 << bits if values is None else values[i][t]
                    here[t] = here.get(t, 0) - ((-arrived * value) >> bits)
        states = after
    return sum(amount * distribution.step[s][q] for s, amount in states.get(0, {}).items())
