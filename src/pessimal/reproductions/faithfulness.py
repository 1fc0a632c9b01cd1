"""What the usual evidence says, beside what is proved: ablations, sampling, chance.

Contents:
    Faithfulness — the reproduction.
"""

from fractions import Fraction
from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis.faithfulness import accuracies, clopper_pearson, model_parts, stratified_estimate
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.groups import best_per_model
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.main_table import summary
from pessimal.reproductions.tables import Table
from pessimal.strategies.sub_cubic import Workbench

SAMPLES = 20_000
PER_STRATUM = 50
COLUMNS = ("proved", "model", "mean ablation", "resample ablation", "interval low", "stratified estimate")


class Faithfulness(AbstractReproduction):
    """Ablation scores and estimates beside the bound."""

    name: ClassVar[str] = "faithfulness"
    question: ClassVar[str] = "What do ablations and sampling say of a model, and what of that is proved?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Per model: best sub-cubic bound, sampled accuracies, intervals, the exact accuracy where known."""
        best = best_per_model([row for row in swept.rows if "direct" in row], "correct")
        truth, found = swept.truth(), {}
        for path in swept.checkpoints:
            p = model_parts(Workbench(api.load_weights(path)))
            sampled = accuracies(p, SAMPLES)
            low, high = clopper_pearson(int(sampled["model"] * SAMPLES + 0.5), SAMPLES)
            share, half = stratified_estimate(p, PER_STRATUM)
            row = best.get(path.stem)
            found[path.stem] = {
                "proved": None if row is None else api.float_down(Fraction(int(row["correct"]), int(row["total"]))),
                "exact": truth[path.stem] / int(row["total"]) if row is not None and path.stem in truth else None,
                **sampled,
                "interval low": low,
                "interval high": high,
                "stratified estimate": share,
                "stratified half-width": half,
            }
        chance = 1 / swept.config["d_vocab"]
        return {"models": found, "samples": SAMPLES, "per_stratum": PER_STRATUM, "chance": chance, "worst_case": 0.0}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Means over models; the lines for chance and the worst case."""
        rows = []
        for column in (*COLUMNS, "exact"):
            values = [one[column] for one in results["models"].values() if one[column] is not None]
            s = summary(values)
            if s is not None:
                kind = "proof" if column in {"proved", "exact"} else "estimate, not a proof"
                text = down if kind == "proof" else _estimate
                spread = f"{text(s['mean'])} ± {_estimate(s['std'])}"
                rows.append((column, kind, spread, text(s["min"]), text(s["max"])))
        rows.append(("chance", "", _estimate(results["chance"]), "", ""))
        rows.append(("worst case", "", _estimate(results["worst_case"]), "", ""))
        title = f"Accuracy of {len(results['models'])} models: proved, sampled ({results['samples']:,} inputs), ablated"
        headings = ("what", "kind", "mean ± std", "least", "greatest")
        return {"faithfulness": Table(title, headings, tuple(rows))}


def _estimate(value: float) -> str:
    return nearest(value, ".4f")
