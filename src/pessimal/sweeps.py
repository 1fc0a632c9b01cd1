"""Sweeps: every strategy on every model, resumable, on one machine or many.

A unit of work is one model: its strategies share tables, error bounds and attention extremes. The parent process alone
writes the ledger, one line per proof; a line is written once, whatever the number of workers, so the results do not
depend on it.

Contents:
    SweepUnit — one model and what is still to be proved about it.
    plan — configuration to units; everything that can be refused is refused here.
    checkpoint_paths — the files of its models.
    sweep — run what is missing.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pessimal import api
from pessimal.analysis.as_published import count_as_published
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.runs import RunFolder
from pessimal.runs.config import Complaints, SweepConfig, read_config, same_config
from pessimal.runs.executors import run_units
from pessimal.runs.folder import RunFolderError
from pessimal.runs.index import build_index
from pessimal.spec import MaxOfK, Overrides, TaskError, Weights
from pessimal.strategies import PUBLISHED, STRATEGIES, StrategyError, SubCubic, known_strategies
from pessimal.strategies.sub_cubic import workbench
from pessimal.strategies.words import make_strategy
from pessimal.train.seeds import parse_seeds

CONFIG = "sweep.json"
MODELS = "models"


@dataclass(frozen=True)
class SweepUnit:
    """One model of a sweep.

    Attributes:
        path: its checkpoint.
        strategies: names still to be proved.
        config: the sweep.
        out: folder for certificates.
    """

    path: Path
    strategies: tuple[str, ...]
    config: SweepConfig
    out: Path

    def __str__(self) -> str:
        """The model's name."""
        return self.path.stem


def plan(config_file: Path) -> tuple[SweepConfig, list[tuple[Path, tuple[str, ...]]]]:
    """Checkpoints and strategies of a configuration.

    Raises:
        ConfigError: with the line, before anything is computed.
    """
    config = read_config(config_file)
    complain = Complaints(config_file.name, config_file.read_text(encoding="utf-8"))
    for key, check in (
        ("k", lambda: MaxOfK(config.k, config.d_vocab)),
        ("seeds", lambda: parse_seeds(config.seeds)),
        ("strategies", lambda: strategy_names(config)),
        ("options", lambda: _require_options(config)),
    ):
        try:
            check()
        except ValueError as error:
            raise complain(key, str(error)) from None
    paths = checkpoint_paths(config, config_file)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise complain(
            "checkpoints",
            f"{len(missing)} of {len(paths)} checkpoints are missing, the first is {missing[0]}; train them with:"
            f" pessimal train {config.task or f'{MaxOfK.name} --k {config.k} --d-vocab {config.d_vocab}'}"
            f" --seeds {config.seeds} --out FOLDER",
        )
    for path in paths:
        weights = api.load_weights(path, Overrides())
        shape = weights.architecture.shape
        if (shape.k, shape.d_vocab) != (config.k, config.d_vocab):
            raise complain("k", f"{path.name} has k={shape.k}, d_vocab={shape.d_vocab}")
        try:
            api.task_of(weights, config.task or None)
        except TaskError as error:
            raise complain("task", f"{path.name}: {error}") from None
    return config, [(path, tuple(strategy_names(config))) for path in paths]


def checkpoint_paths(config: SweepConfig, config_file: Path) -> list[Path]:
    """Files of the models of a configuration, in the order of its seeds."""
    folder = config_file.parent / config.checkpoints
    return [folder / f"{config.stem}_seed{seed}.safetensors" for seed in parse_seeds(config.seeds)]


def strategy_names(config: SweepConfig) -> list[str]:
    """The strategies of a configuration, in order, each once; a name may be followed by NAME=VALUE options."""
    names: list[str] = []
    for word in config.strategies:
        for name in PUBLISHED if word == "published" else [word.lower()]:
            plain, *options = name.split() or [""]
            if plain not in STRATEGIES:
                raise StrategyError(f"unknown strategy {word!r}; known: published, {known_strategies()}")
            if options:
                make_strategy(plain, options)
            if name not in names:
                names.append(name)
    return names


def _require_options(config: SweepConfig) -> None:
    """Refuse options that the sub-cubic strategies do not have, or values they do not take."""
    known = SubCubic.option_names()
    for name in config.options:
        if name not in known:
            raise StrategyError(f"unknown option {name!r}; the sub-cubic strategies have {', '.join(known)}")
    for name in strategy_names(config):
        if name in PUBLISHED:
            PUBLISHED[name](**config.options)


def prove_unit(unit: SweepUnit) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of one model, and its record; runs in a worker."""
    weights = api.load_weights(unit.path)
    rows = [_row(unit, weights, name) for name in unit.strategies]
    values: list[float] = []
    if PUBLISHED.keys() & set(unit.strategies):
        values = workbench(weights).eqke_singular_values().tolist()
    record = {
        "weights": unit.path.stem,
        "weights_sha256": weights.sha256,
        "eqke_singular_values": values[:8],
        "metadata": dict(weights.metadata),
    }
    return rows, record


def _row(unit: SweepUnit, weights: Weights, asked: str) -> dict[str, Any]:
    """Prove, check, and describe one strategy on one model."""
    config = unit.config
    task, _ = api.task_of(weights, config.task or None)
    name, *words = asked.split()
    kind = STRATEGIES[name]
    options = config.options if name in PUBLISHED else {}
    extra: dict[str, Any] = {"weights": unit.path.stem, "options": dict(options)}
    if words:
        extra["asked"] = asked
    if issubclass(kind, SubCubic):
        parts = (kind.direct, kind.attention, kind.attention_error)
        extra |= dict(zip(("direct", "attention", "attention_error"), parts, strict=True))
        if config.as_published:
            extra["correct_as_published"] = str(count_as_published(workbench(weights), *parts))
    begun = time.monotonic()
    try:
        proof = api.prove(weights, task, make_strategy(name, words) if words else kind(**options))
    except Rejected as refusal:
        row = api.refused_row(weights, refusal, strategy=name, seconds=0.0)
        return {**row, **extra, "prove_seconds": 0.0}
    proved = time.monotonic()
    verdict = api.check(proof, weights)
    checked = time.monotonic()
    if config.certificates:
        stem = ".".join([unit.path.stem, name, *(word.replace("=", "-").replace("^", "-") for word in words)])
        api.save_certificate(proof, unit.out / "certificates" / f"{stem}.cert")
    row = api.result_row(weights, verdict, seconds=checked - proved)
    return {**row, **extra, "prove_seconds": round(proved - begun, 3)}


def open_run(config: SweepConfig, out: Path) -> tuple[RunFolder, set[tuple[str, str]]]:
    """The folder of a sweep and the (model, strategy) pairs it already holds.

    Raises:
        RunFolderError: the folder belongs to another sweep, another version, or something else.
    """
    run = RunFolder(out)
    stored = run.whole_file(CONFIG)
    if stored is None:
        if run.results():
            raise RunFolderError(f"{out.name} holds results that no sweep of this version wrote; choose another folder")
        run.write_whole_file(CONFIG, config.record())
        return run, set()
    reason = same_config(stored, config)
    if reason is not None:
        raise RunFolderError(f"{out.name} holds a sweep {reason}; choose another folder")
    return run, {(row["weights"], row.get("asked", row["strategy"])) for row in run.results()}


def sweep(
    config_file: Path | str,
    out: Path | str,
    *,
    engine: str = "local",
    workers: int = 2,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> RunFolder:
    """Prove and check every strategy of a configuration on every model; what the folder already holds is kept.

    Args:
        config_file: see `runs.config.SweepConfig`.
        out: results folder.
        engine: `local` or `dask`.
        workers: worker processes.
        scheduler: address of a Dask scheduler.
        progress: called with (proofs done, proofs asked for).

    Raises:
        ConfigError: the configuration cannot be run.
        RunFolderError: the folder belongs to something else.
        EngineError: the engine cannot be used.
    """
    out = Path(out)
    config, models = plan(Path(config_file))
    run, done = open_run(config, out)
    total = sum(len(names) for _, names in models)
    units = []
    for path, names in models:
        left = tuple(name for name in names if (path.stem, name) not in done)
        if left:
            units.append(SweepUnit(path, left, config, out))
    finished = total - sum(len(unit.strategies) for unit in units)
    progress(finished, total)
    for _, (rows, record) in run_units(prove_unit, units, engine=engine, workers=workers, scheduler=scheduler):
        for row in rows:
            run.append(row)
        run.write_whole_file(f"{MODELS}/{record['weights']}.json", record)
        finished += len(rows)
        progress(finished, total)
    run.write_provenance()
    build_index(run)
    return run
