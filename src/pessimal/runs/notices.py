"""What a run has to tell the person who started it, though it goes on.

Such lines go through the logger `pessimal` at the level of a warning: a program may take them elsewhere, and without
any setting they stand on stderr.

Contents:
    notice — one line.
    notice_once — the same, once per process.
"""

import logging

_logger = logging.getLogger("pessimal")
_said: set[object] = set()


def notice(text: str) -> None:
    """Tell one line."""
    _logger.warning("pessimal: %s", text)


def notice_once(text: str, about: object) -> None:
    """Tell a line unless this process told one about the same before: a ledger is read more than once."""
    if about not in _said:
        _said.add(about)
        notice(text)
