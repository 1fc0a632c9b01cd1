"""Run a reproduction: its sweep (or what is missing of it), then results.json, tables and figures from that file.

Contents:
    reproduce — the whole chain.
    draw — its last step, from results.json alone.
    find_config — the configurations that come with the repository.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.record import RecordError
from pessimal.reproductions.swept import Swept, swept_row
from pessimal.reproductions.tables import write_table
from pessimal.runs import RunFolder, provenance, write_atomic
from pessimal.runs.config import read_config
from pessimal.sweeps import CONFIG, MODELS, checkpoint_paths, rows_of, sweep

RESULTS = "results.json"
# Longer results are written without line breaks.
PRETTY = 60_000


def find_config(stem: str, folder: Path = AbstractReproduction.configs) -> Path:
    """`<folder>/<stem>.toml`, beside the package or in the current folder.

    Raises:
        ReproductionError: it is in neither place.
    """
    for root in (Path(__file__).resolve().parents[3], Path()):
        path = root / folder / f"{stem}.toml"
        if path.is_file():
            return path
    raise ReproductionError(
        f"{folder / stem}.toml comes with a clone of the repository and is not here; --config names one"
    )


def reproduce(
    reproduction: AbstractReproduction[Any],
    config: Path,
    out: Path,
    *,
    engine: str = "local",
    workers: int = 2,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> list[Path]:
    """Run what is missing of the sweep, then write results, tables and figures; returns the files.

    Args:
        reproduction: which one.
        config: sweep configuration; its ledger lies beside it in `runs/<stem>` and is shared by all reproductions.
        out: where the files go.
        engine: `local` or `dask`.
        workers: worker processes.
        scheduler: address of a Dask scheduler.
        progress: called with (proofs done, proofs asked for).
    """
    if reproduction.needs_sweep:
        stems = reproduction.others if config.stem == reproduction.sweep else ()
        found = []
        for path in (config, *(config.with_name(f"{stem}.toml") for stem in stems)):
            folder = path.parent / "runs" / path.stem
            run = sweep(path, folder, engine=engine, workers=workers, scheduler=scheduler, progress=progress)
            asked = read_config(path)
            checkpoints = checkpoint_paths(asked, path)
            rows = tuple(map(swept_row, rows_of(asked, run.ledger()).values()))
            values = _singular_values(run, checkpoints)
            found.append(Swept(rows, values, run.whole_file(CONFIG) or {}, checkpoints, path))
        swept = replace(found[0], others=tuple(found[1:]))
    else:
        shipped = sorted((config.parents[2] / "weights").glob("max*_v64_seed*.safetensors"))
        swept = Swept((), {}, {}, shipped, config)
    results = reproduction.results(swept)
    record = {
        "reproduction": reproduction.name,
        "question": reproduction.question,
        "config": swept.config,
        "provenance": provenance(),
        "results": results.record(),
    }
    path = out / RESULTS
    text = json.dumps(record, indent=1, allow_nan=False)
    if len(text) > PRETTY:
        text = json.dumps(record, allow_nan=False, separators=(",", ":"))
    write_atomic(path, f"{text}\n".encode())
    return [path, *draw(reproduction, out)]


def draw(reproduction: AbstractReproduction[Any], out: Path) -> list[Path]:
    """Tables and figures from `results.json` alone.

    Raises:
        ReproductionError: there is no such file, it is another reproduction's, or its numbers cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads((out / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ReproductionError(f"{out.name} holds no {RESULTS}") from None
    if record.get("reproduction") != reproduction.name:
        raise ReproductionError(f"{out.name}/{RESULTS} is of {record.get('reproduction')!r}, not {reproduction.name!r}")
    try:
        results = reproduction.kind.read(record.get("results"))
    except RecordError as error:
        raise ReproductionError(f"{out.name}/{RESULTS}: {error}") from None
    paths: list[Path] = []
    for stem, table in reproduction.tables(results).items():
        paths += write_table(table, out, stem)
    return paths + reproduction.figures(results, out)


def _singular_values(run: RunFolder, checkpoints: list[Path]) -> dict[str, tuple[float, ...]]:
    """What the sweep recorded of each model's EQKE, in the order of the names."""
    found = {}
    for stem in sorted(path.stem for path in checkpoints):
        record = run.whole_file(f"{MODELS}/{stem}.json")
        if record is not None:
            found[stem] = tuple(map(float, record["eqke_singular_values"]))
    return found
