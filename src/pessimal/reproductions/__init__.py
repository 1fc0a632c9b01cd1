"""Published tables and figures, one command each.

Contents:
    interface.py — what a reproduction is.
    record.py — its numbers as dataclasses, written to JSON and read back.
    swept.py — what a finished sweep left.
    run.py — sweep, numbers, tables, figures, in that order.
    max_of_k/ — tables and figures about models that take the largest of k tokens.
    modular/ — figures about models of addition modulo p.
    transfer.py, backdoor.py — from the shipped models, without a sweep.
    tasks.py — trains its own models.
    tables.py, drawing.py — Markdown, CSV, LaTeX; SVG.
    statistics.py — sums over models that tables print.
"""

from typing import Any

from pessimal.reproductions.backdoor import Backdoor
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.max_of_k.ablations import CircuitAblations
from pessimal.reproductions.max_of_k.counting_frontier import CountingFrontier
from pessimal.reproductions.max_of_k.faithfulness import Faithfulness
from pessimal.reproductions.max_of_k.gap_histograms import GapHistograms
from pessimal.reproductions.max_of_k.improvements import Improvements
from pessimal.reproductions.max_of_k.lengths import BoundVersusFlops, UnexplainedDimensions
from pessimal.reproductions.max_of_k.main_table import MainTable
from pessimal.reproductions.max_of_k.matrices import Matrices
from pessimal.reproductions.max_of_k.percentiles import Percentiles
from pessimal.reproductions.max_of_k.qk_residual import ErrorLadder, ResampledResiduals
from pessimal.reproductions.max_of_k.singular_ratio import SingularRatio
from pessimal.reproductions.modular.modular_addition import ModularAdditionProgress
from pessimal.reproductions.modular.training_length import TrainingLength
from pessimal.reproductions.run import reproduce
from pessimal.reproductions.tasks import Tasks
from pessimal.reproductions.transfer import Transfer

__all__ = ["REPRODUCTIONS", "AbstractReproduction", "ReproductionError", "reproduce"]

REPRODUCTIONS: dict[str, AbstractReproduction[Any]] = {
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
