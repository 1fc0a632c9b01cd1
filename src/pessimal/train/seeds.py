"""Seed lists as text.

Contents:
    PUBLISHED_SEEDS — the seeds of the literature.
    parse_seeds — `0:8`, `1,2,5`, mixtures, or `published` to a list of integers.
    require_seeds — refuse an empty list, a repeated seed, a seed outside 32 bits.
"""

from collections.abc import Sequence

# The 151 seeds of the published experiments (Gross et al. 2024).
PUBLISHED_SEEDS = (
    50, 104, 123, 519, 742, 913, 1185, 1283, 1412, 1490, 1681, 1696, 1895, 1951, 2236, 2306, 2345, 2549, 2743, 2773,
    3175, 3254, 3284, 4157, 4305, 4430, 4647, 4729, 4800, 4810, 5358, 5615, 5781, 5928, 6082, 6155, 6159, 6204, 6532,
    6549, 6589, 6910, 7098, 7238, 7310, 7467, 7790, 7884, 8048, 8299, 8721, 8745, 8840, 8893, 9132, 9134, 9504, 9816,
    10248, 11124, 11130, 11498, 11598, 11611, 12141, 12287, 12457, 12493, 12552, 12561, 13036, 13293, 13468, 13654,
    13716, 14095, 14929, 15043, 15399, 15622, 15662, 16069, 16149, 16197, 16284, 17080, 17096, 17194, 17197, 18146,
    18289, 18668, 19004, 19093, 19451, 19488, 19538, 19917, 20013, 20294, 20338, 20415, 20539, 20751, 20754, 20976,
    21317, 21598, 22261, 22286, 22401, 22545, 23241, 23367, 23447, 23633, 23696, 24144, 24173, 24202, 24262, 24438,
    24566, 25516, 26278, 26374, 26829, 26932, 27300, 27484, 27584, 27671, 27714, 28090, 28716, 28778, 29022, 29052,
    29110, 29195, 29565, 29725, 29726, 30371, 30463, 30684, 30899, 31308, 32103, 32374, 32382,
)  # fmt: skip
MAX_SEED = 2**32 - 1
MAX_SEEDS = 100_000


def parse_seeds(text: str) -> list[int]:
    """Read a comma-separated list of seeds and half-open ranges, such as `0:8`, `1,2,5` or `0:3,50,123`.

    The word `published` stands for the 151 seeds of the literature.

    Args:
        text: the list; spaces around a part are ignored.

    Returns:
        The seeds, in the order written.

    Raises:
        ValueError: a part is neither a number nor `first:stop`, a range is empty, a seed is repeated or above
            2^32 - 1, or there are more than 100,000 seeds.

    Cost: linear in the number of seeds.
    """
    if text.strip() == "published":
        return list(PUBLISHED_SEEDS)
    seeds: list[int] = []
    for part in text.split(","):
        first, colon, stop = (piece.strip() for piece in part.partition(":"))
        if not colon:
            seeds.append(_natural(first, text))
            continue
        low, high = _natural(first, text), _natural(stop, text)
        if low >= high:
            raise ValueError(f"seeds {part.strip()!r} is an empty range; a range is first:stop with first < stop")
        if high - low > MAX_SEEDS:
            raise ValueError(f"seeds {part.strip()!r} asks for {high - low} seeds; the most is {MAX_SEEDS}")
        seeds.extend(range(low, high))
    require_seeds(seeds)
    return seeds


def require_seeds(seeds: Sequence[int]) -> None:
    """Raise `ValueError` unless there are 1 to 100,000 seeds, all distinct, each in 0 .. 2^32 - 1."""
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise ValueError(f"{len(seeds)} seeds asked for; give between 1 and {MAX_SEEDS}")
    seen: set[int] = set()
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed {seed} is not between 0 and {MAX_SEED}")
        if seed in seen:
            raise ValueError(f"seed {seed} is given twice")
        seen.add(seed)


def _natural(piece: str, text: str) -> int:
    if not (piece.isascii() and piece.isdigit() and len(piece) <= 20):
        raise ValueError(f"seeds {text[:60]!r} is not a list such as 0:8 or 1,2,5")
    return int(piece)
