"""Pictures of the matrices of one model: QK and OV circuits, positions, direct path, singular vectors of EQKE.

Contents:
    Matrices — the reproduction.
    MatrixRows — its numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pessimal.analysis.faithfulness import model_parts
from pessimal.inputs import load_weights
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import picture
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.search.sub_cubic import Workbench

SELECTED = "max4_v64_seed123"
DIGITS = 3


@dataclass(frozen=True)
class MatrixRows(Rows):
    """The circuits of one model, rounded.

    Attributes:
        model: file stem.
        matrices: by name, row by row.
        singular_values: of EQKE.
    """

    model: str
    matrices: Mapping[str, tuple[tuple[float, ...], ...]]
    singular_values: tuple[float, ...]


class Matrices(AbstractReproduction[MatrixRows]):
    """The selected seed of the literature."""

    kind = MatrixRows
    name: ClassVar[str] = "matrices"
    question: ClassVar[str] = "What do the circuits of a trained model look like?"
    needs_sweep: ClassVar[bool] = False

    def results(self, swept: Swept) -> MatrixRows:
        """Every matrix, rounded, and the singular values of EQKE."""
        path = next((path for path in swept.checkpoints if path.stem == SELECTED), None)
        if path is None:
            raise ReproductionError(f"{SELECTED}.safetensors is not among the shipped weights")
        p = model_parts(Workbench(load_weights(path)))
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
        rounded = {name: tuple(map(_rounded, table)) for name, table in tables.items()}
        return MatrixRows(SELECTED, rounded, _rounded(s))

    def tables(self, results: MatrixRows) -> dict[str, Table]:
        """Ranges of the matrices."""
        rows = []
        for name, values in results.matrices.items():
            table = np.array(values)
            rows.append(
                (name, " x ".join(map(str, table.shape)), *(nearest(end, ".2f") for end in (table.min(), table.max())))
            )
        return {
            "matrices": Table(f"Matrices of {results.model}", ("matrix", "shape", "least", "greatest"), tuple(rows))
        }

    def figures(self, results: MatrixRows, folder: Path) -> list[Path]:
        """One page with all of them."""
        path = folder / "matrices.svg"
        picture(path, {name: np.array(values) for name, values in results.matrices.items()})
        return [path]


def _rounded(row: Float[np.ndarray, " n"]) -> tuple[float, ...]:
    return tuple(np.round(row, DIGITS).tolist())
