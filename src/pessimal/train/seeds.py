"""Seed lists as text.

Contents:
    parse_seeds — `0:8`, `1,2,5` and mixtures to a list of integers.
    require_seeds — refuse an empty list, a repeated seed, a seed outside 32 bits.
"""

from collections.abc import Sequence

MAX_SEED = 2**32 - 1
MAX_SEEDS = 100_000


def parse_seeds(text: str) -> list[int]:
    """Read a comma-separated list of seeds and half-open ranges, such as `0:8`, `1,2,5` or `0:3,50,123`.

    Args:
        text: the list; spaces around a part are ignored.

    Returns:
        The seeds, in the order written.

    Raises:
        ValueError: a part is neither a number nor `first:stop`, a range is empty, a seed is repeated or above
            2^32 - 1, or there are more than 100,000 seeds.

    Cost: linear in the number of seeds.
    """
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
