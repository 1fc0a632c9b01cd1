r"""The bounds of three rules: position minima, exponential moment, grid count.

The margin of the right output y over o, times the softmax denominator of the query q, is a sum over positions of
$g_i(t) = w_i(q,t)\,[(D(q)_y - D(q)_o) + (V_i(t)_y - V_i(t)_o)]$ (`model.py`); a sequence is wrong against o exactly if
the sum is not positive. Everything here needs lower bounds of g alone: margins m are lower bounds, exact but for
LayerNorm, and $g \ge w_{lo} m$ if $m \ge 0$, else $w_{hi} m$.

Position minima: if the least sum of g over the paths through a move of the stratum's program is positive against every
rival, all sequences that take the move are right; those that take no such move are counted as wrong.

Exponential moment: a wrong sequence has $e^{-\lambda \sum g} \ge 1$ for every $\lambda \ge 0$, so the sum of weight
times $e^{-\lambda \sum g}$ over a stratum, one pass over its program, bounds the weight of its wrong sequences.

Grid count: with $n_i(t) = \lfloor g_i(t) / h \rfloor$ a wrong sequence has
$\sum_{i<K-1} n_i(t_i) \le \lfloor -g_{K-1}(q) / h \rfloor$; the sequences with that property are counted.

A problem stands for some rivals, and has a bound for each head; wrong sequences are summed over problems and heads.
*Rivals*: `every` takes them one by one; `plain`, `centred` and `joint` use the margin over the largest other output,
in V and D apart, in V plus the mean row of D and D less that row, or in V + D. *Heads*: with thresholds
$c_h$, $\sum_h c_h = -(D_y - D_o)$, a wrong sequence has $\sum_i w^h_i (m^h_i - c_h) \le 0$ for some head h; so $-c_h$
stands for the direct margin of head h. *Pessimal position*: the least margin over the positions before the last with
the least or the greatest weight over them. *Far tokens*, at `near` or more below y: min(0, least margin) times the
greatest weight over them and the positions before the last.

Contents:
    position_minima — weight of the sequences it does not certify.
    Margins, Columns, Terms — lower bounds of g for the other two rules.
    Stratum — moment and count of one problem.
    summed — the bound of these rules.
"""

from typing import NamedTuple

from hints import Options
from model import FINE, Model, exp_above
from tasks import Distribution, Move, Program, Strata, flow

Row = list[int]
# Units of moments, and where they are given up. Float64 ends at 2**-1074 and 2**1024, so a prover that uses it has
# nothing below or above that could be needed here.
BITS = 1152
LIMIT = 8192
# Digits added to margins before a mean or a threshold is rounded to their unit.
EXTRA_BITS = 64


def lower_terms(low: Row, high: Row, margins: Row, direct: int) -> Row:
    """Lower bounds of weight times margin; `direct` is added to every margin."""
    return [a * m if (m := x + direct) >= 0 else b * m for a, b, x in zip(low, high, margins, strict=True)]


def position_minima(model: Model, strata: Strata, distribution: Distribution) -> int:
    """Weight of the sequences none of whose moves is certified."""
    (head,) = model.heads
    machine = strata.machine
    n, n_out = machine.k - 1, len(model.direct[0])
    weights = [head.weights(q) for q in range(machine.d_vocab)]
    wrong = 0
    for y in strata.outputs:
        tokens = sorted(strata.alive(y), key=lambda t: strata.letter[y][t])
        places: dict[int, list[int]] = {}
        for place, t in enumerate(tokens):
            places.setdefault(strata.letter[y][t], []).append(place)
        spans = {letter: slice(mine[0], mine[-1] + 1) for letter, mine in places.items()}
        rivals = [o for o in range(n_out) if o != y]
        margins = [
            [[head.value[i][t][y] - head.value[i][t][o] - head.slack for t in tokens] for o in rivals] for i in range(n)
        ]
        for q in range(machine.d_vocab):
            program = strata.program(q, y)
            if program is None:
                continue
            _, low, high = weights[q]
            ahead = [model.direct[q][y] - model.direct[q][o] for o in rivals]
            own = head.value[n][q]
            last = [own[y] - own[o] - head.slack + d for o, d in zip(rivals, ahead, strict=True)]
            tail = [(low if m >= 0 else high)[n][q] * m for m in last]
            least: list[dict[int, Row]] = []
            for i in range(n):
                a, b = [low[i][t] for t in tokens], [high[i][t] for t in tokens]
                g = [lower_terms(a, b, row, d) for row, d in zip(margins[i], ahead, strict=True)]
                least.append({letter: [min(row[span]) for row in g] for letter, span in spans.items()})
            wrong += flow(_left_open(program, least, tail), strata.tokens[y], q, distribution)
    return wrong


def _smaller(a: Row | None, b: Row) -> Row:
    return b if a is None else [min(pair) for pair in zip(a, b, strict=True)]


def _sum(a: Row, b: Row) -> Row:
    return [x + z for x, z in zip(a, b, strict=True)]


def _left_open(program: Program, least: list[dict[int, Row]], tail: Row) -> Program:
    """The moves through which some path is not certified against some rival.

    Args:
        program: of one stratum.
        least: by position and letter, the least g against every rival.
        tail: g of the query.
    """
    moves: list[list[tuple[int, int, Row]]] = []
    for here, layer in zip(least, program.layers, strict=True):
        steps = []
        for source, target, letters in layer:
            smallest: Row | None = None
            for letter in letters:
                smallest = _smaller(smallest, here[letter])
            steps.append((source, target, smallest or []))
        moves.append(steps)
    before: list[dict[int, Row]] = [{program.start: tail}]
    for steps in moves:
        after: dict[int, Row] = {}
        for source, target, smallest in steps:
            after[target] = _smaller(after.get(target), _sum(before[-1][source], smallest))
        before.append(after)
    behind: dict[int, Row] = {0: [0] * len(tail)}
    layers = []
    for i in reversed(range(len(moves))):
        earlier: dict[int, Row] = {}
        left = []
        for move, (source, target, smallest) in zip(program.layers[i], moves[i], strict=True):
            rest = _sum(smallest, behind[target])
            earlier[source] = _smaller(earlier.get(source), rest)
            if min(_sum(before[i][source], rest)) <= 0:
                left.append(move)
        behind = earlier
        layers.append(left)
    return Program(program.start, layers[::-1])


def _over_the_largest_other(row: Row) -> tuple[int, int, int]:
    """Place of the largest entry, it, and the largest of the others."""
    best = max(range(len(row)), key=row.__getitem__)
    return best, row[best], max(row[:best] + row[best + 1 :])


class Margins:
    """Margins of values and of the direct path, by head, output and problem, in units of 2**-scale."""

    def __init__(self, model: Model, options: Options, n_strata: int) -> None:
        self.model, self.options, self.n_strata = model, options, n_strata
        if options.rival == "centred" or len(model.heads) > 1:
            model.finer(model.scale + EXTRA_BITS)
        if options.rival == "centred":
            # Any row may move from D to V; this one is the mean row up to a unit.
            mean = [sum(column) // len(model.direct) for column in zip(*model.direct, strict=True)]
            model.direct = [[x - c for x, c in zip(row, mean, strict=True)] for row in model.direct]
            first = model.heads[0]
            first.value = [[[x + c for x, c in zip(row, mean, strict=True)] for row in rows] for rows in first.value]
        if options.rival in ("plain", "centred"):
            self._best = [[[_over_the_largest_other(row) for row in rows] for rows in h.value] for h in model.heads]
            self._best_direct = [_over_the_largest_other(row) for row in model.direct]
        if options.rival == "joint":
            self._best_joint = [
                [[_over_the_largest_other(list(map(int.__add__, row, ahead))) for row in rows]
                 for rows in model.heads[0].value] for ahead in model.direct
            ]  # fmt: skip

    def value(self, h: int, i: int, t: int, q: int, y: int, r: int) -> int:
        """Margin of V_i(t), less what it may be wrong by; of V_i(t) + D(q) for `joint`."""
        head = self.model.heads[h]
        if self.options.rival == "every":
            row = head.value[i][t]
            return row[y] - row[r if r < y else r + 1] - head.slack
        if self.options.rival == "joint":
            best, first, second = self._best_joint[q][i][t]
            mine = head.value[i][t][y] + self.model.direct[q][y]
        else:
            best, first, second = self._best[h][i][t]
            mine = head.value[i][t][y]
        return mine - (second if y == best else first) - head.slack

    def direct(self, h: int, q: int, y: int, r: int, number: int) -> int:
        """What stands for the direct margin of head h."""
        if h < len(self.model.heads) - 1:
            return -self._threshold(h, r, number)
        others = sum(self._threshold(one, r, number) for one in range(h))
        row = self.model.direct[q]
        if self.options.rival == "joint":
            return others
        if self.options.rival == "every":
            return others + row[y] - row[r if r < y else r + 1]
        best, first, second = self._best_direct[q]
        return others + row[y] - (second if y == best else first)

    def _threshold(self, h: int, r: int, number: int) -> int:
        """c_h, rounded to the unit: any number is a threshold, as long as it is the same for all heads."""
        place = (h * self.options.problems + r) * self.n_strata + number
        mantissa, exponent = (part[place] for part in self.options.threshold)
        shift = exponent + self.model.scale
        return mantissa << shift if shift >= 0 else mantissa >> -shift


def summed(model: Model, strata: Strata, distribution: Distribution, options: Options) -> int:
    """Bound on the weight of the wrong sequences: of every stratum its weight, or the sum of all bounds if smaller.

    The latter is rounded down stratum by stratum.
    """
    machine = strata.machine
    margins = Margins(model, options, len(strata.order))
    weights = [[head.weights(q) for q in range(machine.d_vocab)] for head in model.heads]
    total = 0
    for y in strata.outputs:
        alive = sorted(strata.alive(y), key=lambda t: (abs(t - y), t))
        columns = Columns(margins, machine.k - 1, y, alive[: options.near], alive[options.near :])
        for q in range(machine.d_vocab):
            program = strata.program(q, y)
            size = 0 if program is None else flow(program, strata.tokens[y], q, distribution)
            if program is None or not size:
                continue
            stratum = Stratum(program, strata.tokens[y], q, distribution, size)
            number = strata.number[q, y]
            bound = 0
            for h in range(len(model.heads)):
                bits = weights[h][q][0] + model.scale
                seen = columns.weights(weights[h][q])
                for r in range(options.problems):
                    direct = margins.direct(h, q, y, r, number)
                    rows, far = columns.terms(h, q, r, direct, seen)
                    own = margins.value(h, machine.k - 1, q, q, y, r) + direct
                    last = (weights[h][q][1] if own >= 0 else weights[h][q][2])[machine.k - 1][q] * own
                    place = (h * options.problems + r) * len(strata.order) + number
                    terms = Terms(columns.near, rows, columns.far, far, last, bits)
                    bound += stratum.bound(terms, options, place)
            # SOUND: weights are integers, so the wrong sequences of a stratum weigh at most the floor of their bound.
            total += min(bound >> BITS, size)
    return total


class Terms(NamedTuple):
    """Lower bounds of g of one stratum, problem and head, in units of 2**-bits.

    Attributes:
        near: tokens treated one by one.
        rows: their g by position, or one row for all positions.
        far: the other tokens.
        far_term: g of each of them.
        last: g of the query.
        bits: the unit.
    """

    near: Row
    rows: list[Row]
    far: Row
    far_term: int
    last: int
    bits: int


class Columns:
    """Value margins of the tokens of one output: near ones one by one, the worst of the far ones."""

    def __init__(self, margins: Margins, n: int, y: int, near: list[int], far: list[int]) -> None:
        self.margins, self.n, self.y, self.near, self.far = margins, n, y, near, far
        self.pooled = margins.options.position == "pessimal"
        self._known: dict[tuple[int, int, int], tuple[list[Row], int]] = {}

    def _values(self, h: int, q: int, r: int) -> tuple[list[Row], int]:
        """Margins by position (one if they are pooled) and near token, and the least of the far ones."""
        key = (h, r, q if self.margins.options.rival == "joint" else -1)
        if key not in self._known:
            value = self.margins.value
            rows = [[value(h, i, t, q, self.y, r) for t in self.near] for i in range(self.n)]
            if self.pooled:
                rows = [[min(column) for column in zip(*rows, strict=True)]]
            far = min((value(h, i, t, q, self.y, r) for t in self.far for i in range(self.n)), default=0)
            self._known[key] = rows, far
        return self._known[key]

    def weights(self, table: tuple[int, list[Row], list[Row]]) -> tuple[list[Row], list[Row], int]:
        """Lower and upper weights of the near tokens, by position as the margins are, and the greatest far one."""
        _, low, high = table
        least = [[low[i][t] for t in self.near] for i in range(self.n)]
        most = [[high[i][t] for t in self.near] for i in range(self.n)]
        if self.pooled:
            least = [[min(column) for column in zip(*least, strict=True)]]
            most = [[max(column) for column in zip(*most, strict=True)]]
        return least, most, max((high[i][t] for t in self.far for i in range(self.n)), default=0)

    def terms(self, h: int, q: int, r: int, direct: int, seen: tuple[list[Row], list[Row], int]) -> tuple:
        """Lower bounds of g by position and near token, and that of every far token."""
        rows, far = self._values(h, q, r)
        low, high, greatest = seen
        near = [lower_terms(a, b, row, direct) for a, b, row in zip(low, high, rows, strict=True)]
        return near, min(0, far + direct) * greatest


class Stratum:
    """One stratum: its program, tokens by letter, last token, and weight."""

    def __init__(self, program: Program, tokens: list[Row], q: int, distribution: Distribution, size: int) -> None:
        self.program, self.tokens, self.q, self.distribution, self.size = program, tokens, q, distribution, size

    def bound(self, terms: Terms, options: Options, place: int) -> int:
        """The smaller of moment and count of one problem and head, in units of 2**-BITS; `place` of their hints."""
        mantissa, exponent = (part[place] for part in options.tilt)
        # Without a tilt the moment is the weight of the stratum.
        found = self.size << BITS
        if mantissa:
            found = self._moment(terms, mantissa, terms.bits - exponent - FINE)
        if options.step is None or not options.step[0][place]:
            return found
        mantissa, exponent = (part[place] for part in options.step)
        count = self._count(terms, (mantissa, terms.bits + exponent), options.cells)
        return found if count is None else min(found, count << BITS)

    def _read(self, layers: list[list[Move]]) -> set[int]:
        """Tokens that some move of these layers reads."""
        read = frozenset().union(*(letters for layer in layers for _, _, letters in layer))
        return {t for letter in read for t in self.tokens[letter]}

    def _moment(self, terms: Terms, mantissa: int, shift: int) -> int:
        """Sum of weight times exp(-lambda g), -lambda g being -(mantissa g >> shift) units of `exp_above`."""

        def exponents(row: Row) -> Row:
            # ROUND: the negative of a floor is a ceiling.
            if shift >= 0:
                return [-((mantissa * g) >> shift) for g in row]
            return [-((mantissa * g) << -shift) for g in row]

        values = []
        for i, row in enumerate(terms.rows):
            found = exp_above(exponents([*row, terms.far_term]), BITS, LIMIT)
            value = dict(zip(terms.near, found, strict=False)) | dict.fromkeys(terms.far, found[-1])
            lost = {t for t, one in value.items() if one is None}
            if lost and lost & self._read(self.program.layers if len(terms.rows) == 1 else [self.program.layers[i]]):
                return LOST
            values.append(value)
        (own,) = exp_above(exponents([terms.last]), BITS, LIMIT)
        if own is None:
            return LOST
        values *= len(self.program.layers) if len(terms.rows) == 1 else 1
        passed = flow(self.program, self.tokens, self.q, self.distribution, values, BITS)
        return -((-passed * own) >> BITS)

    def _count(self, terms: Terms, step: tuple[int, int], cells: int) -> int | None:
        """Weight of the sequences whose floors add up to at most the threshold; None if it is too far above them.

        A polynomial is one integer with `slot` bits for every coefficient: none exceeds the weight of the stratum's
        prefixes, so none runs over.
        """
        mantissa, shift = step

        def floors(row: Row) -> Row:
            if shift >= 0:
                return [(g >> shift) // mantissa for g in row]
            return [(g << -shift) // mantissa for g in row]

        numbers = []
        for row in terms.rows:
            found = floors([*row, terms.far_term])
            numbers.append(dict(zip(terms.near, found, strict=False)) | dict.fromkeys(terms.far, found[-1]))
        (budget,) = floors([-terms.last])
        numbers *= len(self.program.layers) if len(terms.rows) == 1 else 1
        least = [min(one.values()) for one in numbers]
        budget -= sum(least)
        if budget < 0:
            return 0
        if budget >= cells or self.distribution.rows is None:
            return None
        slot = self.distribution.total.bit_length() + 1
        mask = (1 << slot * (budget + 1)) - 1
        states = {self.program.start: 1}
        for i, layer in enumerate(self.program.layers):
            weights, after = self.distribution.rows[i], {}
            for source, target, letters in layer:
                found = 0
                for t in (t for letter in letters for t in self.tokens[letter]):
                    power = numbers[i][t] - least[i]
                    if power <= budget and weights[t]:
                        found += (states[source] * weights[t]) << (slot * power)
                after[target] = after.get(target, 0) + (found & mask)
            states = after
        # The coefficients add up to less than 2**slot - 1, so they are the remainder.
        return (states[0] % ((1 << slot) - 1)) * self.distribution.rows[-1][self.q]


# More than any stratum weighs, in units of 2**-BITS.
LOST = 1 << (BITS + 14_000)
