"""Draw `docs/frontier.svg`: bound against proof length of the shipped Max-of-4 models, from `docs/frontier.json`.

python docs/frontier.py             draw the stored results
python docs/frontier.py --compute   prove everything again first (about ten minutes on one core)
"""

import json
import sys
from math import log2, log10
from pathlib import Path
from statistics import median

import pessimal as ps
from pessimal.report.numbers import nearest

HERE = Path(__file__).resolve().parent
RESULTS, PICTURE = HERE / "frontier.json", HERE / "frontier.svg"
BUDGETS = (20.5, 20.75, 23.0, 24.0, 25.0)
BAND_BUDGETS = (19.0, 19.5, 20.0, 20.5, 21.0, 22.0)
COLOURS = {
    "band": "#cc79a7",
    "exponential-moment": "#0072b2",
    "cubic": "#d55e00",
    "position-minima": "#009e73",
    "brute-force": "#555555",
}
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 22, 46
X_TICKS, X_RANGE = range(20, 33, 2), (18.7, 32.2)
Y_TICKS, Y_RANGE = ("0.5", "0.8", "0.9", "0.95", "0.99", "0.995", "0.999", "0.9995", "0.9999"), (0.8, 8e-5)


def compute() -> None:
    """Prove with every strategy and store what was certified; each certificate is checked."""
    rows = []
    for path in sorted((HERE.parent / "weights").glob("max4_*.safetensors")):
        weights = ps.load_weights(path)
        task, _ = ps.task_of(weights)
        strategies = [ps.Cubic(), ps.PositionMinima(), ps.BruteForce()]
        strategies += [ps.ExponentialMoment(budget=int(2**b)) for b in BUDGETS]
        strategies += [ps.Band(budget=int(2**b)) for b in BAND_BUDGETS]
        for strategy in strategies:
            proof = ps.prove(weights, task, strategy)
            if not ps.check(proof, weights).verified:
                raise SystemExit(f"{path.stem}: {strategy.name} does not check")
            row = {"model": path.stem, "strategy": proof.strategy, "budget": getattr(strategy, "budget", None)}
            row |= {"flops": proof.cost.flops, "correct": str(proof.claim.correct), "total": str(proof.claim.total)}
            rows.append(row)
            print(*row.values(), flush=True)
    RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")


def px(pixels: float) -> str:
    """A coordinate."""
    return nearest(pixels, ".1f")


def x_of(flops: float) -> float:
    """Pixels of a number of flops."""
    low, high = X_RANGE
    return LEFT + (log2(flops) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def y_of(bound: float) -> float:
    """Pixels of a bound, on a logarithmic scale of what is not certified."""
    low, high = (log10(value) for value in Y_RANGE)
    return HEIGHT - BOTTOM - (log10(1 - bound) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, *, anchor: str = "middle", extra: str = "") -> str:
    """One label."""
    return f'<text x="{px(x)}" y="{px(y)}" text-anchor="{anchor}" {extra}>{words}</text>'


def axes() -> list[str]:
    """Grid, ticks and titles."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    out = []
    for power in X_TICKS:
        x = x_of(2.0**power)
        out.append(f'<line x1="{px(x)}" y1="{TOP}" x2="{px(x)}" y2="{bottom}" class="grid"/>')
        out.append(text(x, bottom + 17, f'2<tspan dy="-5" font-size="9">{power}</tspan>'))
    for tick in Y_TICKS:
        y = y_of(float(tick))
        out.append(f'<line x1="{LEFT}" y1="{px(y)}" x2="{right}" y2="{px(y)}" class="grid"/>')
        out.append(text(LEFT - 8, y + 4, tick, anchor="end"))
    out.append(text((LEFT + right) / 2, HEIGHT - 8, "proof length (flops)"))
    middle = (TOP + bottom) / 2
    out.append(text(15, middle, "certified accuracy", extra=f'transform="rotate(-90 15 {px(middle)})"'))
    return out


def series(name: str, rows: list[dict[str, str | int]]) -> list[str]:
    """One strategy: a faint dot per model and budget, a solid one at the median over models of each budget."""
    colour = COLOURS[name]
    groups: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        if row["strategy"] == name:
            point = (float(row["flops"]), int(row["correct"]) / int(row["total"]))
            groups.setdefault(int(row["budget"] or 0), []).append(point)
    out, middles = [], []
    for _, points in sorted(groups.items()):
        out += [
            f'<circle cx="{px(x_of(flops))}" cy="{px(y_of(bound))}" r="3" fill="{colour}" opacity="0.3"/>'
            for flops, bound in points
        ]
        flops, bound = (median(values) for values in zip(*points, strict=True))
        middles.append((x_of(flops), y_of(bound)))
    if len(middles) > 1:
        path = " ".join(f"{px(x)},{px(y)}" for x, y in middles)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    out += [f'<circle cx="{px(x)}" cy="{px(y)}" r="5" fill="{colour}"/>' for x, y in middles]
    x, y = middles[-1]
    anchor, dx, dy = {"brute-force": ("end", -10, 4), "cubic": ("middle", 0, 24), "band": ("end", -12, -6)}.get(
        name, ("start", 10, 4)
    )
    out.append(text(x + dx, y + dy, name, anchor=anchor, extra=f'fill="{colour}" font-weight="bold"'))
    return out


def main() -> int:
    """Compute if asked, then draw."""
    if "--compute" in sys.argv[1:]:
        compute()
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    style = "text{font:12px sans-serif;fill:#333} .grid{stroke:#ddd;stroke-width:1}"
    style += "".join(f'text[fill="{colour}"]{{fill:{colour}}}' for colour in COLOURS.values())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    title = "<title>Certified accuracy against proof length for eight Max-of-4 models</title>"
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    body = [line for name in COLOURS for line in series(name, rows)]
    PICTURE.write_text("\n".join([head, title, f"<style>{style}</style>", ground, *axes(), *body, "</svg>", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
