"""What the headline theorems rest on, compared with formal/assumptions.txt.

    formal_assumptions.py [--write] INSTANCE ...     instances compiled in formal/build, by module name

The file has groups of axioms of Coq's library, each with its members, and for every theorem the groups that it uses.
A theorem that rests on anything else, on another group or on fewer, fails the comparison.
"""

import re
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

FORMAL = Path(__file__).resolve().parents[1] / "formal"
LISTED = FORMAL / "assumptions.txt"
HEADLINES = {
    "TableForm": ("table_form", "separable"),
    "PositionMinima": ("position_minima", "box_unique"),
    "ClassSizes": ("class_size", "certified_boxes_count"),
    "PureSequences": ("pure_sequences", "class_count", "cubic_count"),
    "MaxRowDiff": ("max_row_diff", "max_row_diff_around", "max_row_diff_convex"),
    "MeanDiff": ("sign_aware", "chord", "published_is_no_bound"),
    "StratumSums": ("pass_sum", "wrong_by_stratum"),
    "ExponentialMoment": ("moment_bound",),
    "GridCounting": ("grid_count",),
    "Enumeration": ("search_counts", "right_of_stratum_counts"),
    "Exponential": ("exp_below_correct", "exp_above_correct"),
    "Tables": ("weights_correct",),
    "CheckPositionMinima": ("right_by_position_minima_correct",),
    "CheckEnumeration": ("right_by_enumeration_correct",),
    "CheckSums": ("right_by_sums_correct",),
}
# An axiom belongs to the first group whose pattern its name matches.
GROUPS = {
    "classical reals": r"ClassicalDedekindReals\.sig_(forall|not)_dec|"
    r"FunctionalExtensionality\.functional_extensionality_dep",
    "primitive integers": r"(PrimInt63|Uint63)\.\w+",
}
CLOSED, BEGIN = "Closed under the global context", "Axioms:"


def axioms(printed: str) -> list[str]:
    """Names in the output of one `Print Assumptions`: those at the start of a line."""
    if CLOSED in printed:
        return []
    names = re.findall(r"^([A-Za-z_][\w.']*)(?= *:|$)", printed.split(BEGIN, 1)[1], flags=re.MULTILINE)
    return sorted(set(names))


def printed(theorems: list[str]) -> dict[str, list[str]]:
    """Axioms of theorems by their full names; nothing is imported, so that axioms have their full names too."""
    source = FORMAL / "build" / "Printed.v"
    modules = dict.fromkeys(name.rsplit(".", 1)[0] for name in theorems)
    lines = [*(f"Require {one}." for one in modules), *(f"Print Assumptions {one}." for one in theorems)]
    source.write_text("\n".join(lines) + "\n", encoding="ascii")
    folders = ["-Q", str(FORMAL / "theories"), "Pessimal", "-Q", str(FORMAL / "build"), "Instances"]
    text = subprocess.run(["coqc", *folders, str(source)], capture_output=True, text=True, check=True).stdout
    parts = re.findall(rf"{CLOSED}|{BEGIN}(?:(?!{BEGIN}|{CLOSED}).)*", text, flags=re.DOTALL)
    return dict(zip(theorems, map(axioms, parts), strict=True))


def grouped(found: dict[str, list[str]]) -> str:
    """The text of the list; an axiom of no group stands with its theorem."""
    members: dict[str, set[str]] = {group: set() for group in GROUPS}
    theorems = []
    for name, some in found.items():
        used = []
        for axiom in some:
            group = next((g for g, pattern in GROUPS.items() if re.fullmatch(pattern, axiom)), None)
            used.append(group or axiom)
            members.setdefault(group or axiom, set()).add(axiom)
        theorems.append(f"{name}: {', '.join(dict.fromkeys(used)) or 'none'}\n")
    groups = [f"[{group}]\n" + "".join(f"{axiom}\n" for axiom in sorted(members[group])) for group in GROUPS]
    return "\n".join([*groups, "[theorems]\n" + "".join(theorems)])


def main(arguments: list[str]) -> int:
    """Compare, or write the list; the exit code is whether it differs."""
    theorems = [f"Pessimal.{module}.{name}" for module, names in HEADLINES.items() for name in names]
    theorems += [f"Instances.{name}.{name.lower()}" for name in arguments if name != "--write"]
    text = grouped(printed(theorems))
    if "--write" in arguments:
        LISTED.write_text(text, encoding="ascii")
        return 0
    print(text, end="")
    difference = list(unified_diff(LISTED.read_text().splitlines(), text.splitlines(), "listed", "found", lineterm=""))
    print("\n".join(difference), file=sys.stderr)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
