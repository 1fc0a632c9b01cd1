"""Judge the mutants of `attack.toml`: every one takes a step out of a proof, and some test must notice.

    python tests/mutation/attack.py [--only TEXT] [--retry] [--limit N] [--against FILE ..]

`mutants.py` changes the trusted code in every small way that a syntax tree offers; the mutants here are what a person
would get wrong: a comparison weakened, an error term or a condition dropped, an entry forgotten. Each is applied to a
copy of the package, and the test files of its rule run one by one until a test fails: first without the marks `slow`
and `survey`, then those. Results go to `attack.json`, with the test that killed the mutant. A result is
valid as long as the mutant is: delete `attack.json` after changing tests in a way that may lose a kill. An `old` text
that does not stand exactly once in its file is an error: the mutant has to follow the code.

Contents:
    Change, HandMutant — what is replaced where.
    read_mutants, misfits — the file, and what no longer applies.
    judge — verdict and killer of one mutant.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from run import ROOT, Copy, outcome, preload, say  # noqa: E402

MUTANTS, RESULTS = HERE / "attack.toml", HERE / "attack.json"
# Marks of the tests, and seconds that one file may take.
STAGES = (("not slow and not survey", 300.0), ("slow or survey", 900.0))


@dataclass(frozen=True)
class Change:
    """A text of one file below `src/pessimal`, and what stands there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class HandMutant:
    """One mutant.

    Attributes:
        kind: what a person got wrong.
        changes: one, or more where one condition stands in two places.
        tests: files of the rule, relative to the repository.
        equivalent: why no false claim can pass, or empty.
    """

    kind: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    equivalent: str = ""

    @property
    def name(self) -> str:
        """One line: the first change."""
        first = self.changes[0]
        return f"{first.file}: {' '.join(first.old.split())} -> {' '.join(first.new.split()) or '(nothing)'}"

    @property
    def key(self) -> str:
        """Changes with the mutant."""
        said = [[one.file, one.old, one.new] for one in self.changes]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def path_of(name: str) -> str:
    """Where the tests of a name are: a file below `tests/`, or a folder."""
    return f"tests/{name}" if (ROOT / "tests" / name).is_dir() else f"tests/{name}.py"


def read_mutants() -> list[HandMutant]:
    """All of `attack.toml`."""
    found = []
    for row in tomllib.loads(MUTANTS.read_text(encoding="utf-8"))["mutant"]:
        parts = [row, *row.get("also", [])]
        changes = tuple(Change(part["file"], part["old"], part["new"]) for part in parts)
        tests = tuple(map(path_of, row["tests"]))
        found.append(HandMutant(row["kind"], changes, tests, row.get("equivalent", "")))
    return found


def misfits(mutants: list[HandMutant]) -> list[str]:
    """Sentences about texts that do not stand once in their file, about missing tests, and about repetitions."""
    found = []
    for mutant in mutants:
        for one in mutant.changes:
            count = (ROOT / "src" / "pessimal" / one.file).read_text(encoding="utf-8").count(one.old)
            if count != 1:
                found.append(f"{one.file}: {one.old!r} stands {count} times, not once")
        found += [f"{test} does not exist" for test in mutant.tests if not (ROOT / test).exists()]
    keys = Counter(mutant.key for mutant in mutants)
    return found + [f"twice: {mutant.name}" for mutant in mutants if keys[mutant.key] > 1]


def judge(mutant: HandMutant, copy: Copy, report: Path) -> tuple[str, str]:
    """Verdict and killer: the first test that fails with the mutant, and passes without it."""
    originals = {one.file: (copy.source / "pessimal" / one.file).read_text(encoding="utf-8") for one in mutant.changes}
    for marks, seconds in STAGES:
        for test in mutant.tests:
            try:
                for one in mutant.changes:
                    path = copy.source / "pessimal" / one.file
                    copy.put(one.file, path.read_text(encoding="utf-8").replace(one.old, one.new))
                report.unlink(missing_ok=True)
                found = outcome(copy.source, [test], seconds, marks=marks, report=report)
            finally:
                for file, text in originals.items():
                    copy.put(file, text)
            if found == "passed":
                continue
            killer = report.read_text(encoding="utf-8") if report.is_file() else test
            if outcome(copy.source, [killer], seconds, baseline=True, marks=marks) != "passed":
                raise SystemExit(f"{killer} fails without any mutation")
            return f"killed: {found}" + ("" if marks == STAGES[0][0] else ", slow or survey tests only"), killer
    return "survived", ""


def read_results() -> dict[str, dict[str, str]]:
    """By key."""
    if not RESULTS.is_file():
        return {}
    return {row["id"]: row for row in json.loads(RESULTS.read_text(encoding="utf-8"))}


def write_results(mutants: list[HandMutant], results: dict[str, dict[str, str]]) -> None:
    """In the order of the mutants; those of other mutants are dropped."""
    rows = [results[mutant.key] for mutant in mutants if mutant.key in results]
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    part.replace(RESULTS)


def judge_all(todo: list[HandMutant], mutants: list[HandMutant], *, record: bool) -> None:
    """One line each, and one row."""
    preload()
    results = read_results()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Copy(Path(folder) / "src")
        for number, mutant in enumerate(todo, 1):
            begin = time.monotonic()
            verdict, killer = judge(mutant, copy, Path(folder) / "killer")
            results[mutant.key] = {
                "id": mutant.key, "kind": mutant.kind, "mutant": mutant.name, "verdict": verdict, "by": killer,
            }  # fmt: skip
            if record:
                write_results(mutants, results)
            say(f"{number}/{len(todo)} {time.monotonic() - begin:6.1f} s  {verdict}  {mutant.name}  {killer}")


def summary(mutants: list[HandMutant]) -> int:
    """Say what lives; how many are neither killed nor equivalent."""
    results = read_results()
    judged = [(mutant, results[mutant.key]) for mutant in mutants if mutant.key in results]
    alive = [mutant for mutant, row in judged if row["verdict"] == "survived"]
    missed = [mutant for mutant in alive if not mutant.equivalent]
    killed = len(judged) - len(alive)
    say(f"{killed} of {len(judged)} killed, {len(alive) - len(missed)} equivalent, {len(missed)} missed,"
        f" {len(mutants) - len(judged)} not run")  # fmt: skip
    for mutant in missed:
        say(f"missed: {mutant.name}")
    for mutant, row in judged:
        if mutant.equivalent and row["verdict"] != "survived":
            say(f"called equivalent, but killed by {row['by']}: {mutant.name}")
    return len(missed)


def main() -> int:
    """Run what has no result, then say the score; exit 1 if a mutant is missed, 2 if one does not apply."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", help="mutants whose file or change contains this")
    parser.add_argument("--retry", action="store_true", help="run again what survived and is not called equivalent")
    parser.add_argument("--limit", type=int, default=None, help="at most so many")
    parser.add_argument(
        "--against", nargs="*", default=[], help="files or folders below tests/ to run instead; nothing is recorded"
    )
    options = parser.parse_args()
    mutants, results = read_mutants(), {} if options.against else read_results()
    if options.against:
        mutants = [replace(mutant, tests=tuple(map(path_of, options.against))) for mutant in mutants]
    wrong = misfits(mutants)
    if wrong:
        for sentence in wrong:
            say(f"error: {sentence}")
        return 2
    todo = []
    for mutant in mutants:
        row = results.get(mutant.key)
        again = options.retry and row is not None and row["verdict"] == "survived" and not mutant.equivalent
        if options.only in mutant.name and (row is None or again):
            todo.append(mutant)
    os.chdir(ROOT)
    if todo[: options.limit]:
        judge_all(todo[: options.limit], mutants, record=not options.against)
    return 0 if options.against else int(summary(mutants) > 0)


if __name__ == "__main__":
    sys.exit(main())
