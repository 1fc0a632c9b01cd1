"""What a check costs, from sizes alone, before anything of these sizes is made.

Contents:
    charge_tables — the tables of a model.
    charge_bound — the bound of a rule.
"""

from budget import Budget
from hints import Options
from model import NORM_BITS
from rules import BITS, EXTRA_BITS
from tasks import Distribution, Strata
from weights import Weights

# Magnitudes below 2**high, all multiples of 2**low.
Span = tuple[int, int]
SUMMED = (0, 17)  # a sum over at most 2**16 numbers


def _product(*spans: Span) -> Span:
    return sum(low for low, _ in spans), sum(high for _, high in spans)


def _either(*spans: Span) -> Span:
    return min(low for low, _ in spans), max(high for _, high in spans) + 1


def _spans(weights: Weights) -> tuple[Span, Span, Span, Span]:
    """Of what heads read, of scores, of values, and of the direct path."""
    span = {name: (one.low, one.high) for name, one in weights.tensors.items()}
    some = {name: (span.get(name, (0, 0))) for name in ("ln1_w", "ln1_b", "ln_final_w", "b_Q", "b_V", "b_O", "b_U")}
    x = _either(span["W_E"], span["W_pos"])
    read = x if weights.record["ln1"] == "none" else _either(_product(some["ln1_w"], (-NORM_BITS, 9)), some["ln1_b"])
    output = _product(span["W_U"], some["ln_final_w"], SUMMED)
    query = _either(_product(read, span["W_Q"], SUMMED), some["b_Q"])
    scores = _product(query, read, span["W_K"], SUMMED, SUMMED)
    values = _product(read, span["W_V"], SUMMED, span["W_O"], SUMMED, output, SUMMED)
    last = _either(x, some["b_O"], _product(some["b_V"], span["W_O"], SUMMED))
    return read, scores, values, _either(_product(last, output, SUMMED), some["b_U"])


def charge_tables(weights: Weights, budget: Budget) -> None:
    """Products of matrices, from the outside in, and the tables that are kept.

    Raises:
        Rejected: resources.
    """
    record = weights.record
    k, v, m, d = record["k"], record["d_vocab"], record["d_model"], record["d_head"]
    outputs, heads, normed = record["d_vocab_out"], record["n_heads"], record["ln1"] != "none"
    read, scores, values, direct = ((low, high) for low, high in _spans(weights))
    bits = max(values[1], direct[1]) - min(values[0], direct[0]) + EXTRA_BITS
    rows = k * v if normed else k + v
    products = v * m * outputs
    products += heads * (rows * (3 * m * d + m * outputs + v * d) + v * m * d + d * m + k * v * outputs)
    budget.spend(products * (1 + bits // 1024) // 16 + (4 * k * v * m if normed else 0))
    # Values, the same in another unit, and differences of them.
    budget.hold(3 * heads * k * v * outputs, bits)
    budget.hold(heads * v * (k * v if normed else k + v), scores[1] - scores[0])
    budget.hold((2 + heads) * rows * m, read[1] - read[0])


def charge_bound(
    rule: str, strata: Strata, distribution: Distribution, model: dict, options: Options | None, budget: Budget
) -> None:
    """Terms that a bound looks at, moves that it takes, and the polynomials of a grid.

    Raises:
        Rejected: resources.
    """
    machine = strata.machine
    n, v, heads, outputs = machine.k - 1, machine.d_vocab, model["n_heads"], model["d_vocab_out"]
    # Amounts weigh as much as all sequences.
    digits = 1 + distribution.total.bit_length() // 4096
    chain = distribution.rows is None
    width = reads = 0
    for q, y in strata.order:
        alive, flow = len(strata.alive(y)), strata.moves(q, y) * digits
        if chain:
            flow += strata.reads(q, y) * v * (1 + distribution.total.bit_length() // 512) // 2
        if rule == "position-minima":
            budget.spend((n * alive + 2 * strata.moves(q, y)) * (outputs - 1) // 4 + flow)
        elif options is not None and (chain or distribution.rows[-1][q]):
            positions = 1 if options.position == "pessimal" else n
            terms = 3 * positions * min(alive, options.near) // 2 + positions * alive // 8 + 5 * n
            joint = n * alive * outputs // 4 if options.rival == "joint" else 0
            budget.spend(heads * options.problems * (terms + flow) + joint + flow)
            width, reads = max(width, strata.width(q, y)), max(reads, strata.reads(q, y))
    if options is not None and options.step is not None:
        slot = options.cells * (distribution.total.bit_length() + 1)
        one = reads * (slot // 2**15 + 1) + n * width * (slot // 2**10)
        budget.spend(sum(mantissa > 0 for mantissa in options.step[0]) * one // 2)
        budget.hold(2 * width + 2, slot)
    if options is not None and chain:
        budget.hold(2 * width * v, distribution.total.bit_length() + BITS)
