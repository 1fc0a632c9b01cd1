"""`pessimal report`: a run folder to one self-contained page."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from pessimal import api
from pessimal.cli.files import require_outputs
from pessimal.cli.terminal import VERIFIED, print_json, say, show
from pessimal.runs.outputs import PAGE, Output, OutputError


@dataclass(frozen=True)
class Report:
    """Draw a run folder as one offline HTML page, checking its certificates first if they are not in the ledger."""

    folder: tyro.conf.Positional[Path]
    """run folder: results.jsonl, or certificates with their weights"""
    out: Path = Path("report.html")
    """the page; `-` is stdout"""
    force: bool = False
    """write over a file that holds something else"""
    weights: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """weights file of certificates in the folder; may be repeated"""
    json: bool = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Check what is new, then draw."""
        from pessimal.report import render

        page = Output("--out", self.out, PAGE)
        aside = require_outputs(self, [page])
        api.collect(self.folder, self.weights, lambda name, verdict: say(f"{name}: {verdict.line()}"))
        try:
            render(self.folder, self.out)
        except OSError as error:
            if error.filename == str(self.out):
                raise OutputError(f"{page}: {error.strerror}") from None
            raise
        show(str(self.out), aside=aside)
        if self.json:
            print_json({"report": str(self.out)})
        return VERIFIED
