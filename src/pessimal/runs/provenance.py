"""Where a run came from: versions, commit, processor type and time. No host names, user names or paths.

Contents:
    provenance — one JSON-able dictionary.
"""

import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def provenance() -> dict[str, str | bool | None]:
    """Versions, processor type, commit and time of this process.

    Returns:
        `pessimal`, `python`, `numpy` (versions), `machine` (processor type such as `x86_64`), `system`,
        `commit` (of the checkout this code is tracked in, else null), `dirty` (tracked files differ from it)
        and `utc` (ISO 8601, seconds).
    """
    commit, dirty = _commit()
    return {
        "pessimal": _version("pessimal"),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "machine": platform.machine(),
        "system": platform.system(),
        "commit": commit,
        "dirty": dirty,
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout that tracks this very file; nothing for an installed package."""
    # An installed package may lie inside another repository: only a tracked source file names its commit.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, None
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return commit, None if status is None else bool(status)


def _git(*arguments: str) -> str | None:
    """Output of one git command in the folder of this file; None if git is absent or refuses."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
