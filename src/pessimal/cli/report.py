"""`pessimal report`: a run folder to one self-contained page."""

import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from pessimal.cli.fields import Count, Files, Switch
from pessimal.cli.files import require_outputs
from pessimal.cli.terminal import VERIFIED, UnreadableError, print_json, say, show
from pessimal.kernel.verdict import Verdict
from pessimal.run_folders import RECHECK_OPS, collect, recheck
from pessimal.runs.outputs import PAGE, Output, OutputError

# Of models in a message.
NAMED = 4


@dataclass(frozen=True)
class Report:
    """Draw a run folder as one offline HTML page, checking its certificates first, those in the ledger again."""

    folder: tyro.conf.Positional[Path]
    """run folder: results.jsonl, or certificates with their weights"""
    out: Path = Path("report.html")
    """the page; `-` is stdout"""
    force: Switch = False
    """write over a file that holds something else"""
    weights: Files = ()
    """weights file of certificates in the folder; may be repeated"""
    recheck_ops: Count = RECHECK_OPS
    """predicted operations spent on checking again what the ledger lists; the rest is marked on the page"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Check what is new, then draw."""
        from pessimal.report import render

        if not self.folder.is_dir():
            there = os.path.lexists(self.folder)
            raise UnreadableError(f"{self.folder} {'is no folder' if there else 'does not exist'}")
        page = Output("--out", self.out, PAGE)
        aside = require_outputs(self, [page])
        fresh: set[str] = set()

        def tell(name: str, verdict: Verdict) -> None:
            fresh.add(name)
            say(f"{name}: {verdict.line()}" + (f" ({verdict.detail})" if verdict.detail else ""))

        collect(self.folder, self.weights, tell)
        again = recheck(self.folder, self.weights, fresh=fresh, max_ops=self.recheck_ops)
        for sentence in again.differing:
            say(f"pessimal: {sentence}; the page shows what was checked")
        if again.without_weights:
            names = ", ".join(again.without_weights[:NAMED]) + " and more" * (len(again.without_weights) > NAMED)
            say(f"pessimal: not re-checked for want of weights: the proofs about {names}; --weights names their files")
        try:
            render(self.folder, self.out, again.rows)
        except OSError as error:
            if error.filename == str(self.out):
                raise OutputError(f"{page}: {error.strerror}") from None
            raise
        show(str(self.out), aside=aside)
        verified = len(again.rows) - again.rejected
        rejected = f"{again.rejected} certificates rejected, " if again.rejected else ""
        show(f"{verified} proofs re-checked, {rejected}{again.recorded} recorded, not re-checked", aside=aside)
        if self.json:
            counts = {"rechecked": verified, "rejected": again.rejected, "recorded": again.recorded}
            print_json({"report": str(self.out), **counts, "differing": len(again.differing)})
        return VERIFIED
