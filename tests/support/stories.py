"""Random words about tables, with the arrays that they need."""

import numpy as np

VALUES = {"rank": lambda rng, shape: rng.integers(1, min(shape) + 1), "periodic": lambda rng, shape: rng.integers(1, shape[1] + 1),
          "column": lambda rng, shape: rng.integers(shape[1]), "shift": lambda rng, shape: rng.integers(-max(shape), max(shape) + 1)}  # fmt: skip


def random_word(rng, path, shape, word, *, value=None, shared=None):
    """Options and arrays that say `word` of a table; `shared`: whether a number for all rows replaces one for each."""
    rows, columns = shape
    shared = bool(rng.integers(2)) if shared is None else shared
    if word in VALUES and value is None:
        value = str(VALUES[word](rng, shape))
    each = (1, 1) if shared else (rows, 1)
    sign = 1
    if word == "linear" and value is None and rng.integers(2):
        value = str(rng.choice(["up", "down"]))
        sign = {"up": 1, "down": -1}[value]
    size = 2.0 ** rng.integers(-20, 20)
    direction = -1 if word == "falling" or (word == "monotone" and rng.integers(2)) else 1
    needed = {
        "array": {"array": shape},
        "rank": {"left": (rows, int(value or 1)), "right": (int(value or 1), columns)} if word == "rank" else {},
        "linear": {"slope": each},
        "same": {"row": (1, columns)},
        "threshold": {"step": each},
        "periodic": {"pattern": (1 if shared else rows, int(value or 1))} if word == "periodic" else {},
    }
    arrays = {name: rng.normal(size=of) * size for name, of in needed.get(word, {}).items()}
    if word == "linear" and value:
        arrays["slope"] = sign * np.abs(arrays["slope"])
    if word in ("rising", "falling", "monotone"):
        arrays = {
            "gain": np.abs(rng.normal(size=(rows, 1))),
            "profile": direction * np.cumsum(np.abs(rng.normal(size=(1, columns)))).reshape(1, -1) * size,
        }
    return {path: f"{word}={value}" if value else word}, {f"{path}_{name}": array for name, array in arrays.items()}
