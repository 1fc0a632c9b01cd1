"""Files of a run folder to one self-contained HTML page.

Contents:
    render — the page.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pessimal.report.chart import chart_data
from pessimal.report.maps import maps_of
from pessimal.report.modular import FORMAT as MODULAR
from pessimal.report.modular import modular_of
from pessimal.report.results import (
    Model,
    ReportError,
    grouped,
    models_of,
    natural,
    percent_down,
    percent_up,
    power_of_two,
    result_of,
    short,
)
from pessimal.runs import RunFolder, RunFolderError, write_atomic

MAX_MAPPED_MODELS = 40
OPEN_TABLES = 4
SOFTMAX = ("mean-probability", "loss")
PROVENANCE_KEYS = ("pessimal", "commit", "python", "numpy", "machine", "system", "utc")


def render(folder: Path, out: Path, rechecked: Mapping[int, Mapping[str, Any]] | None = None) -> None:
    """Draw the files of a run folder as one HTML page that needs no network.

    Args:
        folder: a run folder (`runs.RunFolder`).
        out: the page; replaced if it exists.
        rechecked: by ledger line, rows as the checker gave them just now: they are shown instead, and what differs is
            marked. The others are marked as recorded, not re-checked.

    Raises:
        ReportError: the folder holds neither results nor circuits, or a file of it is malformed.
    """
    run = RunFolder(folder)
    try:
        ledger, provenance = run.ledger(), run.provenance() or {}
    except RunFolderError as error:
        raise ReportError(str(error)) from None
    # Claims about the softmax are no bounds on accuracy; rows without a claim were rejected, or are older.
    now, rows = rechecked or {}, list(zip(ledger.rows, ledger.lines, strict=True))
    results = [
        result_of(row, f"{run.LEDGER} line {line}", now.get(line))
        for row, line in rows
        if now.get(line, row).get("claim") not in SOFTMAX
    ]
    models = models_of(results)
    weights = list({(model.weights, model.sha256): model for model in models}.values())
    maps, modular, unmapped = _circuits(run, weights)
    if not rows and not modular and not maps:
        raise ReportError(
            f"nothing to report: the folder has no results in {run.LEDGER}, and no circuits; `pessimal analyse` writes"
            " them"
        )
    page = _template("page.html").render(
        models=models,
        tasks=sorted({result.task for result in results if result.task}, key=natural),
        n_models=len(weights),
        n_rows=sum(len(model.results) for model in models),
        n_rechecked=sum(result.rechecked for model in models for result in model.results),
        n_refuted=sum(r.rechecked and not r.verified for model in models for r in model.results),
        n_differing=sum(bool(result.differs) for model in models for result in model.results),
        n_rejected=sum(not result.verified for model in models for result in model.results),
        n_undrawn=sum(result.verified and not result.flops for model in models for result in model.results),
        assumptions=sorted({sentence for result in results for sentence in result.assumptions}),
        chart=chart_data(models),
        maps=maps,
        modular=modular,
        unmapped=unmapped,
        n_maps_left_out=max(0, len(weights) - MAX_MAPPED_MODELS),
        open_tables=OPEN_TABLES,
        provenance=[(key, _stated(provenance, key)) for key in PROVENANCE_KEYS if provenance.get(key)],
        style=Markup(_read("page.css")),  # noqa: S704 - a file of this package
        script=Markup(_read("page.js") + _read("modular.js")),  # noqa: S704 - files of this package
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - the plotting library's own source
    )
    write_atomic(out, page.encode("utf-8"))


def _circuits(run: RunFolder, models: Sequence[Model]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Heat maps, evidence of modular addition, and the labels of models whose weights no circuit file is of.

    Models without results are drawn too.
    """
    maps, modular, unmapped = [], [], []
    for model in models[:MAX_MAPPED_MODELS]:
        record = _record(run, model.weights)
        where = f"{run.CIRCUITS}/{model.weights}.json"
        if record is None or record.get("weights_sha256") != model.sha256:
            unmapped.append(model.name)
        elif record.get("format") == MODULAR:
            modular.append({"label": model.name, **modular_of(record, where)})
        else:
            maps.append({"label": model.name, **maps_of(record, where)})
    known = {model.weights for model in models}
    for stem in [one for one in run.circuit_stems() if one not in known][:MAX_MAPPED_MODELS]:
        record, where = _record(run, stem), f"{run.CIRCUITS}/{stem}.json"
        if record is not None and record.get("format") == MODULAR:
            modular.append({"label": stem, **modular_of(record, where)})
        elif record is not None and len(maps) < MAX_MAPPED_MODELS:
            maps.append({"label": stem, **maps_of(record, where)})
    return maps, modular, unmapped


def _record(run: RunFolder, stem: str) -> dict[str, Any] | None:
    """The circuit file of a model."""
    try:
        return run.circuits(stem)
    except RunFolderError as error:
        raise ReportError(str(error)) from None


def _stated(provenance: dict[str, Any], key: str) -> str:
    """One value of the provenance file as text, cut to a line."""
    text = str(provenance[key])[:60]
    return f"{text} (with local changes)" if key == "commit" and provenance.get("dirty") is True else text


def _read(name: str) -> str:
    return (resources.files("pessimal.report") / "templates" / name).read_text(encoding="utf-8")


def _template(name: str) -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {f.__name__: f for f in (percent_down, percent_up, grouped, power_of_two, short)}
    return environment.from_string(_read(name))
