"""Time and memory of the main job, each measurement in a process of its own.

    python benchmarks/speed.py [--reference DIR] [--runs 3]

Prints a table of medians and writes `benchmarks/results.json`. The reference column is CPU seconds of the published
implementation on the same kind of machine, from the JSON files beside the reference models.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pessimal as ps
from pessimal.runs import provenance

ROOT = Path(__file__).resolve().parents[1]
K100 = ROOT / "weights" / "max100_v64_seed0.safetensors"
OPTIONS = {K100: {"rival": "centred", "position": "each", "near": 64}}
K20, K10, K5, K4 = (ROOT / "weights" / f"max{k}_v64_seed50.safetensors" for k in (20, 10, 5, 4))

# What is measured: label, strategy, model, which half, limit in seconds, reference CPU seconds.
CASES = [
    ("brute force, K = 4, prove", "brute-force", K4, "prove", 10, 130),
    ("brute force, K = 4, check", "brute-force", K4, "check", 10, 130),
    ("cubic, K = 4, prove", "cubic", K4, "prove", 1, 18),
    ("cubic, K = 4, check", "cubic", K4, "check", 1, 18),
    ("cubic, K = 20, prove", "cubic", K20, "prove", 5, 114),
    ("cubic, K = 20, check", "cubic", K20, "check", 5, 114),
    ("exponential moment, K = 4, check", "exponential-moment", K4, "check", 1, None),
    ("exponential moment, K = 5, check", "exponential-moment", K5, "check", 1, None),
    ("exponential moment, K = 10, check", "exponential-moment", K10, "check", 1, None),
    ("exponential moment, K = 20, check", "exponential-moment", K20, "check", 1, None),
    ("exponential moment, K = 100, prove", "exponential-moment", K100, "prove", 300, None),
    ("exponential moment, K = 100, check", "exponential-moment", K100, "check", 300, None),
    ("position minima, K = 4, check", "position-minima", K4, "check", None, None),
]


def one(strategy: str, model: Path, half: str) -> dict[str, float]:
    """Seconds and peak memory of one proof or check, in this process."""
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    if half == "prove":
        begun = time.perf_counter()
        ps.prove(weights, task, ps.STRATEGIES[strategy](**OPTIONS.get(model, {})))
    else:
        certificate = ROOT / "certificates" / f"{model.stem}.{strategy}.cert"
        begun = time.perf_counter()
        if not ps.check(certificate, weights).verified:
            raise SystemExit("the certificate does not verify")
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def training() -> dict[str, float]:
    """Seconds and peak memory of training eight Max-of-4 seeds with the published recipe."""
    from pessimal.train import TrainConfig, train_max_of_k

    begun = time.perf_counter()
    train_max_of_k(TrainConfig(), list(range(8)))
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measured(words: list[str], runs: int) -> list[dict[str, float]]:
    """The same measurement in several fresh processes."""
    command = [sys.executable, __file__, "--one", *words]
    return [json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs)]


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs="+")
    words = parser.parse_args()
    if words.one == ["train"]:
        print(json.dumps(training()))
        return
    if words.one:
        print(json.dumps(one(words.one[0], Path(words.one[1]), words.one[2])))
        return
    rows = []
    cases = [(label, [strategy, str(model), half], limit, ref) for label, strategy, model, half, limit, ref in CASES]
    for label, arguments, limit, reference in [*cases, ("training, eight Max-of-4 seeds", ["train"], 30, None)]:
        runs = measured(arguments, words.runs)
        seconds = statistics.median(run["seconds"] for run in runs)
        peak = max(run["peak_mib"] for run in runs)
        ratio = None if reference is None else round(reference / seconds)
        rows.append({"what": label, "seconds": round(seconds, 3), "peak_mib": round(peak), "limit_s": limit,
                     "reference_cpu_s": reference, "ratio": ratio})  # fmt: skip
        print(f"{label:<36} {seconds:7.2f} s  {peak:6.0f} MiB  limit {limit or '-':>4}  reference/ours {ratio or '-'}")
    results = {"rows": rows, "runs": words.runs, "provenance": provenance()}
    (ROOT / "benchmarks" / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
