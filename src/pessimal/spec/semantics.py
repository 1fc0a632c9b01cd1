"""Which arithmetic a claim speaks about.

`real`: real arithmetic on the exact stored values. `float32`: every execution of the forward pass in float32 that the
assumptions below allow; `docs/float32.md` states them in full and derives the bound that covers them.

Contents:
    SEMANTICS — the names.
    EXP_ULPS, EXP_FLUSH, SHIFT — what is assumed of the softmax.
    require_known — refuses other names.
    assumptions — sentences for the reader of a claim.
"""

REAL, FLOAT32 = "real", "float32"
SEMANTICS = (REAL, FLOAT32)
# PyTorch's own vectorised exp is documented at 20 ulp and gives 0 below the smallest normal number, 2**EXP_FLUSH.
EXP_ULPS = 32
EXP_FLUSH = -126
# Largest distance between the number subtracted in the softmax and the largest score of the row (PyTorch: 0).
SHIFT = 64


def require_known(semantics: str) -> str:
    """The word itself if it is known, else `ValueError` with the words there are."""
    if semantics not in SEMANTICS:
        raise ValueError(f"semantics {semantics[:20]!r} is not one of {', '.join(SEMANTICS)}")
    return semantics


def assumptions(semantics: str) -> tuple[str, ...]:
    """What a claim with this semantics takes for granted about whoever runs the model; nothing for `real`."""
    if semantics != FLOAT32:
        return ()
    return (
        "float32: each operation is rounded to nearest or better, fused (FMA) or not; no TF32, no half precision",
        "float32: sums run in any order; matrix products are sums of products (nothing like Strassen's)",
        "float32: subnormal numbers are kept (no flush to zero)",
        f"float32: exp is within {EXP_ULPS} ulp, or within 2^{EXP_FLUSH} where its value is that small",
        f"float32: the softmax is exp, sum, division, after a shift within {SHIFT} of the row's largest score",
        "float32: the graph is embed; q, k, v; scores; softmax; pattern v; W_O; residual; W_U, in this factoring",
    )
