"""Local search over a few small integers.

Contents:
    climb — the best point that single and paired steps reach.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

Point = Mapping[str, int]


def climb(
    starts: Iterable[Point],
    steps: Sequence[Mapping[str, int]],
    score: Callable[[dict[str, int]], float],
    *,
    kept: int = 2,
    gain: float = 0.0,
) -> dict[str, int]:
    """From the best few starts, take any step that raises the score until none does; the best end of all.

    Args:
        starts: points to begin at.
        steps: changes of one or more coordinates, tried in this order.
        score: larger is better; minus infinity for points that are not allowed. Called once per point.
        kept: how many starts to climb from.
        gain: a step must raise the score by more than this.

    Raises:
        ValueError: no start is allowed.
    """
    known: dict[tuple[tuple[str, int], ...], float] = {}

    def value(point: Mapping[str, int]) -> float:
        key = tuple(sorted(point.items()))
        if key not in known:
            known[key] = score(dict(point))
        return known[key]

    begin = sorted((dict(point) for point in starts), key=value, reverse=True)[:kept]
    ends = [_ascend(point, steps, value, gain) for point in begin if value(point) > float("-inf")]
    if not ends:
        raise ValueError("no starting point is allowed")
    return max(ends, key=value)


def _ascend(
    point: dict[str, int], steps: Sequence[Mapping[str, int]], value: Callable[[Point], float], gain: float
) -> dict[str, int]:
    """Rounds over all steps, each taken at once when it helps."""
    while True:
        before = point
        for step in steps:
            moved = {name: place + step.get(name, 0) for name, place in point.items()}
            if value(moved) > value(point) + gain:
                point = moved
        if point == before:
            return point
