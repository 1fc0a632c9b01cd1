"""The bound-against-flops plot as plain data for the page's script.

Contents:
    chart_data — points, axes and names.
"""

import html
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from pessimal.report.results import Model, Result, grouped, percent_down, power_of_two


def chart_data(models: Sequence[Model]) -> dict[str, Any]:
    """Points of every verified result that states its length.

    Args:
        models: what to draw.

    Returns:
        `models` and `strategies` (names, escaped for the plotting library, which reads a little HTML),
        `points` (one list of equal length per field: model and strategy index, `x` = log2 flops, `y` = bound
        in percent, `z` = fraction not proven, at `floor` where it is zero, frontier flag, `recorded` and not
        re-checked, hover text) and `floor`.
    """
    drawn = [
        (number, result, frontier)
        for number, model in enumerate(models)
        for result, frontier in zip(model.results, model.frontier, strict=True)
        if result.bound is not None and result.flops
    ]
    lengths: dict[str, list[int]] = {}
    for _, result, _ in drawn:
        lengths.setdefault(result.strategy, []).append(result.flops or 1)
    strategies = sorted(lengths, key=lambda name: (-median(lengths[name]), name))
    floor = _floor([result for _, result, _ in drawn])
    keys = ("model", "strategy", "x", "y", "z", "frontier", "recorded", "hover")
    points: dict[str, list[Any]] = {key: [] for key in keys}
    for number, result, frontier in drawn:
        shortfall = float(result.shortfall or 0)
        points["model"].append(number)
        points["strategy"].append(strategies.index(result.strategy))
        points["x"].append(round(math.log2(result.flops or 1), 4))
        points["y"].append(100 * (1 - shortfall))
        points["z"].append(max(shortfall, floor))
        points["frontier"].append(frontier)
        points["recorded"].append(not result.rechecked)
        points["hover"].append(_hover(models[number].label, result))
    return {
        "models": [html.escape(model.label) for model in models],
        "strategies": [html.escape(name) for name in strategies],
        "points": points,
        "floor": floor,
    }


def _floor(results: Sequence[Result]) -> float:
    """A power of ten below every positive shortfall: where the logarithmic axis puts zero."""
    positive = [float(r.shortfall) for r in results if r.shortfall]
    exponent = math.floor(math.log10(max(min(positive, default=1.0), 1e-290)))
    return float(10.0 ** (exponent - 1))


def _hover(label: str, result: Result) -> str:
    """Lines of the label a point shows, in the plotting library's small HTML."""
    lines = [f"<b>{html.escape(label)}</b>", html.escape(result.strategy)]
    if result.bound is not None:
        lines.append(f"bound {percent_down(result.bound)}")
    if result.correct is not None and result.total is not None and result.total < 10**15:
        lines.append(f"{grouped(result.correct)} of {grouped(result.total)} inputs")
    if not result.rechecked:
        lines.append("recorded, not re-checked")
    lines.append(f"2<sup>{power_of_two(result.flops)}</sup> = {grouped(result.flops)} flops")
    return "<br>".join(lines)
