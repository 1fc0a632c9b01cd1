"""Pictures of the matrices of one model: QK and OV circuits, positions, direct path, singular vectors of EQKE.

Contents:
    Matrices — the reproduction.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pessimal import api
from pessimal.analysis.faithfulness import model_parts
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import picture
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError, Swept
from pessimal.reproductions.tables import Table
from pessimal.strategies.sub_cubic import Workbench

SELECTED = "max4_v64_seed123"
DIGITS = 3


class Matrices(AbstractReproduction):
    """The selected seed of the literature."""

    name: ClassVar[str] = "matrices"
    question: ClassVar[str] = "What do the circuits of a trained model look like?"
    needs_sweep: ClassVar[bool] = False

    def results(self, swept: Swept) -> dict[str, Any]:
        """Every matrix, rounded, and the singular values of EQKE."""
        path = next((path for path in swept.checkpoints if path.stem == SELECTED), None)
        if path is None:
            raise ReproductionError(f"{SELECTED}.safetensors is not among the shipped weights")
        p = model_parts(Workbench(api.load_weights(path)))
        eqke = p.rank_one + p.rest
        u, s, w = np.linalg.svd(eqke)
        tables = {
            "EQKE": eqke,
            "EQKE less its rank-one part": p.rest,
            "EQKP": p.position_score,
            "EVOU": p.value,
            "EVOU less its diagonal": p.value - np.diag(p.value)[:, np.newaxis],
            "PVOU": p.position_value,
            "EU": p.direct,
            "first singular vectors of EQKE": np.stack([u[:, 0], w[0]]),
        }
        rounded = {name: np.round(table, DIGITS).tolist() for name, table in tables.items()}
        return {"model": SELECTED, "matrices": rounded, "singular_values": np.round(s, DIGITS).tolist()}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Ranges of the matrices."""
        rows = []
        for name, values in results["matrices"].items():
            table = np.array(values)
            rows.append(
                (name, " x ".join(map(str, table.shape)), *(nearest(end, ".2f") for end in (table.min(), table.max())))
            )
        return {
            "matrices": Table(f"Matrices of {results['model']}", ("matrix", "shape", "least", "greatest"), tuple(rows))
        }

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """One page with all of them."""
        path = folder / "matrices.svg"
        picture(path, {name: np.array(values) for name, values in results["matrices"].items()})
        return [path]
