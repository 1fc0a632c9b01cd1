"""Whether certificates are the same bytes everywhere: hash seeds, locales, interpreters, versions of what is installed.

Usage: python scripts/same_certificates.py [--lowest] [INTERPRETER ...]

The proofs of `PROOFS` are made and checked in processes of their own: in this environment under several hash seeds,
locales and numbers of threads; then with every INTERPRETER (a path, such as /usr/bin/python3.13), in a new virtual
environment with this package and the newest versions of what it needs, and with `--lowest` also with the lowest
versions that `pyproject.toml` allows; where these cannot be had for an interpreter, that is said. Prints one line a
process, and ends with 1 if two differ.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Model and strategy: searches in floats, exact searches, waves, LayerNorm, several heads, a budget.
PROOFS = (
    ("max4_v64_seed50", "band"),
    ("max4_v64_seed50", "exponential-moment"),
    ("max4_v64_seed104", "position-minima"),
    ("max4_v64_seed104", "cubic"),
    ("max4_v64_h2_seed0", "exponential-moment rival=centred position=each"),
    ("max4_v64_ln1_lnf_seed0", "exponential-moment rival=joint position=each"),
    ("modular-addition_p59_uniform_seed2", "key-frequency"),
    ("modular-addition_p59_uniform_seed0", "sparse-output"),
)
ENVIRONMENTS = {
    **{f"hash seed {seed}": {"PYTHONHASHSEED": seed} for seed in ("1", "4242", "random")},
    **{
        f"locale {name}": {"LC_ALL": name, "LANG": name, "PYTHONUTF8": "0"}
        for name in ("C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8")
    },
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
}


def prove() -> int:
    """In a process of its own: print the digest of every certificate, of its weights, and its verdict line."""
    import pessimal as ps  # noqa: PLC0415 - the other half of this script runs without the package

    lines = []
    for model, strategy in PROOFS:
        weights = ps.load_weights(ROOT / "weights" / f"{model}.safetensors")
        proof = ps.prove(weights, None, strategy)
        lines.append([model, strategy, hashlib.sha256(proof.data).hexdigest(), ps.check(proof, weights).line()])
    print(json.dumps(lines))
    return 0


def lowest(text: str) -> list[str]:
    """The lowest versions of the dependencies of a pyproject.toml, as requirements."""
    found = []
    for requirement in tomllib.loads(text)["project"]["dependencies"]:
        name, version = re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", requirement).groups()  # type: ignore[union-attr]
        found.append(f"{name}=={version}.*" if version.count(".") < 2 else f"{name}=={version}")
    return found


def run(python: Path | str, **environment: str) -> str:
    """What the proofs are in a new process."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), __file__, "--prove"],
        env={**os.environ, **threads, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def installed(python: str, folder: Path, requirements: list[str]) -> Path:
    """A new environment of an interpreter with this package."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--prefer-binary"]
    subprocess.run([*pip, str(ROOT), *requirements], check=True)
    return folder / "bin" / "python"


def elsewhere(python: str, requirements: list[str], which: str, first: str) -> bool:
    """Install and prove with another interpreter; whether it is what was found first, or cannot be installed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            there = installed(python, Path(folder) / "venv", requirements)
        except subprocess.CalledProcessError:
            print(f"      cannot be installed: {python}, {which}", flush=True)
            return bool(requirements)
        return report(f"{python}, {which}", run(there), first)


def report(called: str, found: str, first: str) -> bool:
    """Print a line; whether it is what was found first."""
    digest = hashlib.sha256(found.encode()).hexdigest()[:12]
    print(f"{'same ' if found == first else 'OTHER'} {digest}  {called}", flush=True)
    if found != first:
        for mine, other in zip(json.loads(first), json.loads(found), strict=True):
            if mine != other:
                print(f"      {mine[0]} {mine[1]}: {mine[2][:12]} {mine[3]}\n      here: {other[2][:12]} {other[3]}")
    return found == first


def main() -> int:
    """Every process; 1 if two differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("interpreters", nargs="*")
    parser.add_argument("--lowest", action="store_true", help="also with the lowest versions of what is needed")
    parser.add_argument("--prove", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.prove:
        return prove()
    first = run(sys.executable, PYTHONHASHSEED="0")
    same = [report(f"{sys.executable}, hash seed 0", first, first)]
    for called, environment in ENVIRONMENTS.items():
        same.append(report(called, run(sys.executable, **environment), first))
    for python in flags.interpreters:
        same.append(elsewhere(python, [], "newest versions", first))
        if flags.lowest:
            needed = lowest((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
            same.append(elsewhere(python, needed, "lowest versions", first))
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
