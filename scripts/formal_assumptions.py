"""What the headline theorems rest on, compared with formal/assumptions.txt.

    formal_assumptions.py [--write] INSTANCE ...     instances compiled in formal/build, by module name

The list names every axiom that Coq reports. A theorem that rests on anything else, or on less, fails the comparison.
"""

import re
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

FORMAL = Path(__file__).resolve().parents[1] / "formal"
LISTED = FORMAL / "assumptions.txt"
MODULES = (
    "Statement", "TableForm", "PositionMinima", "ClassSizes", "Exponential", "Tables", "CheckPositionMinima",
    "StratumSums", "ExponentialMoment", "GridCounting", "Margins", "Terms", "CheckStratum", "CheckSums",
)  # fmt: skip
HEADLINES = (
    "table_form", "separable", "position_minima", "box_unique", "class_size", "certified_boxes_count",
    "exp_below_correct", "exp_above_correct", "weights_correct", "right_by_position_minima_correct",
    "wrong_by_stratum", "pass_sum", "moment_bound", "grid_count", "problems_correct", "terms_correct",
    "right_by_sums_correct",
)  # fmt: skip
CLOSED = "Closed under the global context"


def axioms(printed: str) -> list[str]:
    """Names in the output of one `Print Assumptions`: those at the start of a line."""
    if CLOSED in printed:
        return ["none"]
    names = re.findall(r"^([A-Za-z_][\w.']*)(?= *:|$)", printed.split("Axioms:", 1)[1], flags=re.MULTILINE)
    return sorted(set(names))


def of_headlines() -> dict[str, list[str]]:
    """Axioms of the theorems of the development."""
    imports = f"From Pessimal Require Import {' '.join(MODULES)}.\n"
    found = {}
    for name in HEADLINES:
        source = FORMAL / "build" / "Printed.v"
        source.write_text(f"{imports}Print Assumptions {name}.\n", encoding="ascii")
        command = ["coqc", "-Q", str(FORMAL / "theories"), "Pessimal", str(source)]
        found[name] = axioms(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def main(arguments: list[str]) -> int:
    """Compare, or write the list; the exit code is whether it differs."""
    write = "--write" in arguments
    found = of_headlines()
    for name in arguments:
        if name != "--write":
            found[name] = axioms((FORMAL / "build" / f"{name}.v.assumptions").read_text())
    text = "".join(f"{name}\n" + "".join(f"  {axiom}\n" for axiom in some) for name, some in found.items())
    if write:
        LISTED.write_text(text, encoding="ascii")
        return 0
    print(text, end="")
    difference = list(unified_diff(LISTED.read_text().splitlines(), text.splitlines(), "listed", "found", lineterm=""))
    print("\n".join(difference), file=sys.stderr)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
