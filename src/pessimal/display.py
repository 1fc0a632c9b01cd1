"""Proofs, verdicts and weights as notebooks and consoles show them: a few lines, never their arrays.

The classes of verdicts and weights are part of what has to be believed, and know nothing of this: their way to be
shown is given to them from outside when `pessimal.api` is imported, and changes nothing that they say.

Contents:
    give_displays — set `__repr__` and `_repr_html_` of what people look at.
    text_of, html_of — what is shown.
"""

from html import escape

from pessimal.inputs import ConvertedWeights
from pessimal.kernel.verdict import NotVerified, Verified
from pessimal.proving import Proof
from pessimal.spec import Weights
from pessimal.spec.claim import decimal_down

DIGITS = 12
MANY = 10**20
STYLE = "text-align:left;padding:0 .8em 0 0"

Shown = Proof | Verified | NotVerified | Weights


def give_displays() -> None:
    """Set `__repr__` and `_repr_html_`; a class that is derived from one of these keeps its own name."""
    for kind in (Proof, Verified, NotVerified, Weights, ConvertedWeights):
        kind.__repr__ = text_of  # type: ignore[assignment, method-assign]
        kind._repr_html_ = html_of  # type: ignore[union-attr]


def text_of(shown: Shown) -> str:
    """One line."""
    words = ", ".join(f"{name}: {value}" for name, value in _facts(shown))
    return f"<{type(shown).__name__} {words}>"


def html_of(shown: Shown) -> str:
    """A small table."""
    rows = "".join(
        f'<tr><th style="{STYLE}">{escape(name)}</th><td style="{STYLE}">{escape(value)}</td></tr>'
        for name, value in _facts(shown)
    )
    return f"<table><caption>{escape(type(shown).__name__)}</caption><tbody>{rows}</tbody></table>"


def _facts(shown: Shown) -> list[tuple[str, str]]:
    if isinstance(shown, Weights):
        return _of_weights(shown)
    if isinstance(shown, NotVerified):
        return [("reason", str(shown.reason)), ("detail", shown.detail)]
    strategy = shown.strategy if isinstance(shown, Proof) else shown.certificate.strategy
    rule = shown.rule if isinstance(shown, Proof) else shown.certificate.rule
    size = len(shown.data) if isinstance(shown, Proof) else shown.n_bytes
    found = [("claim", _short(shown.claim.statement()))]
    if isinstance(shown, Verified):
        question = shown.question
        found += [("task", question.task.name), ("distribution", question.distribution.name)]
        found += [("weights", f"sha256:{shown.certificate.weights_sha256[:DIGITS]}")]
        worst = shown.worst_stratum
        if worst is not None:
            where = f"last token {worst.q}, right output {worst.y}"
            found.append(("lowest bound", f"{decimal_down(worst.accuracy)} at {where}"))
        found += [("assumed", "; ".join(map(str, shown.assumed)))] if shown.assumed else []
    # What a rule is called is worth a word where the strategy is called otherwise.
    found.append(("strategy", strategy if strategy == rule else f"{strategy} (rule {rule})"))
    return [*found, ("flops", f"{shown.cost.flops:,}"), ("bytes", f"{size:,}")]


def _of_weights(weights: Weights) -> list[tuple[str, str]]:
    shape = weights.architecture.shape
    sizes = {"k": shape.k, "d_vocab": shape.d_vocab, "d_model": shape.d_model, "heads": shape.n_heads}
    sizes |= {"d_head": shape.d_head} | ({"d_mlp": shape.d_mlp} if shape.d_mlp else {})
    found = [("sizes", " ".join(f"{name}={size}" for name, size in sizes.items()))]
    found += [("attention", weights.architecture.attention)]
    found += [("task", weights.metadata["task"])] if "task" in weights.metadata else []
    assumed = weights.architecture.assumed
    found += [("assumed", "; ".join(map(str, assumed)))] if assumed else []
    return [*found, ("sha256", weights.sha256[:DIGITS])]


def _short(statement: str) -> str:
    """A claim; numbers that fill lines give way to how long they are."""
    words = statement.split(" ")
    return " ".join(word if len(word) <= len(str(MANY)) * 2 + DIGITS else f"{word[:DIGITS]}..." for word in words)
