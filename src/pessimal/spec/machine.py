r"""Tasks as automata.

A **Moore machine** reads the tokens from left to right; its state after the last one decides the right output. A
**recogniser** is, for every output y, a smaller automaton that accepts exactly the sequences whose right output is y:
Max-of-K needs $v + 1$ states, but only two to know whether the largest token is y ("y seen", "not yet"). The
counting rules work with recognisers; that they agree with the machine is checked (`require_recognises`).

Contents:
    Machine — states, steps, outputs.
    Recogniser — one small automaton per output.
    require_recognises — the two agree on all sequences of k tokens.
    minimal_recogniser — a recogniser of any machine, by partition refinement.
    MachineError — a table that is not an automaton, or does not agree.
    MachineTooLargeError — recognisers that would take too long to find.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

DEAD = -1
# Entries of tables that are sorted while recognisers are sought: some seconds.
MAX_REFINED = 1 << 24


class MachineError(ValueError):
    """The tables are no automaton, or a recogniser disagrees with its machine."""


class MachineTooLargeError(MachineError):
    """The recognisers of a machine would take too long to find."""


@dataclass(frozen=True, eq=False)
class Machine:
    r"""A Moore machine: $s_0$ = start, $s_{i+1}$ = step[s_i, t_i], right output = output[s_K].

    Attributes:
        start: first state.
        step: next state by state and token, `[n_states, d_vocab]`.
        output: right output by state, `[n_states]`.
    """

    start: int
    step: Int[np.ndarray, "n_states d_vocab"]
    output: Int[np.ndarray, " n_states"]

    def __post_init__(self) -> None:
        """Refuse tables that do not fit together."""
        n_states = self.step.shape[0]
        if self.step.ndim != 2 or not self.step.size or self.output.shape != (n_states,):
            raise MachineError("a machine has a step table [states, tokens] and one output per state")
        if not 0 <= self.start < n_states or self.step.min() < 0 or self.step.max() >= n_states:
            raise MachineError(f"states are 0 .. {n_states - 1}")
        if self.output.min() < 0:
            raise MachineError("outputs are not negative")

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Right output of every sequence."""
        state = np.full(tokens.shape[:-1], self.start)
        for i in range(tokens.shape[-1]):
            state = self.step[state, tokens[..., i]]
        return np.asarray(self.output[state])


@dataclass(frozen=True, eq=False)
class Recogniser:
    """For every output y, an automaton whose tokens are sorted into a few letters; `DEAD` means never y again.

    Attributes:
        start: first state by output, `[n_outputs]`.
        letter: letter of every token by output, `[n_outputs, d_vocab]`, or `DEAD`.
        moves: next state by state and letter, `[n_states, n_letters]`, or `DEAD`; shared by all outputs.
        accepts: whether a sequence that ends in a state has the output, `[n_states]`.
    """

    start: Int[np.ndarray, " n_outputs"]
    letter: Int[np.ndarray, "n_outputs d_vocab"]
    moves: Int[np.ndarray, "n_states n_letters"]
    accepts: Bool[np.ndarray, " n_states"]

    @staticmethod
    def seen(letter: Int[np.ndarray, "n_outputs d_vocab"], moves: list[list[int]]) -> "Recogniser":
        """Two states, "not y" and "y", the first at the start and the second accepting."""
        start = np.zeros(len(letter), dtype=np.int64)
        return Recogniser(start, letter, np.array(moves), np.array([False, True]))

    @cached_property
    def with_dead(self) -> tuple[Int[np.ndarray, "n_states_1 n_letters_1"], Bool[np.ndarray, " n_states_1"]]:
        """Moves and accepts with a last state and a last letter for `DEAD`, which NumPy's index -1 finds."""
        moves = np.pad(self.moves, ((0, 1), (0, 1)), constant_values=DEAD)
        return moves, np.append(self.accepts, False)


def require_recognises(machine: Machine, recogniser: Recogniser, k: int) -> None:
    r"""Raise `MachineError` unless every sequence of k tokens is accepted for exactly its right output.

    For each y a map from machine states to recogniser states is followed from start to start; if it commutes with
    every step and, among the states that k tokens can lead to, the accepting ones are those with output y, the two
    agree on all sequences.

    *Proof.* By induction the recogniser is in the image of the machine's state after every prefix. ∎

    Cost: `n_outputs * n_states * d_vocab` look-ups.
    """
    moves, accepts = recogniser.with_dead
    moves = moves.astype(np.int8 if moves.shape[0] < 1 << 7 else np.int32)
    n_outputs = recogniser.start.size
    read = _after(machine, k)
    layers = _reading_order(machine)
    reached = np.concatenate([[machine.start], *(states for states, _, _ in layers)])
    step = machine.step[reached].astype(np.intp)
    if machine.output[read].max() >= n_outputs:
        raise MachineError(f"the machine has outputs beyond the recogniser's {n_outputs}")
    for y in range(n_outputs):
        letter = recogniser.letter[y]
        image = np.full(machine.output.size, DEAD, dtype=moves.dtype)
        image[machine.start] = recogniser.start[y]
        for states, before, token in layers:
            image[states] = moves[image[before], letter[token]]
        if (np.take(image, step) != np.take(moves[image[reached]], letter, axis=1)).any():
            raise MachineError(f"the recogniser of output {y} does not follow the machine")
        if ((machine.output == y) & read != accepts[image] & read).any():
            raise MachineError(f"the recogniser of output {y} accepts other sequences than the machine")


def _reading_order(machine: Machine) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """States that tokens lead to from the first, each once, by distance: (states, earlier states, tokens)."""
    known = np.arange(machine.output.size) == machine.start
    layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    frontier = np.array([machine.start])
    while True:
        ahead = machine.step[frontier].ravel()
        states, place = np.unique(ahead, return_index=True)
        fresh = ~known[states]
        if not fresh.any():
            return layers
        states, place = states[fresh], place[fresh]
        known[states] = True
        row, token = np.divmod(place, machine.step.shape[1])
        layers.append((states, frontier[row], token))
        frontier = states


def _after(machine: Machine, k: int) -> Bool[np.ndarray, " n_states"]:
    """States that k tokens can lead to."""
    states = np.arange(machine.output.size) == machine.start
    for _ in range(k):
        ahead = np.zeros_like(states)
        ahead[machine.step[states]] = True
        if (ahead == states).all():
            break
        states = ahead
    return np.asarray(states)


def minimal_recogniser(machine: Machine, n_outputs: int) -> Recogniser:
    """The smallest recogniser of every output; outputs with equal ones share their states.

    Cost: per output at most `n_states` refinements of a table of `n_states * d_vocab`.

    Raises:
        MachineTooLargeError: more than `MAX_REFINED` entries in all.
    """
    left = [MAX_REFINED]
    start, letters = [], []
    tables: list[np.ndarray] = []
    accepting: list[np.ndarray] = []
    known: dict[tuple[bytes, bytes], int] = {}
    offset = 0
    for y in range(n_outputs):
        table, accepts, letter = _small(machine, y, left)
        key = (table.tobytes(), accepts.tobytes())
        if key not in known:
            known[key] = offset
            tables.append(np.where(table == DEAD, DEAD, table + offset))
            accepting.append(accepts)
            offset += table.shape[0]
        start.append(known[key])
        letters.append(letter)
    width = max(table.shape[1] for table in tables)
    moves = [np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=DEAD) for table in tables]
    return Recogniser(np.array(start), np.stack(letters), np.concatenate(moves), np.concatenate(accepting))


def _small(machine: Machine, y: int, left: list[int]) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, " d_vocab"]]:
    """Moves and accepting states of one output, states numbered in reading order from 0, and the letters."""
    block, alive = _blocks(machine, y, left), _alive(machine, y)
    number = np.full(block.max() + 1, DEAD)
    states: list[int] = []
    pending = [machine.start]
    for state in pending:
        if alive[state] and number[block[state]] == DEAD:
            number[block[state]] = len(states)
            states.append(state)
            pending.extend(np.unique(machine.step[state]).tolist())
    if not states:  # y is never right
        return np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=bool), np.zeros(machine.step.shape[1], np.int64)
    columns, letter = np.unique(number[block[machine.step[states]]], axis=1, return_inverse=True)
    return columns, machine.output[states] == y, np.asarray(letter).reshape(-1)


def _blocks(machine: Machine, y: int, left: list[int]) -> Int[np.ndarray, " n_states"]:
    """Coarsest partition of the states that output y and every step respect; takes its entries off `left`."""
    block = (machine.output == y).astype(np.int64)
    while True:
        left[0] -= machine.step.size + block.size
        if left[0] < 0:
            raise MachineTooLargeError("its recognisers take too long to find")
        signature = np.column_stack([block, block[machine.step]])
        refined = np.unique(signature, axis=0, return_inverse=True)[1].reshape(-1)
        if refined.max() == block.max():
            return np.asarray(refined)
        block = refined


def _alive(machine: Machine, y: int) -> Bool[np.ndarray, " n_states"]:
    """States from which some sequence, perhaps the empty one, leads to output y."""
    alive = machine.output == y
    while True:
        more = alive | alive[machine.step].any(1)
        if (more == alive).all():
            return np.asarray(alive)
        alive = more
