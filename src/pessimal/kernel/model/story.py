r"""An explanation as a source of tables: something simpler for every path of a model, and how far each is from it.

A model without LayerNorm before attention is five tables, three of them per head,

$$ \mathrm{EQKE}[q,t] = (n(q)W_QW_K^T + b_QW_K^T)\cdot E_t,\quad \mathrm{EQKP}[q,i] = (\ldots)\cdot P_i,\quad
\mathrm{EVOU}[t] = E_tW_VW_OU,\quad \mathrm{PVOU}[i] = P_iW_VW_OU,\quad \mathrm{EU}[q] = D(q) $$

(`tables.py`; scores are not yet times $c_{attn}$, U has a final norm folded in). An explanation says with a word what
each of them is like (`words.py`); what it leaves over is bounded row by row (`stand_ins.py`).

Theorem. The tables that an explanation gives keep the obligation of a source, whatever it says.

*Proof.* Rows of EQKE and EQKP are shifted by numbers of their own: the weights of a query get one positive factor,
which its softmax cancels. A row of EVOU, PVOU or EU gets a number for all outputs, and $V_i(t)$ the sum of two; shifts
of this kind change no margin. The rest is the theorem of `stand_ins.py`; of executions in float32 it is that of
`rounding.py`, whose radii depend on the weights alone. ∎

Contents:
    Story — the words of all paths.
    StoryTables — the source.
    path_shapes — the paths of a model, and rows and columns of their tables.
"""

from dataclasses import dataclass

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import additive_head, of_semantics
from pessimal.kernel.model.source import AbstractTables, Tables
from pessimal.kernel.model.stand_ins import StandIn
from pessimal.kernel.model.tables import additive_paths
from pessimal.kernel.model.tensors import attention_scale, exp_scaled
from pessimal.kernel.model.words import stand_in
from pessimal.spec.architecture import Architecture, ModelShape
from pessimal.spec.weights import Weights

OF_HEAD, DIRECT = ("EQKE", "EQKP", "EVOU", "PVOU"), "EU"


def path_shapes(s: ModelShape) -> dict[str, tuple[int, int]]:
    """By path, rows and columns; with several heads `EQKE.0` and so on."""
    rows_and_columns = (s.d_vocab, s.d_vocab), (s.d_vocab, s.k), (s.d_vocab, s.d_vocab_out), (s.k, s.d_vocab_out)
    found = {}
    for head in range(s.n_heads):
        end = f".{head}" if s.n_heads > 1 else ""
        found.update({f"{path}{end}": shape for path, shape in zip(OF_HEAD, rows_and_columns, strict=True)})
    return {**found, DIRECT: (s.d_vocab, s.d_vocab_out)}


@dataclass(frozen=True, eq=False)
class Story:
    """What an explanation says of every path.

    Attributes:
        words: by path, as in `path_shapes`.
        stand_ins: of the same paths.
        n_numbers: how many numbers of advice it holds.
    """

    words: dict[str, str]
    stand_ins: dict[str, StandIn]
    n_numbers: int

    @classmethod
    def read(cls, hints: Hints, architecture: Architecture) -> tuple["Story", Hints]:
        """An explanation, and the hints that are no part of it.

        Raises:
            Rejected: bad-hint, if a path has no word of the list or not the arrays that its word needs.
        """
        words, stand_ins, read = {}, {}, set()
        for path, shape in path_shapes(architecture.shape).items():
            stand_ins[path], arrays = stand_in(hints, path, shape)
            words[path] = str(hints.options[path])
            read |= arrays
        options = {name: value for name, value in hints.options.items() if name not in words}
        others = {name: array for name, array in hints.arrays.items() if name not in read}
        return cls(words, stand_ins, sum(hints.arrays[name].size for name in read)), Hints(options, others)

    @property
    def free_numbers(self) -> int:
        """How many numbers it takes to say it: the dimensions that it leaves unexplained."""
        return sum(one.free for one in self.stand_ins.values())


@dataclass(frozen=True, eq=False)
class StoryTables(AbstractTables):
    """The tables of an explanation.

    Attributes:
        story: it.
        semantics: real arithmetic, or every float32 execution.
    """

    story: Story
    semantics: str

    def tables(self, weights: Weights, arith: AbstractArithmetic) -> Tables:
        """Heads whose weights factor, and D. Cost: the tables, and `StandIn.enclosed` of each."""
        paths, exact_direct = additive_paths(weights, arith)
        scale, stand_ins = attention_scale(weights, arith), iter(self.story.stand_ins.values())
        heads = []
        for head in paths:
            token, position, *values = (next(stand_ins).enclosed(x, arith) for x in head.tables)
            heads.append(additive_head(exp_scaled(token, scale), exp_scaled(position, scale), *values))
        direct = next(stand_ins).enclosed(exact_direct, arith)
        return of_semantics(self.semantics, weights, heads, direct, arith)
