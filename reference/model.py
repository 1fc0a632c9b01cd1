r"""Weights to the tables of the separable margin, in integers: exact, or between two integers.

With $x_i(t) = W_E[t] + W_{pos}[i]$, $n_i(t)$ the same after an optional LayerNorm before attention, and U the output
map (folded with the centring and the gain of a final LayerNorm), for every head

$$ s_i(q, t) = c\,(n_{K-1}(q) W_Q + b_Q) \cdot (n_i(t) W_K), \quad w_i(q, t) = e^{s_i(q, t) - \max_{j,u} s_j(q, u)}, $$
$$ V_i(t) = n_i(t) W_V W_O U, \quad D(q) = (x_{K-1}(q) + b_O + \textstyle\sum_h b_V W_O)\,U + b_U, $$

the maximum over all K positions and all tokens. Logits are $D + \sum_h \sum_i w_i V_i / \sum_i w_i$, times a positive
number under a final LayerNorm.

Products of weights are exact: a matrix is a list of rows of integers and the power of two that they are divided by.
Inexact are the exponentials, $1 / \sqrt{d_{head}}$, and LayerNorm before attention; each has its bound beside it.

Contents:
    exp_bounds, exp_above — enclosures of the exponential, with their proof.
    Head — weights by query, values, and how wrong a difference of values may be.
    Model — heads and direct path.
    final_bias — whether logits are scaled differently by a final LayerNorm.
"""

from fractions import Fraction
from functools import cache
from math import ceil, isqrt

from budget import Budget
from certificate import Rejected
from weights import Weights

HALVINGS = 12
GUARD = 16
# Digits of LayerNorm after the point, and of attention weights beyond their range.
NORM_BITS = 320
WEIGHT_BITS = 64
MAX_RANGE = 4096
# Units of arguments and of table entries of `exp_above`.
FINE = 72

Matrix = tuple[list[list[int]], int]


@cache
def log_two(g: int) -> int:
    r"""L with $0 \le 2^g \ln 2 - L < 2$.

    $\ln 2 = \sum_k 2 / ((2k+1) 3^{2k+1})$, with 32 more digits. A term loses less than 9/8 units by the divisions by 9
    and less than one by that by 2k + 1; there are fewer than (g + 34) / 3 terms before they vanish, and the rest of
    the series is below one unit: together less than $2^{32}$, one unit of $2^{-g}$. The last shift loses another.
    """
    power, k, total = (2 << (g + 32)) // 3, 1, 0
    while power:
        total += power // k
        power //= 9
        k += 2
    return total >> 32


def _series(r: int, g: int) -> tuple[int, int]:
    r"""Integers around $2^g e^{r / 2^g}$ for $0 \le r \le 2^g$.

    The argument is divided by $2^{12}$, which takes 12 more digits and nothing else, then
    $e^z = \sum z^n / n!$ with $0 \le z \le 2^{-12}$, then squared 12 times. Terms of the lower sum are rounded down
    and those of the upper one up, all positive; once a term is at most one unit, the terms after it add up to less
    than $2^{-11}$ units, for which the upper sum gets one.
    """
    digits = g + HALVINGS + GUARD
    z = r << GUARD
    low = high = below = above = 1 << digits
    n = 0
    while above > 1:
        n += 1
        below = (below * z >> digits) // n
        above = -((-(above * z) >> digits) // n)
        low += below
        high += above
    high += 1
    for _ in range(HALVINGS):
        low = low * low >> digits
        high = -((-high * high) >> digits)
    return low >> (HALVINGS + GUARD), -(-high >> (HALVINGS + GUARD))


def exp_bounds(low: int, high: int, g: int) -> tuple[int, int]:
    r"""Integers around $2^g e^x$ for every x with $low \le 2^g x \le high \le 0$.

    $x = n \ln 2 + \rho$ with $n = \lfloor X / L \rfloor \le 0$, $X = 2^g x$: then $2^g\rho = (X - nL) - n\theta$,
    $0 \le \theta < 2$, so $2^g \rho$ lies between r = X - n L and r - 2 n.
    """
    # ROUND: e**-g < 2**-g, so beyond that the lower end is 0 and the upper one unit.
    if -high > g << g:
        return 0, 1
    two = log_two(g)
    n, r = divmod(high, two)
    upper = -(-_series(r - 2 * n, g)[1] >> -n)
    if -low > g << g:
        return 0, upper
    n, r = divmod(low, two)
    return _series(r, g)[0] >> -n, upper


@cache
def _tables() -> tuple[list[int], list[int], int]:
    """Upper bounds of exp(j / 2**10), j <= 710, and of exp(j / 2**20), j < 2**10, in units of 2**-72; ln 2."""
    coarse = [_series(j << (FINE - 10), FINE)[1] for j in range(711)]
    fine = [_series(j << (FINE - 20), FINE)[1] for j in range(1024)]
    return coarse, fine, log_two(FINE)


def exp_above(arguments: list[int], bits: int, limit: int) -> list[int | None]:
    r"""Integers at least $2^{bits} e^{x / 2^{72}}$, within a share $2^{-40}$ or one; None for those above $2^{limit}$.

    As in `exp_bounds`, $e^x = 2^n e^\rho$ with $2^{72} \rho \le r + 2 \max(-n, 0)$. Ten bits of it are looked up, then
    ten more, and what is left is $s < 2^{-20}$, for which $e^s \le 1 + s + s^2$.
    """
    coarse, fine, two = _tables()
    one, found = 1 << FINE, []
    for x in arguments:
        n, r = divmod(x, two)
        if n < 0:
            if n < -bits - 2:
                found.append(1)
                continue
            r -= 2 * n
        elif n > limit:
            found.append(None)
            continue
        s = r & ((1 << (FINE - 20)) - 1)
        value = coarse[r >> (FINE - 10)] * fine[(r >> (FINE - 20)) & 1023] * (one + s + (s * s >> FINE) + 1)
        places = bits + n - 3 * FINE
        found.append(value << places if places >= 0 else -(-value >> -places))
    return found


def times(left: Matrix, right: Matrix) -> Matrix:
    """Matrix product."""
    columns = list(zip(*right[0], strict=True))
    rows = [[sum(map(int.__mul__, row, column)) for column in columns] for row in left[0]]
    return rows, left[1] + right[1]


def plus(left: Matrix, right: Matrix | None) -> Matrix:
    """Sum; one row on the right is added to every row, None is zero."""
    if right is None:
        return left
    scale = max(left[1], right[1])
    a, b = 1 << (scale - left[1]), 1 << (scale - right[1])
    more = right[0] * len(left[0]) if len(right[0]) == 1 else right[0]
    return [[x * a + y * b for x, y in zip(*pair, strict=True)] for pair in zip(left[0], more, strict=True)], scale


def transposed(matrix: Matrix) -> Matrix:
    """Rows and columns exchanged."""
    return [list(column) for column in zip(*matrix[0], strict=True)], matrix[1]


def _tensor(weights: Weights, name: str, head: int | None = None) -> Matrix | None:
    """A tensor, or one head of it; a vector is one row. None if the model has none."""
    tensor = weights.tensors.get(name)
    return None if tensor is None else (tensor.rows(head), tensor.scale)


def _matrix(weights: Weights, name: str, head: int | None = None) -> Matrix:
    found = _tensor(weights, name, head)
    if found is None:
        raise Rejected("unsupported-model", f"tensor {name} is missing")
    return found


def _normed(rows: list[list[int]], norm: str) -> list[list[int]]:
    """Rows times their length d, less their sums where a LayerNorm follows and not an RMSNorm."""
    sums = [sum(row) if norm == "layer-norm" else 0 for row in rows]
    return [[len(row) * x - total for x in row] for row, total in zip(rows, sums, strict=True)]


def final_bias(weights: Weights) -> bool:
    """Whether a final LayerNorm is followed by a bias that is not the same for all outputs."""
    if weights.record["ln_final"] == "none":
        return False
    total: Matrix = ([[0] * weights.record["d_vocab_out"]], 0)
    bias = _tensor(weights, "ln_final_b")
    total = plus(total, None if bias is None else times(bias, _matrix(weights, "W_U")))
    total = plus(total, _tensor(weights, "b_U"))
    return len(set(total[0][0])) > 1


def _output_map(weights: Weights) -> Matrix:
    rows, scale = _matrix(weights, "W_U")
    if weights.record["ln_final"] == "none":
        return rows, scale
    gain = _tensor(weights, "ln_final_w")
    if gain is not None:
        rows, scale = [[g * x for x in row] for g, row in zip(gain[0][0], rows, strict=True)], scale + gain[1]
    moved = transposed((rows, scale))[0]
    return transposed((_normed(moved, weights.record["ln_final"]), scale))


def _layer_norm(weights: Weights, x: Matrix) -> tuple[Matrix, int]:
    r"""LayerNorm or RMSNorm of every row, and a bound on the error of every entry, in units of the result.

    With $z = d (x - \bar x)$, or $z = d x$, exact, an entry is $z / \sqrt{|z|^2 / d + d^2 \varepsilon}$, that is, the
    root of $z^2 d / (|z|^2 + d^3 \varepsilon)$, rounded towards zero to `NORM_BITS` digits: off by less than one unit.
    """
    rows, scale = x
    top, bottom = map(int, weights.record["ln_eps"].split("/"))
    d = len(rows[0])
    out = []
    for row in _normed(rows, weights.record["ln1"]):
        under = sum(z * z for z in row) * bottom + ((d**3 * top) << (2 * scale))
        roots = [isqrt(((z * z * d * bottom) << (2 * NORM_BITS)) // under) for z in row]
        out.append([root if z >= 0 else -root for z, root in zip(row, roots, strict=True)])
    found: Matrix = (out, NORM_BITS)
    error = 1
    gain = _tensor(weights, "ln1_w")
    if gain is not None:
        found = [[g * z for g, z in zip(gain[0][0], row, strict=True)] for row in out], NORM_BITS + gain[1]
        error = max(abs(g) for g in gain[0][0])
    bias = _tensor(weights, "ln1_b")
    both = plus(found, bias)
    return both, error << (both[1] - found[1])


def _through(rows: Matrix, matrices: tuple[Matrix, ...]) -> Matrix:
    """Rows times one matrix after the other."""
    for one in matrices:
        rows = times(rows, one)
    return rows


def _through_magnitudes(row: list[int], *matrices: Matrix) -> int:
    """The largest entry of a row times matrices, whose entries are replaced by their magnitudes."""
    found: Matrix = ([row], 0)
    for rows, scale in matrices:
        found = times(found, ([[abs(x) for x in one] for one in rows], scale))
    return max(found[0][0])


class Head:
    """One head.

    Attributes:
        value: V_i(t), `value[i][t][o]`, in units of 2**-scale.
        scale: the same for all heads of a model once `Model` has aligned them.
        slack: the difference of two values of a position and token is wrong by at most this many units.
    """

    def __init__(self, weights: Weights, head: int, output: Matrix, rows: list[Matrix], budget: Budget) -> None:
        """`rows`: W_E, W_pos (additive scores) or, after LayerNorm, the rows of every position."""
        record, self.budget = weights.record, budget
        self.k = record["k"]
        self.additive = record["ln1"] == "none"
        # c is the root of this.
        self.squared = Fraction(1, record["d_head"])
        if record["attn_scale"] != "1/sqrt(d_head)":
            self.squared = Fraction(record["attn_scale"]) ** 2
        # From the outside in: d_model by d_model is too large a table.
        out = (_matrix(weights, "W_V", head), _matrix(weights, "W_O", head), output)
        w_q, w_k, b_q = _matrix(weights, "W_Q", head), _matrix(weights, "W_K", head), _tensor(weights, "b_Q", head)
        self.slack, self.score_error = 0, 0
        if self.additive:
            embed, position, last = rows
            token, place = _through(embed, out), _through(position, out)
            values = [plus(token, ([row], place[1])) for row in place[0]]
            query = plus(times(last, w_q), b_q)
            parts = [times(query, transposed(times(one, w_k))) for one in (embed, position)]
        else:
            normed = [_layer_norm(weights, one) for one in rows]
            values = [_through(one, out) for one, _ in normed]
            error = max(off for _, off in normed)
            self.slack = 2 * _through_magnitudes([error] * record["d_model"], *out)
            query, keys = plus(times(normed[-1][0], w_q), b_q), [times(one, w_k) for one, _ in normed]
            parts = [times(query, transposed(key)) for key in keys]
            moved = error << (query[1] - normed[-1][0][1] - w_q[1])
            off_q = _through_magnitudes([moved] * record["d_model"], w_q)
            off_k = _through_magnitudes([error] * record["d_model"], w_k)
            big_q = max(abs(x) for row in query[0] for x in row)
            big_k = max(abs(x) for key in keys for row in key[0] for x in row)
            # |q.k - q'.k'| <= d_head (|q| off_k + |k| off_q + off_q off_k), entries at most the largest.
            self.score_error = record["d_head"] * (big_q * off_k + big_k * off_q + off_q * off_k)
        self.scale = values[0][1]
        self.value = [rows for rows, _ in values]
        self.parts = [rows for rows, _ in parts]
        self.score_scale = [scale for _, scale in parts]

    def _exponentials(self, scores: list[int], scale: int) -> tuple[int, list[int], list[int]]:
        """Enclosures of exp(c (score - max)), and their unit's exponent."""
        top = max(scores)
        spread = ((top - min(scores) + 2 * self.score_error) >> scale) + 1
        # exp(-spread c) >= 2**(-3 spread c / 2), and c is at most this whole number.
        most_c = isqrt(ceil(self.squared) - 1) + 1
        bits = WEIGHT_BITS + min(3 * spread * most_c // 2, MAX_RANGE)
        g = bits + WEIGHT_BITS
        self.budget.spend(len(scores) * (20 + g * g // 16384))
        self.budget.hold(2 * len(scores), bits)
        numerator, denominator = self.squared.as_integer_ratio()
        root = isqrt((numerator << (2 * g)) // denominator)  # 2**g c, rounded down
        above = root + (root * root * denominator != numerator << (2 * g))
        low, high = [], []
        for score in scores:
            x = score - top
            # ROUND: x <= 0, so the larger c goes with the lower end.
            least = ((x - 2 * self.score_error) * above) >> scale
            most = min(0, -((-(x + 2 * self.score_error) * root) >> scale))
            a, b = exp_bounds(least, most, g)
            low.append(a >> (g - bits))
            high.append(-(-b >> (g - bits)))
        return bits, low, high

    def weights(self, q: int) -> tuple[int, list[list[int]], list[list[int]]]:
        """w_i(q, t) between `low[i][t]` and `high[i][t]`, in units of 2**-bits."""
        if self.additive:
            (bits, low, high), (more, low_i, high_i) = (
                self._exponentials(part[q], scale) for part, scale in zip(self.parts, self.score_scale, strict=True)
            )
            self.budget.hold(2 * len(low) * len(low_i), bits + more)
            low_table = [[a * b for b in low] for a in low_i]
            high_table = [[a * b for b in high] for a in high_i]
            return bits + more, low_table, high_table
        flat = [score for part in self.parts for score in part[q]]
        bits, low, high = self._exponentials(flat, self.score_scale[0])
        width = len(flat) // self.k
        starts = range(0, len(flat), width)
        return bits, [low[i : i + width] for i in starts], [high[i : i + width] for i in starts]


class Model:
    """Heads and direct path of a model.

    Attributes:
        heads: its heads.
        direct: D(q), `direct[q][o]`, exact.
        scale: all values and the direct path are in units of 2**-scale.
    """

    def __init__(self, weights: Weights, budget: Budget | None = None) -> None:
        record, budget = weights.record, budget or Budget()
        output = _output_map(weights)
        embed, (places, scale) = _matrix(weights, "W_E"), _matrix(weights, "W_pos")
        places = places[: record["k"]]
        residual = plus(embed, ([places[-1]], scale))
        rows = [embed, (places, scale), residual]
        if record["ln1"] != "none":
            rows = [plus(embed, ([row], scale)) for row in places]
        self.heads = [Head(weights, h, output, rows, budget) for h in range(record["n_heads"])]
        last = plus(residual, _tensor(weights, "b_O"))
        for h in range(record["n_heads"]):
            b_v = _tensor(weights, "b_V", h)
            last = plus(last, None if b_v is None else times(b_v, _matrix(weights, "W_O", h)))
        direct = times(last, output)
        if record["ln_final"] == "none":
            direct = plus(direct, _tensor(weights, "b_U"))
        self.direct, self.scale = direct
        self.finer(max(self.scale, *(head.scale for head in self.heads)))

    def finer(self, scale: int) -> None:
        """Change the unit of values and direct path to 2**-scale, which divides the present ones."""
        self.direct = [[x << (scale - self.scale) for x in row] for row in self.direct]
        for head in self.heads:
            by = scale - head.scale
            head.value = [[[x << by for x in row] for row in rows] for rows in head.value]
            head.slack <<= by
            head.scale = scale
        self.scale = scale
