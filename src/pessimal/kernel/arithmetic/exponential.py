r"""exp in float64 with a proved error.

`numpy.exp` promises no error bound, so the kernel does not use it. For one float64 $x$, $|x| \le 700$:

1. $k = \mathrm{rint}(x/\ln 2)$, so $|k| \le 1010$. $C_1$ is $\ln 2$ rounded to 32 significant bits and
   $C_2$ the float64 nearest to $\ln 2 - C_1$. $kC_1$ has at most 42 bits: exact in float64.
   $|\ln 2 - C_1 - C_2| < 2^{-86}$, and $|kC_2| < 2^{-22}$.
2. $r = (x - kC_1) - kC_2$. Its exact value $\rho = x - k\ln 2$ has $|\rho| \le 0.3468$ (the quotient is rounded, which
   moves $k$ by one only within $2^{-40}$ of a half). $x - kC_1$ is smaller than 0.35, so rounding it costs at most
   $2^{-55}$ absolute; the product $kC_2$ costs $2^{-76}$, the last subtraction $2^{-55}$, the constant $2^{-76}$:
   $|r - \rho| \le 2^{-53.9}$. Hence $|e^r/e^\rho - 1| \le 2^{-53.8}$.
3. $e^r$ by Horner: $p_{15} = 1$, $p_{n-1} = 1 + (r\,p_n)/n$ for $n = 15, .., 1$. The truncation is at most
   $|r|^{16}/16!\cdot e^{|r|} < 2^{-68}$ absolute. With $u = 2^{-53}$ and $\delta_n$ the relative error of $p_n$,
   each step gives $\delta_{n-1} \le u + \kappa_n(\delta_n + 2.1u)$, $\kappa_n = |p_{n-1}-1|/p_{n-1}$, which is at most
   $0.42$ for $n = 1$ and $0.25$ for $n \ge 2$. So $\delta_n \le 2.1u$ for $n \ge 1$ and $\delta_0 \le 2.8u$.
4. Together the relative error of $p_0$ against $e^\rho$ is below $2^{-51}$. The result is widened by $2^{-49}$ on
   either side, which also covers the rounding of the widening itself.
5. Scaling by $2^k$ with $|k| \le 1010$ is exact: the result lies between $2^{-1011}$ and $2^{1011}$.

Outside $[-700, 700]$: $e^x < 2^{-1009}$ for $x < -700$ (enclosed by $[0, 2^{-1009}]$) and $e^x > 2^{1009}$
for $x > 700$ (enclosed by $[2^{1009}, \infty]$). NaN stays NaN. The same with all constants derived:
`docs/rounding.md#the-exponential`.

Contents:
    exp_enclosure — lower and upper bounds of exp, entrywise.
"""

import numpy as np
from jaxtyping import Float

LN2_HIGH = 2977044472 * 2.0**-32  # ln 2 rounded to 32 bits
LN2_LOW = -4.2009150726810846e-11  # float64 nearest to ln 2 - LN2_HIGH
INVERSE_LN2 = 1.4426950408889634
DEGREE = 15
WIDENING = 2.0**-49
LIMIT = 700.0
SMALL, LARGE = 2.0**-1009, 2.0**1009


def exp_enclosure(
    x: Float[np.ndarray, "*s"],
) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """Float64 bounds `lo <= exp(x) <= hi` for every entry of `x`.

    Soundness: module docstring. Cost to the checker: about 60 elementary operations per entry.
    """
    inside = np.clip(x, -LIMIT, LIMIT)
    k = np.rint(inside * INVERSE_LN2)
    r = (inside - k * LN2_HIGH) - k * LN2_LOW
    p = np.ones_like(r)
    for n in range(DEGREE, 0, -1):
        p *= r
        p /= n
        p += 1.0
    widening = p * WIDENING
    exponent = np.where(np.isnan(k), 0.0, k).astype(np.int64)
    lo = np.where(x < -LIMIT, 0.0, np.ldexp(p - widening, exponent))
    hi = np.where(x < -LIMIT, SMALL, np.ldexp(p + widening, exponent))
    lo = np.where(x > LIMIT, LARGE, lo)
    hi = np.where(x > LIMIT, np.inf, hi)
    return lo, hi
