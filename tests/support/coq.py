"""Running Coq on the text of an instance, against the compiled theories of `formal/`."""

import shutil
import subprocess
from pathlib import Path

THEORIES = Path(__file__).resolve().parents[2] / "formal" / "theories"


def missing(theory):
    """Why a test of a theory cannot run; empty if it can."""
    if shutil.which("coqc") is None:
        return "coqc is not installed"
    return "" if (THEORIES / f"{theory}.vo").exists() else "formal/theories is not compiled: run make formal"


def coqc(folder, text):
    file = folder / "Instance.v"
    file.write_text(text)
    command = ["coqc", "-Q", str(THEORIES), "Pessimal", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
