"""Run the tests against every mutant of the trusted code and write `score.json`.

    python tests/mutation/run.py [--only FILE] [--class CLASS] [--jobs N] [--retry] [--again TEXT]

pytest and the libraries are loaded once; every mutant is a forked child that imports the package from its own copy of
`src/` with one file changed. A mutant is killed when a test fails, the process dies, or time runs out. The tests of a
file come in stages, the quick ones first. Results go to `ledger.jsonl` (ignored by git), so a run can be
interrupted; a result is valid as long as the mutated file is. Survivors are either listed in `equivalent.toml` with
the reason why no false claim can pass, or a test is missing.
"""

import argparse
import ctypes
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
from mutants import Mutant, all_mutants  # noqa: E402

LEDGER, SCORE, EQUIVALENT = HERE / "ledger.jsonl", HERE / "score.json", HERE / "equivalent.toml"
MEMORY = 6 << 30
KERNEL, SPEC, CERTIFICATE = "tests/kernel/", "tests/spec/", "tests/certificate/test_tamper.py"
SOUND = KERNEL + "test_soundness.py"
READER = [SPEC + f"test_{name}.py" for name in ("weights", "malformed_weights", "reader_limits", "model")]
CHECK, ENVIRONMENT = KERNEL + "test_check.py", KERNEL + "test_float_environment.py"
ENCLOSURES = [KERNEL + f"test_{name}.py" for name in ("rounding", "dyadic", "exponential", "enclosures")]
TABLES, COST, DECODER, PLANTED = (
    KERNEL + "test_tables.py",
    KERNEL + "test_cost.py",
    KERNEL + "test_decoder.py",
    KERNEL + "test_planted_failures.py",
)
PERFECT = [f"{SOUND}::test_{name}" for name in (
    "a_perfect_model_is_certified_entirely", "a_perfect_model_is_certified_by_moments",
)]  # fmt: skip
EXACT = [f"{SOUND}::test_{name}" for name in (
    "brute_force_is_exact_on_every_architecture", "a_single_position_is_counted_exactly",
    "brute_force_is_exact_on_hostile_architectures", "a_single_output_has_no_rival",
)]  # fmt: skip
BOUNDS = [f"{SOUND}::test_{name}" for name in (
    "bounds_on_planted_models_are_sound", "bounds_on_planted_models_are_not_vacuous",
    "hintless_bounds_never_exceed_the_true_count",
)]  # fmt: skip
THEOREMS, COUNTING = KERNEL + "test_theorems.py", KERNEL + "test_counting_tasks.py"
FLOAT32, CONDITIONS = KERNEL + "test_float32.py", KERNEL + "test_modular_conditions.py"
SUB_CUBIC_THEOREM, SUB_CUBIC, HINTS = KERNEL + "sub_cubic", KERNEL + "test_sub_cubic.py", KERNEL + "test_hints.py"
DISTRIBUTIONS = KERNEL + "test_distributions.py"
ALL_RULES = [SOUND, PLANTED]
STAGES: tuple[tuple[str, list[list[str]]], ...] = (
    ("spec/architecture", [READER]),
    ("spec/weights", [READER]),
    ("spec/model", [[SPEC + "test_model.py"], [*EXACT, PLANTED]]),
    ("spec/machine", [[SPEC + "test_machine.py"]]),
    ("spec/tasks", [[SPEC + "test_machine.py", SPEC + "test_task_and_claim.py"]]),
    ("spec", [[SPEC + "test_task_and_claim.py"], [CHECK]]),
    ("kernel/certificate", [[CHECK, DECODER], [CERTIFICATE]]),
    ("kernel/verdict", [[CHECK, DECODER], [CERTIFICATE]]),
    ("kernel/check", [[ENVIRONMENT, CHECK, DECODER], [CERTIFICATE]]),
    ("kernel/rejection", [[DECODER, CHECK]]),
    ("kernel/arithmetic", [ENCLOSURES, [TABLES, CHECK, *BOUNDS]]),
    ("kernel/model/tables", [[TABLES], [*EXACT, CHECK]]),
    ("kernel/strata/strata", [[KERNEL + "test_strata.py"]]),
    ("kernel/strata/weighing", [[DISTRIBUTIONS], [COUNTING, KERNEL + "test_brute_force.py"]]),
    ("kernel/strata", [[KERNEL + "test_strata.py"], [COUNTING], [DISTRIBUTIONS]]),
    ("kernel/rules/interface", [[DECODER, CHECK, SUB_CUBIC_THEOREM], [CERTIFICATE]]),
    ("kernel/hints", [[HINTS, DECODER, CHECK, SUB_CUBIC_THEOREM], [CERTIFICATE]]),
    ("kernel/model/heads", [[THEOREMS, *PERFECT], [COUNTING], [COST], [FLOAT32]]),
    ("kernel/model/rounding", [[KERNEL + "test_rounding_radii.py"], [FLOAT32]]),
    ("kernel/counting/integers", [[KERNEL + "test_strata.py", KERNEL + "test_brute_force.py"], [COUNTING, *EXACT], [FLOAT32]]),
    ("kernel/rules/band", [[KERNEL + "test_band_margins.py"], [KERNEL + "test_band.py"]]),
    ("kernel/rules/modular/sparse_output", [[KERNEL + "test_sparse_output.py"], [CONDITIONS]]),
    ("kernel/rules/modular/key_frequency", [[KERNEL + "test_key_frequency.py"], [KERNEL + "test_quadrature.py"], [CONDITIONS]]),
    ("kernel/rules/modular/quadrature", [[KERNEL + "test_quadrature.py"], [KERNEL + "test_key_frequency.py"]]),
    ("kernel/arithmetic/trigonometry", [[KERNEL + "test_key_frequency.py"], [KERNEL + "test_quadrature.py"]]),
    ("kernel/model/folded", [[KERNEL + "test_folded.py"], [CONDITIONS], [KERNEL + "test_sparse_output.py"]]),
    ("kernel/model/attended", [[KERNEL + "test_attended.py"]]),
    ("kernel/model/logits", [[KERNEL + "test_logits.py"], [KERNEL + "test_folded.py"], [KERNEL + "test_attended.py"]]),
    ("kernel/model", [[TABLES], [*EXACT, CHECK], [COUNTING], [CONDITIONS]]),
    ("kernel/rules/exact", [[COUNTING], [COST, PLANTED], [FLOAT32]]),
    ("kernel/rules/grid_count", [[COUNTING], [COST, PLANTED]]),
    ("kernel/terms/builder", [[THEOREMS, *PERFECT], [COUNTING], [COST, DECODER]]),
    ("kernel/terms", [[THEOREMS, *PERFECT], [COUNTING], [COST, DECODER]]),
    ("kernel/rules/brute_force", [[KERNEL + "test_strata.py", KERNEL + "test_brute_force.py"], [*EXACT, CHECK], [COST, PLANTED]]),
    ("kernel/counting/undecided", [[KERNEL + "test_brute_force.py"], EXACT, [PLANTED], [FLOAT32]]),
    ("kernel/counting/polynomials", [[KERNEL + "test_band.py"], [KERNEL + "test_band_margins.py"]]),
    ("kernel/counting", [[COUNTING], [THEOREMS, *PERFECT], [CHECK, DECODER], [COST, PLANTED], [DISTRIBUTIONS], [FLOAT32]]),
    ("kernel/rules/published/sub_cubic", [[SUB_CUBIC_THEOREM], [SUB_CUBIC]]),
    ("kernel/rules", [[THEOREMS, *PERFECT], [CHECK, DECODER], ALL_RULES]),
)  # fmt: skip
MARKS = "not slow"
OPTIONS = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the libraries are loaded before pytest starts
FAST = [
    "-o",
    "addopts=--strict-markers --import-mode=importlib",
]  # no run-time shape checks: they are slow and can only catch more


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def stages_of(file: str) -> list[list[str]]:
    """The tests of a file, quick ones first."""
    return next(stages for prefix, stages in STAGES if file.startswith(prefix))


def preload() -> None:
    """Load what every child needs, but nothing of the package."""
    import beartype  # noqa: F401, PLC0415
    import flint  # noqa: F401, PLC0415
    import hypothesis.extra.numpy  # noqa: F401, PLC0415
    import jaxtyping  # noqa: F401, PLC0415
    import numpy as np  # noqa: F401, PLC0415
    import pytest  # noqa: F401, PLC0415
    import safetensors.numpy  # noqa: F401, PLC0415

    if any(name.split(".")[0] == "pessimal" for name in sys.modules):
        raise SystemExit("the package must not be loaded before the mutants are")


class NoShrinking:
    """Failing examples are not made smaller: one failure is enough."""

    def pytest_sessionstart(self) -> None:
        from hypothesis import Phase, settings  # noqa: PLC0415

        settings.register_profile("mutation", settings.get_profile("pessimal"), phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutation")


class FirstFailure:
    """Writes the name of the test, or file, that fails."""

    def __init__(self, report: Path) -> None:
        self.report = report

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.report.write_text(report.nodeid, encoding="utf-8")

    pytest_collectreport = pytest_runtest_logreport


def child(source: Path, tests: list[str], *, baseline: bool, marks: str, report: Path | None) -> None:
    """Never returns: exit code of pytest on a copy of the package."""
    os.setsid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # die with the parent
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.dont_write_bytecode = not baseline
    sys.path[:] = [str(source), *(p for p in sys.path if Path(p or ".").resolve() not in {ROOT / "src", HERE})]
    import pytest  # noqa: PLC0415

    plugins = [NoShrinking(), *([] if report is None else [FirstFailure(report)])]
    code = pytest.main([*OPTIONS, "-m", marks, *FAST, *tests], plugins=plugins)
    if code == 5 and marks != MARKS:
        code = 0  # no test of this file has these marks
    loaded = getattr(sys.modules.get("pessimal"), "__file__", None)
    if loaded is not None and not Path(loaded).is_relative_to(source):
        code = 99  # another copy of the package was tested
    os._exit(int(code))


def outcome(
    source: Path,
    tests: list[str],
    seconds: float,
    *,
    baseline: bool = False,
    marks: str = MARKS,
    report: Path | None = None,
) -> str:
    """`passed`, `failed`, `died`, or `timeout`; `report` is where the name of the test that fails is written."""
    pid = os.fork()
    if pid == 0:
        try:
            child(source, tests, baseline=baseline, marks=marks, report=report)
        finally:
            os._exit(70)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code in {4, 5, 99}:
                raise SystemExit(f"pytest could not run {tests}: exit code {code}")
            return "passed" if code == 0 else "failed" if code in {1, 2} else "died"
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


class Copy:
    """One copy of `src/`, in which one file at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.source = folder
        self.sound: set[tuple[str, ...]] = set()  # stages seen to pass without a mutation
        shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))

    def put(self, file: str, text: str) -> None:
        path = self.source / "pessimal" / file
        path.write_text(text, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def require_sound(self, tests: list[str], file: str, original: str) -> None:
        """The tests pass on the unchanged package, or nothing they say about a mutant counts."""
        if tuple(tests) in self.sound:
            return
        self.put(file, original)
        if outcome(self.source, tests, 900, baseline=True) != "passed":
            raise SystemExit(f"the tests fail without any mutation: {' '.join(tests)}")
        self.sound.add(tuple(tests))

    def verdict(self, mutant: Mutant) -> str:
        """`killed: ...` or `survived`."""
        stages = stages_of(mutant.file)
        path = self.source / "pessimal" / mutant.file
        original = path.read_text(encoding="utf-8")
        try:
            for number, tests in enumerate(stages):
                self.require_sound(tests, mutant.file, original)
                self.put(mutant.file, mutant.source)
                found = outcome(self.source, tests, 60 if number == 0 else 400)
                if found != "passed":
                    return f"killed: {found} in stage {number + 1}"
        finally:
            self.put(mutant.file, original)
        return "survived"


def identity(mutant: Mutant) -> str:
    """Changes when the mutated file changes."""
    return hashlib.sha256(f"{mutant.key}\n{mutant.source}".encode()).hexdigest()[:20]


def read_ledger() -> dict[str, dict[str, str]]:
    """The last result of every mutant."""
    if not LEDGER.is_file():
        return {}
    rows = [json.loads(line) for line in LEDGER.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row for row in rows}


def equivalents() -> dict[str, str]:
    """Key of a mutant to the reason why it is equivalent."""
    if not EQUIVALENT.is_file():
        return {}
    rows = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    return {f"{row['file']} | {row['line']} | {row['change']}": row["reason"] for row in rows}


def run(mutants: list[Mutant], jobs: int) -> None:
    """Judge mutants, one line and one ledger row each."""
    preload()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        first = Copy(Path(folder) / "src-0")
        if jobs == 1:
            judge_all(mutants, first)
            return
        workers = []
        for n in range(jobs):
            pid = os.fork()
            if pid == 0:
                judge_all(mutants[n::jobs], Copy(Path(folder) / f"src-{n + 1}"))
                os._exit(0)
            workers.append(pid)
        for pid in workers:
            os.waitpid(pid, 0)


def judge_all(mutants: list[Mutant], copy: Copy) -> None:
    """Mutants one after the other on one copy."""
    for number, mutant in enumerate(mutants, 1):
        begin = time.monotonic()
        verdict = copy.verdict(mutant)
        row = {"id": identity(mutant), "verdict": verdict, "seconds": round(time.monotonic() - begin, 1)}
        with LEDGER.open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(row | {"key": mutant.key}) + "\n")
        say(f"{number}/{len(mutants)} {row['seconds']:6.1f} s  {verdict}  {mutant.kind}"
            f"  {mutant.file}:{mutant.line}: {mutant.change}")  # fmt: skip


def write_score(mutants: list[Mutant]) -> None:
    """`score.json`, from the ledger; mutants not yet judged are left out and counted."""
    ledger, reasons = read_ledger(), equivalents()
    by_class: dict[str, Counter[str]] = {}
    survivors, total, killed, timeouts, missing = [], 0, 0, 0, 0
    for mutant in mutants:
        row = ledger.get(identity(mutant))
        if row is None:
            missing += 1
            continue
        dead = row["verdict"] != "survived"
        total, killed, timeouts = total + 1, killed + dead, timeouts + ("timeout" in row["verdict"])
        reason = reasons.get(mutant.key)
        what = "killed" if dead else "equivalent" if reason else "missed"
        by_class.setdefault(mutant.kind, Counter())[what] += 1
        if not dead:
            where = {"file": mutant.file, "line": mutant.line, "mutation": f"`{mutant.change}`"}
            survivors.append(where | {"reason": f"equivalent: {reason}" if reason else "a test is missing"})
    stale = sorted(set(reasons) - {m.key for m in mutants})
    missed = sum(row["reason"] == "a test is missing" for row in survivors)
    score = {
        "total": total, "killed": killed, "killed_by_timeout": timeouts, "equivalent": total - killed - missed,
        "missed": missed, "not_run": missing, "by_class": {k: dict(sorted(v.items())) for k, v in sorted(by_class.items())},
        "survivors": survivors,
    }  # fmt: skip
    SCORE.write_text(json.dumps(score, indent=1) + "\n", encoding="utf-8")
    say(f"{killed} of {total} killed, {score['equivalent']} equivalent, {missed} missed, {missing} not run")
    for key in stale:
        say(f"stale entry of equivalent.toml: {key}")


def main() -> int:
    """Run what is not in the ledger, then write the score; exit 1 if a mutant is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", help="files whose path starts so, such as kernel/check")
    parser.add_argument(
        "--class", dest="kind", default="", help="comparison, rounding, off-by-one, constant, sign or step"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--retry", action="store_true", help="run survivors again that equivalent.toml does not name")
    parser.add_argument("--limit", type=int, default=None, help="at most so many")
    options = parser.parse_args()
    mutants, ledger, reasons = all_mutants(), read_ledger(), equivalents()
    todo = []
    for mutant in mutants:
        row = ledger.get(identity(mutant))
        again = options.retry and row is not None and row["verdict"] == "survived" and mutant.key not in reasons
        if mutant.file.startswith(options.only) and options.kind in {"", mutant.kind} and (row is None or again):
            todo.append(mutant)
    os.chdir(ROOT)
    if todo:
        run(todo[: options.limit], options.jobs)
    write_score(mutants)
    return int(json.loads(SCORE.read_text(encoding="utf-8"))["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
