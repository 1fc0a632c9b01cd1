"""Proving: run a strategy and its rule, state the claim, encode the certificate. Nothing here is trusted.

Contents:
    registry.py — the strategies by name, and which to use when none is named.
    proof.py — run the rule, state the claim, encode the certificate.
    cautious.py — arithmetic that decides with a hair to spare.
    frontier.py — the best of all strategies within a budget.
    best.py — the best of all, the budget left open.
    deadline.py — time for a search.
    plugins.py — strategies of other people.
    words.py — strategies and numbers as people write them.
    suggestions.py — what somebody may have meant.
    applicable.py — which strategies make a claim about a task.
"""

from pessimal.proving.best import Best, best, prove_within
from pessimal.proving.frontier import BUDGETS, Frontier, within
from pessimal.proving.plugins import strategy
from pessimal.proving.proof import Proof, prove
from pessimal.proving.registry import STRATEGIES, covering, default_strategy, known_strategies

__all__ = [
    "BUDGETS",
    "STRATEGIES",
    "Best",
    "Frontier",
    "Proof",
    "best",
    "covering",
    "default_strategy",
    "known_strategies",
    "prove",
    "prove_within",
    "strategy",
    "within",
]
