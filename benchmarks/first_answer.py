"""Is the first answer the best one of its length? For every shipped model, against every strategy on its own.

    python benchmarks/first_answer.py [--published] [STEM ..]

prints the first answer, its seconds, and the best of the others within the same budget; ends with 1 if one is better.
"""

import sys
import time
from pathlib import Path

import pessimal as ps
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.proving import covering
from pessimal.proving.words import make_strategy
from pessimal.report.numbers import nearest
from pessimal.spec.claim import decimal_down

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def rivals(weights, task, budget, *, published):
    """Proofs of every strategy that has one within a budget, by name."""
    names = [*covering(kind_of_attention(weights.architecture)), *(ps.PUBLISHED if published else ())]
    found = {}
    for name in names:
        try:
            found[name] = ps.prove(weights, task, make_strategy(name, [], budget), budget=budget)
        except ps.Rejected:
            continue
    return found


def main():
    published = "--published" in sys.argv
    stems = [word for word in sys.argv[1:] if not word.startswith("--")]
    worse = 0
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        if stems and path.stem not in stems:
            continue
        weights = ps.load_weights(path)
        task, _ = ps.task_of(weights)
        begun = time.process_time()
        first = ps.best(weights, task)
        seconds = nearest(time.process_time() - begun, ".1f")
        others = rivals(weights, task, first.budget, published=published)
        name, other = max(others.items(), key=lambda item: item[1].claim.correct)
        better = other.claim.correct > first.proof.claim.amount
        worse += better
        print(
            f"{path.stem}: {first.proof.strategy} {decimal_down(first.proof.claim.value)}"
            f" {first.proof.cost.flops} of {first.budget} flops, {seconds} CPU-s;"
            f" {len(others)} alone, best {name} {decimal_down(other.claim.value)}{' BETTER' if better else ''}",
            flush=True,
        )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
