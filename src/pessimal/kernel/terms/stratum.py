"""Terms of strata that share a program.

Contents:
    StratumTerms — lower bounds of the terms, for all rival groups and one head.
    joined — several queries side by side.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.strata.program import Program
from pessimal.spec.machine import DEAD


@dataclass(frozen=True)
class StratumTerms:
    """Lower bounds of the terms of Y strata (q, y) with one program, for R groups of rivals each and one head.

    Attributes:
        query: the q, `[Y]`.
        outputs: the y, `[Y]`.
        stratum_index: index of each stratum among all, `[Y]`.
        program: their program.
        near: g of the tokens treated one by one, `[R, I, pairs]`; I is K - 1, or 1 when positions share the term.
        token: which tokens they are, `[pairs]`.
        pair: place in `near` of the j-th near token of a stratum, `[Y, G]`.
        letter: its letter, or `DEAD` where there is no j-th token, `[Y, G]`.
        far: g of every far token, `[R, Y]`; their letter is 0.
        n_far: how many far tokens there are, `[Y]`.
        last: g of the query token at the last position, `[R, Y]`.
    """

    query: Int[np.ndarray, " Y"]
    outputs: Int[np.ndarray, " Y"]
    stratum_index: Int[np.ndarray, " Y"]
    program: Program
    near: AbstractEnclosure
    token: Int[np.ndarray, " pairs"]
    pair: Int[np.ndarray, "Y G"]
    letter: Int[np.ndarray, "Y G"]
    far: AbstractEnclosure
    n_far: Int[np.ndarray, " Y"]
    last: AbstractEnclosure


def joined(
    terms_by_head: Iterable[tuple[int, StratumTerms]], arith: AbstractArithmetic, positions: int = 1
) -> Iterator[tuple[int, StratumTerms]]:
    """Terms with the strata of one head and program side by side, as many as make a block; every stratum once.

    `positions`: how many of them are kept apart at least, whether or not they share their terms.
    """
    # Strata without far tokens stay apart, so that none pays for a far term that it does not have.
    waiting: dict[tuple[int, int, bool], list[StratumTerms]] = {}
    held: dict[tuple[int, int, bool], int] = {}
    for head, terms in terms_by_head:
        key = (head, id(terms.program), bool(terms.n_far.any()))
        group = waiting.setdefault(key, [])
        group.append(terms)
        n_groups, n_positions = terms.near.shape[:2]
        held[key] = held.get(key, 0) + n_groups * max(positions, n_positions) * terms.pair.size
        if held[key] >= arith.block:
            yield head, _side_by_side(group, arith)
            group.clear()
            held[key] = 0
    for (head, _, _), group in waiting.items():
        if group:
            yield head, _side_by_side(group, arith)


def _side_by_side(group: Sequence[StratumTerms], arith: AbstractArithmetic) -> StratumTerms:
    """Strata of one program as one object; near pairs of the later ones come after those of the earlier ones."""
    if len(group) == 1:
        return group[0]
    width = max(terms.pair.shape[1] for terms in group)
    offsets = np.cumsum([0, *(terms.near.shape[2] for terms in group)])
    pads = [((0, 0), (0, width - terms.pair.shape[1])) for terms in group]
    return StratumTerms(
        query=np.concatenate([terms.query for terms in group]),
        outputs=np.concatenate([terms.outputs for terms in group]),
        stratum_index=np.concatenate([terms.stratum_index for terms in group]),
        program=group[0].program,
        near=arith.concatenate([terms.near for terms in group], 2),
        token=np.concatenate([terms.token for terms in group]),
        pair=np.concatenate(
            [np.pad(terms.pair + o, pad) for terms, o, pad in zip(group, offsets[:-1], pads, strict=True)]
        ),
        letter=np.concatenate(
            [np.pad(terms.letter, pad, constant_values=DEAD) for terms, pad in zip(group, pads, strict=True)]
        ),
        far=arith.concatenate([terms.far for terms in group], 1),
        n_far=np.concatenate([terms.n_far for terms in group]),
        last=arith.concatenate([terms.last for terms in group], 1),
    )
