"""Every mutant of the trusted code, found in its syntax trees.

Classes of mutation:
    comparison — each operator moved to its neighbour, `in` and `is` negated.
    rounding — outward steps dropped or turned round, lower and upper ends, minima and maxima, floors and ceilings.
    off-by-one — `e + 1` and `e - 1` dropped; constants in comparisons, ranges, slices, powers, shifts and limits moved.
    constant — every other integer constant moved by one (axes, indices, starting values); a sample.
    sign — `+` and `-` between terms (kernel only), unary minus, `and` and `or`, `not`, `all` and `any`; a sample.
    step — digest parts, record entries, refusals, calls made for their effect, parts of conditions and `except` dropped.

Annotations, docstrings, f-strings, and what stands inside `raise` are left alone: they reach no verdict.
"""

import ast
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "pessimal"
SAMPLED = {"constant": 25, "sign": 50}  # per cent
LEFT_OUT = {"kernel/arithmetic/counting.py", "kernel/cost.py"}
COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}  # fmt: skip
# Which way a constant on the right of the operator moves, so that it does not repeat the neighbouring operator.
MOVES = {ast.Lt: -1, ast.LtE: 1, ast.Gt: 1, ast.GtE: -1}
PAIRS = (
    ("min", "max"), ("minimum", "maximum"), ("cumulative_min", "cumulative_max"), ("_minimum", "_maximum"),
    ("floor", "ceil"), ("up", "down"), ("_lower_end", "_upper_end"),
)  # fmt: skip
SWAPS = {a: b for one, two in PAIRS for a, b in ((one, two), (two, one))}
ENDS = {"lo": "hi", "hi": "lo"}
QUANTIFIERS = {"all": "any", "any": "all"}
REFUSALS = {"_malformed", "_container", "_refuse_number"}
SILENT = {
    "Rejected",
    "WeightsError",
    "ArchitectureError",
    "TaskError",
    "ValueError",
    "TypeVar",
    "frompyfunc",
    "progress",
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        kind: class of mutation.
        file: path below `src/pessimal`.
        line: line number.
        change: `before -> after`, with a number if the line has the same change twice.
        text: the line, without indentation.
        source: the whole changed file.
    """

    kind: str
    file: str
    line: int
    change: str
    text: str
    source: str

    @property
    def key(self) -> str:
        """Survives edits elsewhere in the file."""
        return f"{self.file} | {self.text} | {self.change}"


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _integer(node: ast.AST) -> int | None:
    """The value of an integer constant, perhaps negative."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _integer(node.operand)
        return None if inner is None else -inner
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def _refuses(node: ast.stmt) -> bool:
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value.func) in REFUSALS
    return called or isinstance(node, ast.Raise)


class Finder(ast.NodeVisitor):
    """Collects (kind, start, end, replacement, shown node) over the bytes of one file."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.raw = source.encode()
        lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line.encode()))
        self.edits: list[tuple[str, int, int, str, ast.AST]] = []
        self.bounds: set[ast.AST] = set()  # constants that bound something
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Slice):
                self.bounds |= {node.lower, node.upper, node.step} - {None}
            elif isinstance(node, ast.Call) and _name(node.func) in {"range", "arange", "clip", "nextafter"}:
                self.bounds |= set(node.args)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
                self.bounds.add(node.right)
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                self.bounds |= set(ast.walk(statement.value))
        self.visit(tree)

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: ast.AST) -> str:
        begin, end = self.span(node)
        return self.raw[begin:end].decode()

    def replace(self, kind: str, node: ast.AST, new: str, shown: ast.AST | None = None) -> None:
        self.edits.append((kind, *self.span(node), new, shown or node))

    # What is left alone.

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts for people."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Texts for people; dropping the whole is decided at the `if`."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.args.defaults, *(d for d in node.args.kw_defaults if d), *node.body):
            self.visit(part)

    # comparison

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for i, op in enumerate(node.ops):
            old, new = COMPARISONS[type(op)]
            begin, end = self.span(sides[i])[1], self.span(sides[i + 1])[0]
            between = self.raw[begin:end].decode()
            self.edits.append(("comparison", begin, end, between.replace(old, new, 1), node))
            for side, sign in ((sides[i + 1], 1), (sides[i], -1)):
                value = _integer(side)
                if value is not None and (sign == 1 or i == 0):
                    move = MOVES.get(type(op), 1)
                    step = sign * move if type(op) in MOVES else 1
                    self.replace("off-by-one", side, str(value + step), node)
        for side in sides:
            if _integer(side) is None:
                self.visit(side)

    # rounding and quantifiers

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name in SILENT:
            return
        if name == "reshape" and any((_integer(side) or 0) < 0 for side in node.args):
            self.visit(node.func)  # NumPy takes every negative side as the unknown one
            return
        if name in {"up", "down"}:
            self.replace("rounding", node, f"({self.text(node.args[0])})")
        if name == "nextafter":
            self.replace("rounding", node, f"({self.text(node.args[0])})")
        if name in {"lower", "upper"} and not node.args and self.file.endswith("arb.py"):
            self._rename(node.func, {"lower": "upper", "upper": "lower"}, "rounding", node)
        if isinstance(node.func, ast.Name) and name == "floor":
            self.replace("rounding", node, f"-floor(-({self.text(node.args[0])}))")
        elif name in SWAPS:
            self._rename(node.func, SWAPS, "rounding", node)
        if isinstance(node.func, ast.Attribute) and _name(node.func.value) in SWAPS:
            self._rename(node.func.value, SWAPS, "rounding", node)  # np.minimum.accumulate, _minimum.reduce
        if name in QUANTIFIERS:
            self._rename(node.func, QUANTIFIERS, "sign", node)
        self.generic_visit(node)

    def _rename(self, func: ast.AST, names: dict[str, str], kind: str, shown: ast.AST) -> None:
        _, end = self.span(func)
        old = _name(func)
        self.edits.append((kind, end - len(old.encode()), end, names[old], shown))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in ENDS and _name(node.value) in {"self", "other", "p"}:
            self._rename(node, ENDS, "rounding", node)
        self.generic_visit(node)

    # off-by-one, signs, shifts

    def visit_BinOp(self, node: ast.BinOp) -> None:
        left, right = _integer(node.left), _integer(node.right)
        both, plus = (left, right) != (None, None), isinstance(node.op, ast.Add | ast.Sub)
        if plus and right is not None:
            self.replace("off-by-one", node, self.text(node.left))
            self.visit(node.left)
            return
        if plus and left is not None and isinstance(node.op, ast.Add):
            self.replace("off-by-one", node, self.text(node.right))
            self.visit(node.right)
            return
        if plus and not both and self.file.startswith("kernel/"):
            self._operator(node, "+-" if isinstance(node.op, ast.Add) else "-+")
        if plus and self.text(node.right) == "widening":
            self.replace("rounding", node, self.text(node.left))
        if isinstance(node.op, ast.RShift):
            self.replace("rounding", node, f"-(-({self.text(node.left)}) >> {self.text(node.right)})")
        if isinstance(node.op, ast.BitAnd | ast.BitOr) and "np.ndarray" not in self.text(node):  # no types
            for part in (node.left, node.right):
                self.replace("step", node, f"({self.text(part)})")
        if isinstance(node.op, ast.Pow) and right is not None:
            steps = (1, -1) if isinstance(node.left, ast.Constant) and type(node.left.value) is float else (1,)
            for step in steps:
                self.replace("off-by-one", node.right, str(right + step), node)
            self.visit(node.left)
            return
        self.generic_visit(node)

    def _operator(self, node: ast.BinOp, pair: str) -> None:
        begin, end = self.span(node.left)[1], self.span(node.right)[0]
        between = self.raw[begin:end].decode()
        self.edits.append(("sign", begin, end, between.replace(pair[0], pair[1], 1), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.op, ast.Add | ast.Sub):
            old, new = ("+=", "-=") if isinstance(node.op, ast.Add) else ("-=", "+=")
            begin, end = self.span(node.target)[1], self.span(node.value)[0]
            self.edits.append(("sign", begin, end, self.raw[begin:end].decode().replace(old, new, 1), node))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if _integer(node) is not None:
            self.visit_Constant(node)
            return
        if isinstance(node.op, ast.USub | ast.Not):
            self.replace("sign", node, f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant | ast.UnaryOp) -> None:
        value = _integer(node)
        if value is not None:
            kind = "off-by-one" if node in self.bounds else "constant"
            self.replace(kind, node, str(value + 1 if value >= 0 else value - 1))
        elif isinstance(node, ast.Constant) and type(node.value) is float and node.value > 1 and node.value % 1 == 0:
            self.replace("off-by-one", node, str(node.value + 1))

    # steps

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values[:-1], node.values[1:], strict=True):
            begin, end = self.span(left)[1], self.span(right)[0]
            between = self.raw[begin:end].decode()
            self.edits.append(("sign", begin, end, between.replace(old, new, 1), node))
        for i in range(len(node.values)):
            kept = [f"({self.text(value)})" for j, value in enumerate(node.values) if j != i]
            self.replace("step", node, f"({f' {old} '.join(kept)})")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and not _refuses(node) and _name(node.value.func) not in SILENT:
            self.replace("step", node, "pass")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        for statement in node.body:
            only = len(node.body) == 1 and not node.orelse and isinstance(statement, ast.Continue | ast.Return)
            if only or _refuses(statement):
                self.replace("step", statement, "pass")
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if isinstance(node.type, ast.Tuple):
            for i in range(len(node.type.elts)):
                kept = ", ".join(self.text(e) for j, e in enumerate(node.type.elts) if j != i)
                self.replace("step", node.type, f"({kept},)")
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        # records and closed lists of keys, not tables of numbers
        if node.keys and all(isinstance(key, ast.Constant) for key in node.keys):
            for i, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
                following = node.keys[i + 1] if i + 1 < len(node.keys) else None
                end = self.span(following)[0] if following is not None else self.span(value)[1]
                self.edits.append(("step", self.span(key)[0], end, "", key))
        self.generic_visit(node)


def _shown(finder: Finder, edit: tuple[str, int, int, str, ast.AST]) -> tuple[str, str]:
    """The shown node before and after the edit, on one line each."""
    _, begin, end, new, node = edit
    first, last = finder.span(node)
    first, last = min(first, begin), max(last, end)
    before = finder.raw[first:last].decode()
    after = (finder.raw[first:begin] + new.encode() + finder.raw[end:last]).decode()
    return tuple(" ".join(part.split()) or "(nothing)" for part in (before, after))  # type: ignore[return-value]


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """All mutants of one file that Python can compile, each source once."""
    finder = Finder(file, source)
    lines = source.splitlines()
    seen = {source}
    repeated: Counter[tuple[str, str]] = Counter()
    for edit in finder.edits:
        kind, begin, end, new, _ = edit
        mutated = (finder.raw[:begin] + new.encode() + finder.raw[end:]).decode()
        if mutated in seen:
            continue
        seen.add(mutated)
        try:
            compile(mutated, file, "exec", dont_inherit=True)
        except SyntaxError:
            continue
        line = finder.raw[:begin].count(b"\n") + 1
        before, after = _shown(finder, edit)
        change, text = f"{before} -> {after}", lines[line - 1].strip()
        repeated[change, text] += 1
        if repeated[change, text] > 1:
            change += f" ({repeated[change, text]})"
        yield Mutant(kind, file, line, change, text, mutated)


def trusted_sources() -> dict[str, str]:
    """Path below `src/pessimal` to text, of every file that is mutated."""
    found = {}
    for layer in ("spec", "kernel"):
        for path in sorted((PACKAGE / layer).rglob("*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            if name not in LEFT_OUT and path.name != "__init__.py":
                found[name] = path.read_text(encoding="utf-8")
    return found


def all_mutants() -> list[Mutant]:
    """Every mutant of every trusted file; of the classes in `SAMPLED` a part, chosen by a hash of the mutant."""
    found = [mutant for name, source in trusted_sources().items() for mutant in mutants_of(name, source)]
    return [m for m in found if m.kind not in SAMPLED or zlib.crc32(m.key.encode()) % 100 < SAMPLED[m.kind]]
