"""The trusted checker: certificate bytes and weights in, verdict out.

Nothing outside `spec` and `kernel` can make a false claim pass. Hints come from anywhere and may hold anything.

From the bottom up, each room knows the ones above it in this list only (import contract in `pyproject.toml`).

Contents:
    rejection.py — the closed list of reasons.
    arithmetic/ — how the operations of a rule are carried out; the only place that decides rounding.
    cost.py — proof length, by running a rule over shapes or in closed form.
    hints.py — options and arrays of a certificate, read into typed numbers.
    certificate.py — strict decoder of the container.
    model/ — weights to the tables that theorems speak of.
    strata/ — sets of sequences: what they are, how many, what they weigh.
    terms/ — lower bounds of the terms of the separable margin.
    counting/ — bounds of the weight of wrong sequences from terms.
    rules/ — one theorem per file: tables and hints to a bound on the weight of the wrong sequences.
    verdict.py — a verified claim, or the reason why nothing is verified.
    check.py — decode, bound the cost, run the rule, compare with the claim: the only place that says VERIFIED.
"""
