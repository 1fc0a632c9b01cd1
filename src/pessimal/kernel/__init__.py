"""The trusted checker: certificate bytes and weights in, verdict out.

Nothing outside `spec` and `kernel` can make a false claim pass. Hints come from anywhere and may hold anything.

Contents:
    certificate.py — strict decoder of the container.
    check.py — decode, bound the cost, run the rule, compare with the claim.
    rules/ — one theorem per file: tables and hints to a bound on the number of wrong sequences.
    tables.py — weights to the tables that the rules share.
    strata.py — sizes of the sets of sequences with a given query and target.
    arithmetic/ — how the operations of a rule are carried out; the only place that decides rounding.
    cost.py — proof length of every rule, in closed form.
    rejection.py — the closed list of reasons.
"""
