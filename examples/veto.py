"""A task that is not built in: `pessimal task examples/veto.py:veto --k 4 --d-vocab 16 --out veto.json`."""


def veto(tokens: tuple[int, ...]) -> int:
    """The largest token, but 0 if token 2 occurs."""
    return 0 if 2 in tokens else max(tokens)
