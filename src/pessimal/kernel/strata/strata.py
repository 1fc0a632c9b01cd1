r"""Strata: the sequences with a given last token and a given right output, read by a small automaton.

A letter is a set of tokens that the automaton does not tell apart.

Stratum $(q, y)$: last token q, right output y. The strata are disjoint and cover all $v^K$ sequences, because a
recogniser accepts every sequence for exactly one output (checked, `spec.machine.require_recognises`). The $K - 1$
tokens before the last lead the recogniser of y from its start to a state from which q is accepted: a `Program`, the
minimal layered automaton of those $K - 1$ tokens. A sum over the sequences of a stratum of a product with one factor
per position is one pass over the layers (`Program.run`), in any semiring; three of them give three rules.

For Max-of-K and $q < y$: before the last token the states are "y not yet" and "y seen", with moves by a token below y
or equal to it. For $q = y$ every token up to y is free, and the program has a single state.

Nothing is built before its size is known: `MAX_LOOK_UPS` and `MAX_MOVES` bound the automata of a task.

Contents:
    Strata, strata_of — programs of all strata of a task, and their sizes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Int

from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.program import NO_PROGRAM, Letters, Program, left_over, make_program
from pessimal.spec.machine import DEAD, MachineError, MachineTooLargeError, require_recognises
from pessimal.spec.task import AbstractTask

# Entries of the tables that show a recogniser to be that of its machine; a second or two.
MAX_LOOK_UPS = 1 << 31
# Outputs times tokens.
MAX_LETTERS = 1 << 22
# Moves of all programs; 330 bytes each.
MAX_MOVES = 1 << 20
CAREFUL = 64


class Strata:
    """All strata of a task.

    Attributes:
        recogniser: small automata, checked against the task's machine.
        letter: letter of every token by output, `[n_outputs, d_vocab]`; `DEAD` where the token rules the output out.
    """

    def __init__(self, task: AbstractTask) -> None:
        """Raise `Rejected(task-mismatch)` if the recognisers are not those of the task, `resources` if too large."""
        self.task = task
        letters = task.n_outputs * task.d_vocab
        if letters > MAX_LETTERS or letters * task.n_states > MAX_LOOK_UPS:
            has = f"{task.n_states} states, {task.d_vocab} tokens and {task.n_outputs} outputs"
            raise Rejected(Reason.RESOURCES, f"the automaton of {task.name} is too large: {has}")
        try:
            self.recogniser = task.recogniser()
            require_recognises(task.machine(), self.recogniser, task.k)
        except MachineTooLargeError as error:
            raise Rejected(Reason.RESOURCES, f"{task.name}: {error}") from None
        except MachineError as error:
            raise Rejected(Reason.TASK_MISMATCH, f"{task.name}: {error}") from None
        self.letter = self.recogniser.letter
        self._sizes: dict[int, list[int]] = {}

    @cached_property
    def programs(self) -> tuple[list[Program], Int[np.ndarray, "n_outputs d_vocab"]]:
        """The different programs that have a sequence, and which one each stratum has, or `DEAD`, by output and query.

        Strata with the same start, last letter, and letters to choose from share one.
        """
        kinds: dict[tuple[int, tuple[int, ...]], int] = {}
        present = [tuple(letter for letter, count in enumerate(counts) if count) for counts in self.letter_counts]
        starts = self.recogniser.start.tolist()
        kind = np.array([kinds.setdefault(key, len(kinds)) for key in zip(starts, present, strict=True)])
        n_letters = self.recogniser.moves.shape[1]
        self._require_few_moves(kinds)
        code = np.where(self.letter == DEAD, DEAD, kind[:, np.newaxis] * n_letters + self.letter)
        programs: list[Program] = []
        program_index = np.full(code.shape, DEAD)
        starts_and_letters = list(kinds)
        blocks: dict[tuple[int, tuple[int, ...]], list[np.ndarray]] = {}
        for key in np.unique(code[code != DEAD]).tolist():
            start, letters = starts_and_letters[key // n_letters]
            last = key % n_letters
            if (last, letters) not in blocks:
                blocks[last, letters] = left_over(self.recogniser, last, self.task.k - 1, letters)
            program = make_program(self.recogniser, start, last, letters, blocks[last, letters])
            if not program.empty:
                program_index[code == key] = len(programs)
                programs.append(program)
        return programs, program_index

    def _require_few_moves(self, kinds: Iterable[tuple[int, tuple[int, ...]]]) -> None:
        """Raise `Rejected(resources)` if the programs could have more than `MAX_MOVES` moves in all."""
        moves, n = self.recogniser.with_dead[0], self.task.k - 1
        n_letters = self.recogniser.moves.shape[1]
        n_moves = 0
        for start, letters in kinds:
            # States after exactly i tokens, all that were reached among them once i is large; DEAD is -1.
            after = np.array([start])
            for i in range(n):
                n_moves += n_letters * len(after) * len(letters)
                ahead = np.unique(moves[after][:, letters])
                ahead = ahead[ahead != DEAD]
                ahead = ahead if i < CAREFUL else np.union1d(after, ahead)
                if np.array_equal(ahead, after):
                    n_moves += n_letters * len(after) * len(letters) * (n - 1 - i)
                    break
                if n_moves > MAX_MOVES:
                    break
                after = ahead
            if n_moves > MAX_MOVES:
                raise Rejected(Reason.RESOURCES, f"the strata of {self.task.name} take more than {MAX_MOVES} moves")

    def program(self, q: int, y: int) -> Program:
        """The program of one stratum; equal programs are one object."""
        programs, index = self.programs
        return NO_PROGRAM if index[y, q] == DEAD else programs[index[y, q]]

    @cached_property
    def stratum_index(self) -> Int[np.ndarray, "d_vocab n_outputs"]:
        """Index of stratum (q, y) in the order of q, then y, among those with a sequence; -1 for strata without one."""
        alive = self.programs[1].T != DEAD
        return np.where(alive, np.cumsum(alive).reshape(alive.shape) - 1, -1)

    def by_query(self, y: int, at_once: int) -> Iterator[tuple[Program, Int[np.ndarray, " Q"]]]:
        """Last tokens with a stratum at this output that share a program, at most so many at a time."""
        programs, by_output = self.programs
        for index in dict.fromkeys(by_output[y][by_output[y] != DEAD].tolist()):
            queries = np.flatnonzero(by_output[y] == index)
            for begin in range(0, queries.size, at_once):
                yield programs[index], queries[begin : begin + at_once]

    def all_kinds(self) -> list[tuple[Program, int]]:
        """Output by output, the programs of its strata, and how many last tokens have each."""
        programs, by_output = self.programs
        of_outputs = (np.unique(row[row != DEAD], return_counts=True) for row in by_output)
        return [(programs[index], count) for row in of_outputs for index, count in np.stack(row, 1).tolist()]

    @property
    def stratum_count(self) -> int:
        """How many strata have a sequence."""
        return int(self.stratum_index.max()) + 1

    def by_program(self, q: int) -> list[tuple[Program, Int[np.ndarray, " Y"]]]:
        """Outputs with a stratum at this last token, grouped by program."""
        programs, by_output = self.programs
        of_query = by_output[:, q]
        alive = dict.fromkeys(of_query[of_query != DEAD].tolist())
        return [(programs[index], np.flatnonzero(of_query == index)) for index in alive]

    @cached_property
    def letter_counts(self) -> list[list[int]]:
        """How many tokens have each letter, by output."""
        n_letters = self.recogniser.moves.shape[1]
        return [np.bincount(row[row != DEAD], minlength=n_letters).tolist() for row in self.letter]

    def count(self, y: int, letters: Letters) -> int:
        """Number of tokens with one of some letters."""
        return sum(self.letter_counts[y][letter] for letter in letters)

    def before_last(self, y: int, weights: Callable[[int], Sequence[int]]) -> list[int]:
        """Weight of the K - 1 tokens after which a last token with each letter leads to output y, exact, by letter.

        Args:
            y: output.
            weights: by position, the weight of the tokens with each letter.
        """
        moves, accepts = self.recogniser.moves.tolist(), self.recogniser.accepts
        states = {int(self.recogniser.start[y]): 1}
        for i in range(self.task.k - 1):
            alive = [(letter, weight) for letter, weight in enumerate(weights(i)) if weight]
            after: dict[int, int] = {}
            for state, so_far in states.items():
                for letter, weight in alive:
                    to = moves[state][letter]
                    if to != DEAD:
                        after[to] = after.get(to, 0) + so_far * weight
            states = after
        total = [0] * len(moves[0])
        for state, so_far in states.items():
            for letter, to in enumerate(moves[state]):
                if to != DEAD and accepts[to]:
                    total[letter] += so_far
        return total

    def size(self, q: int, y: int) -> int:
        """Number of sequences of stratum (q, y), exact."""
        letter = int(self.letter[y, q])
        if letter == DEAD:
            return 0
        if y not in self._sizes:
            self._sizes[y] = self.before_last(y, lambda _: self.letter_counts[y])
        return self._sizes[y][letter]


@lru_cache(maxsize=4)
def strata_of(task: AbstractTask) -> Strata:
    """The strata of a task, built once."""
    return Strata(task)
