"""The files that a command line names.

Contents:
    inputs_of — what a command reads, by the words of a message.
    require_outputs — refuse outputs before the work.
    require_one_stdin — refuse two inputs from standard input.
    what_it_is — what a file is that is not what it should be.
"""

from pathlib import Path
from typing import Any

from pessimal.cli.terminal import UnreadableError
from pessimal.conversion.first_bytes import SAFETENSORS, recognise
from pessimal.inputs import is_file_name
from pessimal.runs.inputs import STDIN, read_at_most, shown
from pessimal.runs.outputs import CERTIFICATE, HEAD, Output, OutputError, require_writable, takes_stdout
from pessimal.runs.own_files import require_no_part
from pessimal.spec import Uniform


def inputs_of(command: Any) -> dict[str, Path]:
    """The files that a command reads.

    Args:
        command: with some of the fields `certificate`, `weights`, `task`, `distribution`.
    """
    found: dict[str, Path] = {}
    certificate, weights = getattr(command, "certificate", None), getattr(command, "weights", None)
    task, distribution = getattr(command, "task", None), getattr(command, "distribution", None)
    if certificate is not None:
        found["the certificate"] = certificate
    if isinstance(weights, Path):
        found["the weights file" if certificate is None else "the weights file (--weights)"] = weights
    for path in weights if isinstance(weights, tuple) else ():
        found[f"the weights file (--weights {path})"] = path
    if task is not None and is_file_name(task):
        found["the file of --task"] = Path(task)
    if distribution is not None and str(distribution) != Uniform.name:
        found["the file of --distribution"] = distribution
    return found


def require_outputs(command: Any, outputs: list[Output]) -> bool:
    """Refuse outputs that would destroy something or cannot be written; whether one of them is standard output.

    Args:
        command: with the fields `force`, if it prints JSON `json`, and if it reads a run folder `folder`.
        outputs: what it will write.

    Raises:
        OutputError: one sentence.
        ValueError: the outputs and the object of `--json` want the same place.
    """
    folder = getattr(command, "folder", None)
    for output in outputs if folder is not None else ():
        require_no_part(output, folder)
    require_writable(outputs, inputs_of(command), force=command.force)
    aside = [output for output in outputs if takes_stdout(output.path)]
    if aside and getattr(command, "json", False):
        raise ValueError(f"{aside[0]} and --json both want standard output")
    return bool(aside)


def require_one_stdin(command: Any) -> None:
    """Refuse two inputs from standard input.

    Raises:
        UnreadableError: one sentence.
    """
    try:
        require_writable([], inputs_of(command))
    except OutputError as error:
        raise UnreadableError(str(error)) from None


def what_it_is(path: Path) -> str | None:
    """What a file is by its first bytes, in words; None of what is not known, and of standard input.

    Files are easily swapped, and what a reader says of another kind does not name it.
    """
    if str(path) == STDIN:
        return None
    try:
        head = read_at_most(path, HEAD) if path.is_file() else b""
    except OSError:
        return None
    if CERTIFICATE.fits(head):
        return f"{shown(path)} is a certificate, not weights"
    kind = recognise(head)
    if kind is None or (kind == SAFETENSORS and b'"data_offsets"' not in head[8:]):
        return None
    return f"{shown(path)} is {kind.name}, not a certificate"
