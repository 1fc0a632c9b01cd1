"""The smallest sum of terms that a sequence of a stratum can have, for many comparisons with one program.

Theorem. Where the result is positive, no rival of the comparison reaches the target in the stratum.

*Proof.* Every sequence takes a path of the program, and the sum of its terms is at least the sum, along the path, of
the least term over the letters of each move, hence at least the least such sum over all paths. Terms are lower bounds
of those of every rival (`terms/nodes.py`). A number that stands for a token that is not there only makes a minimum
smaller. ∎

Contents:
    smallest_sums — by comparison.
"""

from collections.abc import Mapping
from operator import add

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.strata.program import Letters, LetterSums, Program
from pessimal.kernel.terms.nodes import NONE, RowTerms


def _smaller(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
    return a.minimum(b)


def smallest_sums(program: Program, terms: RowTerms, columns: Mapping[int, slice]) -> AbstractEnclosure:
    """At most the smallest sum of the terms over the sequences of each row's stratum, `[n]`.

    Args:
        program: that of all rows, for two positions or more.
        terms: of the rows.
        columns: of `NodeTerms`, for their outputs or more.
    """

    def of_letter(letter: int) -> AbstractEnclosure:
        """Least terms of the tokens with one letter, `[K-1, n]`."""
        chosen = columns.get(letter, slice(0, 1))
        here = terms.letter[:, chosen] == letter
        near = terms.near[:, :, chosen].where(here, NONE).min(2)
        return near if letter or terms.far is None else near.minimum(terms.far)

    least = LetterSums(of_letter, _smaller)

    def factor(i: int, letters: Letters) -> AbstractEnclosure:
        return least(letters)[0] + terms.last if i == 0 else least(letters)[i]

    total: AbstractEnclosure = program.run(factor, _smaller, add)
    return total
