"""Published tables and figures, one command each.

Contents:
    interface.py — what a reproduction is.
    run.py — sweep, numbers, tables, figures, in that order.
    groups.py — the rows of the published tables.
    main_table.py, lengths.py, singular_ratio.py, percentiles.py, counting_frontier.py — from the ledger
        alone.
    qk_residual.py, gap_histograms.py, faithfulness.py, ablations.py, improvements.py — from the models as well.
    transfer.py, matrices.py, backdoor.py — from the shipped models, without a sweep.
    tasks.py — trains its own models.
    training_length.py, modular_addition.py — from runs of modular addition (modular_runs.py), trained where missing.
    tables.py, drawing.py — Markdown, CSV, LaTeX; SVG.
"""

from pessimal.reproductions.ablations import CircuitAblations
from pessimal.reproductions.backdoor import Backdoor
from pessimal.reproductions.counting_frontier import CountingFrontier
from pessimal.reproductions.faithfulness import Faithfulness
from pessimal.reproductions.gap_histograms import GapHistograms
from pessimal.reproductions.improvements import Improvements
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.lengths import BoundVersusFlops, UnexplainedDimensions
from pessimal.reproductions.main_table import MainTable
from pessimal.reproductions.matrices import Matrices
from pessimal.reproductions.modular_addition import ModularAdditionProgress
from pessimal.reproductions.percentiles import Percentiles
from pessimal.reproductions.qk_residual import ErrorLadder, ResampledResiduals
from pessimal.reproductions.run import reproduce
from pessimal.reproductions.singular_ratio import SingularRatio
from pessimal.reproductions.tasks import Tasks
from pessimal.reproductions.training_length import TrainingLength
from pessimal.reproductions.transfer import Transfer

__all__ = ["REPRODUCTIONS", "AbstractReproduction", "ReproductionError", "reproduce"]

REPRODUCTIONS: dict[str, AbstractReproduction] = {
    one.name: one
    for one in (
        MainTable(),
        BoundVersusFlops(),
        UnexplainedDimensions(),
        SingularRatio(),
        GapHistograms(),
        ErrorLadder(),
        ResampledResiduals(),
        Faithfulness(),
        CircuitAblations(),
        Improvements(),
        Transfer(),
        Matrices(),
        Percentiles(),
        Tasks(),
        Backdoor(),
        CountingFrontier(),
        TrainingLength(),
        ModularAdditionProgress(),
    )
}
