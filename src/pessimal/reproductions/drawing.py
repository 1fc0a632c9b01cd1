"""Figures as SVG with one look; needs the extra `paper`.

Contents:
    figure — axes to draw on, saved when done.
    panels — several axes side by side.
    picture — several matrices as heat maps.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pessimal.reproductions.interface import ReproductionError


@contextmanager
def figure(path: Path, title: str, x: str, y: str) -> Iterator[Any]:
    """Axes of a figure; written to `path` on leaving, the same bytes every time.

    Raises:
        ReproductionError: matplotlib is not installed.
    """
    with _canvas(path, (6.4, 4.2)) as canvas:
        axes = canvas.add_subplot()
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(alpha=0.25)
        yield axes


@contextmanager
def panels(path: Path, titles: Sequence[str], x: str, y: str) -> Iterator[list[Any]]:
    """As `figure`, one panel per title, with a common vertical axis."""
    with _canvas(path, (3.4 * len(titles), 3.8)) as canvas:
        grid = canvas.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for axes, title in zip(grid, titles, strict=True):
            axes.set(title=title, xlabel=x)
            axes.grid(alpha=0.25)
        grid[0].set_ylabel(y)
        yield list(grid)


@contextmanager
def _canvas(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """An empty figure, saved on leaving."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise ReproductionError("figures need the extra `paper`: pip install 'pessimal[paper]'") from None
    with mpl.rc_context({"svg.hashsalt": "pessimal", "font.size": 9, "svg.fonttype": "none"}):
        canvas = Figure(figsize=size, layout="constrained")
        yield canvas
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, dpi=50, metadata={"Date": None} if path.suffix == ".svg" else None)


def picture(path: Path, matrices: Mapping[str, Float[np.ndarray, "a b"]], columns: int = 3) -> None:
    """Heat maps, zero in white, each with its own scale; written to `path`."""
    rows = -(-len(matrices) // columns)
    with _canvas(path, (3.2 * columns, 2.9 * rows)) as canvas:
        for place, (name, matrix) in enumerate(matrices.items()):
            axes = canvas.add_subplot(rows, columns, place + 1)
            limit = float(np.abs(matrix).max()) or 1.0
            shown = axes.imshow(matrix, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
            axes.set_title(name, fontsize=8)
            canvas.colorbar(shown, ax=axes)
