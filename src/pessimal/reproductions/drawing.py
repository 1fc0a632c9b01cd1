"""Figures as SVG with one look; needs the extra `paper`.

Contents:
    figure — axes to draw on, saved when done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pessimal.reproductions.interface import ReproductionError


@contextmanager
def figure(path: Path, title: str, x: str, y: str) -> Iterator[Any]:
    """Axes of a figure; written to `path` on leaving, the same bytes every time.

    Raises:
        ReproductionError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise ReproductionError("figures need the extra `paper`: pip install 'pessimal[paper]'") from None
    with mpl.rc_context({"svg.hashsalt": "pessimal", "font.size": 9, "svg.fonttype": "none"}):
        canvas = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = canvas.add_subplot()
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(alpha=0.25)
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, metadata={"Date": None})
