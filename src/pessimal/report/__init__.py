"""Report: one self-contained HTML page drawn from the files of a run folder.

Knows result and circuit files and how to draw them. Reads no weights and no certificate, checks nothing and
computes no bound: every number on the page stands in a file, or was handed over by whoever checked it again; rows
that nobody did are marked.

Contents:
    page.py — `render`: files to page.
    results.py — rows of the ledger, parsed strictly, and how their numbers are written.
    chart.py — the bound-against-flops plot as plain data.
    maps.py — circuit files as heat maps.
    modular.py — the evidence of modular addition: circles, quadratures, spectra, logits.
    templates/ — the page, its style and its scripts.
    numbers.py — numbers as text.
"""

from pessimal.report.page import render
from pessimal.report.results import ReportError

__all__ = ["ReportError", "render"]
