"""Sweeps: every strategy on every model, resumable, on one machine or many.

A unit of work is one model: its strategies share tables, error bounds and attention extremes. The parent process alone
writes the ledger, one line per proof; a line is written once, whatever the number of workers, so the results do not
depend on it. The first line of a model carries what is recorded about it, so that no kill comes between the two; the
files in `models/` are copies.

Contents:
    SweepUnit — one model and what is still to be proved about it.
    plan — configuration to models; everything that can be refused is refused here.
    checkpoint_paths — the files of its models.
    sweep — run what is missing.
    rows_of — the rows that a configuration asks for.
    Planned — one model of a configuration.
    strategy_names — the strategies of a configuration, in order, each once.
    prove_unit — rows of one model, the first with its record unless the ledger has it.
    record_unit — the record of a model whose rows are older than records in the ledger.
    model_record — what a sweep records about a model, whichever of its strategies are still to be proved.
    certificate_name — where a sweep keeps the certificate of a model by a strategy, with its options if there are any.
    open_run — the folder of a sweep and what its ledger holds.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pessimal import api
from pessimal.analysis.published.formulas import count_as_published
from pessimal.inputs import load_weights, task_of
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.proving import STRATEGIES, known_strategies
from pessimal.proving.suggestions import did_you_mean
from pessimal.proving.words import make_strategy
from pessimal.records import refused_row, result_row
from pessimal.runs import RunFolder, RunFolderError, one_writer
from pessimal.runs.config import Complaints, SweepConfig, read_config, same_config
from pessimal.runs.executors import run_units
from pessimal.runs.index import NAME as INDEX
from pessimal.runs.index import build_index
from pessimal.runs.inputs import read_text
from pessimal.runs.ledger import MODEL_RECORD, Ledger
from pessimal.runs.notices import notice, notice_once
from pessimal.runs.outputs import CERTIFICATE
from pessimal.runs.own_files import INDEX as INDEX_KIND
from pessimal.runs.own_files import MODEL, OWN, require_own_files
from pessimal.runs.rows import other_question
from pessimal.search.sub_cubic import workbench
from pessimal.spec import AbstractTask, MaxOfK, Overrides, TaskError, Weights
from pessimal.strategies import PUBLISHED, StrategyError, SubCubic
from pessimal.train.seeds import parse_seeds

CONFIG = "sweep.json"
MODELS = "models"
CERTIFICATES = "certificates"


# What readers of a sweep's rows look up beside what every row holds.
OWN_KEYS = ("options", "prove_seconds")
PUBLISHED_KEYS = ("direct", "attention", "attention_error")
DIGITS_SHOWN = 12


@dataclass(frozen=True)
class SweepUnit:
    """One model of a sweep.

    Attributes:
        path: its checkpoint.
        sha256: digest that the checkpoint had when the sweep was planned.
        strategies: names still to be proved.
        config: the sweep.
        out: folder for certificates.
        recorded: whether the record of the model is in the ledger; its first row carries it otherwise.
    """

    path: Path
    sha256: str
    strategies: tuple[str, ...]
    config: SweepConfig
    out: Path
    recorded: bool = False

    def __str__(self) -> str:
        """The model's name, and what is next."""
        return f"{self.path.stem} ({self.strategies[0]})" if self.strategies else self.path.stem


@dataclass(frozen=True)
class Planned:
    """One model of a configuration.

    Attributes:
        path: its checkpoint.
        sha256: digest of its weights now.
        task: what is proved about it.
    """

    path: Path
    sha256: str
    task: AbstractTask


def plan(config_file: Path) -> tuple[SweepConfig, list[Planned]]:
    """A configuration and its models.

    Raises:
        ConfigError: with the line, before anything is computed.
    """
    config = read_config(config_file)
    complain = Complaints(config_file.name, read_text(config_file))
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
    models = []
    for path in paths:
        weights = load_weights(path, Overrides())
        shape = weights.architecture.shape
        if (shape.k, shape.d_vocab) != (config.k, config.d_vocab):
            raise complain("k", f"{path.name} has k={shape.k}, d_vocab={shape.d_vocab}")
        try:
            task, assumed = task_of(weights, config.task or None)
        except TaskError as error:
            raise complain("task", f"{path.name}: {error}") from None
        for line in assumed:
            notice_once(f"assumed {line}", (config_file.resolve(), line))
        models.append(Planned(path, weights.sha256, task))
    return config, models


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
                hint = did_you_mean(plain, ["published", *STRATEGIES])
                raise StrategyError(f"unknown strategy {word!r}{hint}; known: published, {known_strategies()}")
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
            hint = did_you_mean(name, known)
            raise StrategyError(f"unknown option {name!r}{hint}; the sub-cubic strategies have {', '.join(known)}")
    for name in strategy_names(config):
        if name in PUBLISHED:
            PUBLISHED[name](**config.options)


def prove_unit(unit: SweepUnit) -> Iterator[dict[str, Any]]:
    """Rows of one model, the first with its record unless the ledger has it; runs in a worker."""
    weights = _planned_weights(unit)
    extra = {} if unit.recorded else {MODEL_RECORD: model_record(weights, unit.path.stem, unit.config)}
    for name in unit.strategies:
        yield {**_row(unit, weights, name), **extra}
        extra = {}


def record_unit(unit: SweepUnit) -> Iterator[dict[str, Any]]:
    """The record of a model whose rows are older than records in the ledger; runs in a worker."""
    yield model_record(_planned_weights(unit), unit.path.stem, unit.config)


def _planned_weights(unit: SweepUnit) -> Weights:
    weights = load_weights(unit.path)
    if weights.sha256 != unit.sha256:
        raise RunFolderError(
            f"{unit.path.name} was replaced during the sweep: its digest was {unit.sha256[:DIGITS_SHOWN]} and is"
            f" {weights.sha256[:DIGITS_SHOWN]}; nothing was proved about the new file"
        )
    return weights


def model_record(weights: Weights, stem: str, config: SweepConfig) -> dict[str, Any]:
    """What a sweep records about a model, whichever of its strategies are still to be proved."""
    values: list[float] = []
    if PUBLISHED.keys() & set(strategy_names(config)):
        values = workbench(weights).eqke_singular_values().tolist()
    return {
        "weights": stem,
        "weights_sha256": weights.sha256,
        "eqke_singular_values": values[:8],
        "metadata": dict(weights.metadata),
    }


def _row(unit: SweepUnit, weights: Weights, asked: str) -> dict[str, Any]:
    """Prove, check, and describe one strategy on one model."""
    config = unit.config
    task, _ = task_of(weights, config.task or None)
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
        row = refused_row(weights, refusal, strategy=name, seconds=0.0)
        return {**row, **extra, "prove_seconds": 0.0}
    proved = time.monotonic()
    verdict = api.check(proof, weights)
    checked = time.monotonic()
    if config.certificates:
        extra["certificate"] = certificate_name(unit.path.stem, asked)
        api.save_certificate(proof, unit.out / extra["certificate"])
    row = result_row(weights, verdict, seconds=checked - proved)
    return {**row, **extra, "prove_seconds": round(proved - begun, 3)}


def certificate_name(stem: str, asked: str) -> str:
    """Where a sweep keeps the certificate of a model by a strategy, with its options if there are any."""
    parts = [stem, *(word.replace("=", "-").replace("^", "-") for word in asked.split())]
    return f"{CERTIFICATES}/{'.'.join(parts)}.cert"


def _require_own_files(config_file: Path, config: SweepConfig, models: Sequence[Planned], out: Path) -> None:
    """Refuse, before any work, a folder in which files of this sweep would replace an input or other files.

    Raises:
        OutputError: one sentence.
    """
    stems = [model.path.stem for model in models]
    files = {**OWN, INDEX: INDEX_KIND, **{f"{MODELS}/{stem}.json": MODEL for stem in stems}}
    if config.certificates:
        names = [certificate_name(stem, asked) for stem in stems for asked in strategy_names(config)]
        files |= dict.fromkeys(names, CERTIFICATE)
    inputs = {"the configuration": config_file, **{f"the weights {model.path.stem}": model.path for model in models}}
    require_own_files("--out", out, inputs, files)


def open_run(config: SweepConfig, models: Sequence[Planned], out: Path) -> tuple[RunFolder, Ledger]:
    """The folder of a sweep and what its ledger holds.

    Raises:
        RunFolderError: the folder belongs to another sweep, another version, other weights, or something else.
    """
    run = RunFolder(out)
    stored, ledger = run.whole_file(CONFIG), run.ledger()
    if stored is None:
        if ledger.rows:
            raise RunFolderError(f"{out} holds results that no sweep of this version wrote; choose another folder")
        run.write_whole_file(CONFIG, config.record())
        return run, ledger
    reason = same_config(stored, config)
    if reason is not None:
        raise RunFolderError(f"{out} holds a sweep {reason}; choose another folder")
    now = {model.path.stem: model for model in models}
    for row, line in zip(ledger.rows, ledger.lines, strict=True):
        model = now.get(row["weights"])
        if model is not None and model.sha256 != row["weights_sha256"]:
            raise RunFolderError(
                f"{model.path.name} has the digest {model.sha256[:DIGITS_SHOWN]}, but {run.LEDGER} line {line} is about"
                f" {row['weights_sha256'][:DIGITS_SHOWN]} under that name: put the old file back, or choose another"
                " folder"
            )
        if model is not None and other_question(row, model.task.name, model.task.record()):
            raise RunFolderError(
                f"{model.path.name} is now about another task ({model.task.name}) than {run.LEDGER} line {line}; choose"
                " another folder"
            )
    rows_of(config, ledger, run.LEDGER)
    run.repair()
    return run, ledger


def rows_of(config: SweepConfig, ledger: Ledger, name: str = RunFolder.LEDGER) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows that a configuration asks for, by model and strategy.

    Raises:
        RunFolderError: two rows say different things about one proof, or a row lacks what a sweep writes.
    """
    asked = set(strategy_names(config))
    stems = {path.stem for path in checkpoint_paths(config, Path("sweep.toml"))}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    lines: dict[tuple[str, str], int] = {}
    for row, line in zip(ledger.rows, ledger.lines, strict=True):
        key = row["weights"], str(row.get("asked") or row["strategy"])
        if key[0] not in stems or key[1] not in asked:
            continue
        if key in found:
            raise RunFolderError(f"{name} lines {lines[key]} and {line} contradict each other ({key[1]} on {key[0]})")
        published = PUBLISHED_KEYS + ("correct_as_published",) * config.as_published if key[1] in PUBLISHED else ()
        missing = [one for one in OWN_KEYS + published if row.get(one) is None]
        if missing:
            raise RunFolderError(f"{name} line {line} lacks {', '.join(missing)}, which a sweep writes")
        found[key], lines[key] = row, line
    return found


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
        OutputError: something in the folder would be lost.
        RunFolderError: the folder belongs to something else, or is malformed.
        FolderInUseError: another process writes in the folder.
        EngineError: the engine cannot be used, or a unit fails for good; all others are finished then.
        KeyboardInterrupt: interrupted; what had arrived is in the ledger.
    """
    out = Path(out)
    config, models = plan(Path(config_file))
    _require_own_files(Path(config_file), config, models, out)
    with one_writer(out, "pessimal sweep", wait=False):
        run, ledger = open_run(config, models, out)
        names = strategy_names(config)
        found = rows_of(config, ledger)
        finished, total = len(found), len(models) * len(names)
        progress(finished, total)
        units = []
        for model in models:
            left = tuple(name for name in names if (model.path.stem, name) not in found)
            if left:
                units.append(SweepUnit(model.path, model.sha256, left, config, out, model.path.stem in ledger.models))
        engines: dict[str, Any] = {"engine": engine, "workers": workers, "scheduler": scheduler}
        with closing(run_units(prove_unit, units, rest=_rest, **engines)) as results:
            for _, row in results:
                run.append(row)
                finished += 1
                progress(finished, total)
        _write_models(run, config, models, engines)
        run.write_provenance()
        build_index(run)
    return run


def _rest(unit: SweepUnit, row: dict[str, Any]) -> SweepUnit:
    """What is left of a unit once a row has arrived."""
    done = row.get("asked", row["strategy"])
    return replace(unit, strategies=tuple(name for name in unit.strategies if name != done), recorded=True)


def _write_models(run: RunFolder, config: SweepConfig, models: Sequence[Planned], engines: dict[str, Any]) -> None:
    """The files in `models/`, from the ledger; of models whose rows are older than records, from the weights."""
    recorded = run.ledger().models
    lost = []
    for model in models:
        stem = model.path.stem
        name = f"{MODELS}/{stem}.json"
        stored = _stored(run, name)
        record = recorded.get(stem)
        if record is not None and _is_complete(record, model, config):
            if stored != record:
                run.write_whole_file(name, record)
        elif stored is None or not _is_complete(stored, model, config):
            lost.append(SweepUnit(model.path, model.sha256, (), config, run.path))
    if lost:
        notice(f"{len(lost)} files in {MODELS}/ are missing or incomplete, first that of {lost[0]}; made again")
    with closing(run_units(record_unit, lost, **engines)) as results:
        for unit, record in results:
            run.write_whole_file(f"{MODELS}/{unit.path.stem}.json", record)


def _stored(run: RunFolder, name: str) -> dict[str, Any] | None:
    """A file in `models/`; None where there is none or it cannot be read, as it is only a copy."""
    try:
        return run.whole_file(name)
    except RunFolderError:
        return None


def _is_complete(record: dict[str, Any], model: Planned, config: SweepConfig) -> bool:
    """Whether a file in `models/` of an earlier version says everything about this model."""
    values = record.get("eqke_singular_values")
    asked = bool(PUBLISHED.keys() & set(strategy_names(config)))
    return (
        record.get("weights") == model.path.stem
        and record.get("weights_sha256") == model.sha256
        and isinstance(record.get("metadata"), dict)
        and isinstance(values, list)
        and all(isinstance(one, float) for one in values)
        and bool(values) == asked
    )
