"""The evidence of modular addition, as `analysis.evidence` wrote it, for the page.

Contents:
    modular_of — what the page draws of one model.
"""

from collections.abc import Mapping
from typing import Any

from pessimal.report.results import Number, ReportError

FORMAT = "pessimal-modular/1"
NEURON_FACTS = {
    "live": "live neurons",
    "frequency_agreement": "read and write the same frequency",
    "fve_input": "input tables: one wave each (FVE)",
    "fve_output": "output map: one wave each (FVE)",
    "phase_left_right": "|φ of a \u2212 φ of b|, radians",
    "amplitude_ratio": "amplitude of b / of a",
    "offset_over_amplitude": "|mean pre-activation| / amplitude",
    "phase_doubling": "|ψ \u2212 2φ|, radians",
    "second_is_double": "second frequency is twice the first",
    "second_amplitude": "second amplitude / first",
}
LOGIT_FACTS = {
    "fve_clock": "logits: clock form (FVE)",
    "fve_pizza": "logits: pizza form (FVE)",
    "ideal_margin": "margin of the clock form, logits",
    "residual": "largest residual against it, logits",
    "true_margin": "smallest margin, logits",
    "distance_irrelevance": "distance irrelevance",
}
OTHER_FACTS = {
    "clustered": "neurons in a cluster",
    "gradient_symmetricity": "gradient symmetricity",
    "circularity": "circularity of the embedding",
}
COLUMNS = {
    "k": "k",
    "output_share": "share of output",
    "cluster": "in cluster",
    "clock_coefficient": "C, clock",
    "pizza_coefficient": "C, pizza",
    "q_clock": "Q clock",
    "q_pizza": "Q pizza",
}
QUADRATURE_COLUMNS = {
    "neurons": "neurons",
    "sup_error_phi": "error, ψ = 2φ",
    "sup_error": "error",
    "box_abs": "box, |x|/2",
    "box_identity": "box, x/2",
    "angle": "box, angles",
    "moment_20": "M = 20",
    "moment_100": "M = 100",
}
SERIES = {"circles": ("x", "y"), "quadratures": ("nodes", "edges", "heights", "curve_x", "curve_y")}
CURVES = ("mean", "low", "high", "fitted")


def modular_of(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Facts, the table by frequency and the plots of one model.

    Args:
        record: what `analysis.evidence` wrote.
        where: name of the file for messages.

    Returns:
        `p`, `k`, `attention`, `d_mlp`, `sha256`, `inputs`, `correct`, `correct_without_skip`; `facts` (meaning and
        number), `columns`, `headings` and `rows` of the table, `n_left_out` frequencies; `circles`, `quadratures`,
        `embedding_spectrum`, `output_spectrum`, `logits` as in the file.

    Raises:
        ReportError: the file does not hold what it should.
    """
    drawn, rows = _part(record, "drawn", dict, where), _part(record, "frequencies", list, where)
    neurons = record.get("neurons")
    shown = [row for row in rows if isinstance(row, dict) and row.get("q_clock") is not None]
    columns = COLUMNS | (QUADRATURE_COLUMNS if neurons else {})
    table = [[_number(_values(row, where).get(name), f"{where}: {name}") for name in columns] for row in shown]
    plots = {name: _series(drawn.get(name), keys, f"{where}: {name}") for name, keys in SERIES.items()}
    for name in ("embedding_spectrum", "output_spectrum"):
        plots[name] = _numbers(drawn.get(name), f"{where}: {name}")
    curves = _part(drawn, "logits", dict, where)
    sizes = _part(record, "sizes", dict, where)
    counts = {name: _count(record.get(name), f"{where}: {name}") for name in ("p", "k", "inputs", "correct",
                                                                             "correct_without_skip")}  # fmt: skip
    return {
        **counts,
        "d_mlp": _count(sizes.get("d_mlp"), f"{where}: d_mlp"),
        "attention": _part(record, "attention", str, where),
        "sha256": _part(record, "weights_sha256", str, where),
        "facts": [
            (meaning, _number(part.get(name), f"{where}: {name}"))
            for part, words in (
                (neurons if isinstance(neurons, dict) else {}, NEURON_FACTS if neurons else {}),
                (_part(record, "logits", dict, where), LOGIT_FACTS),
                (record, OTHER_FACTS),
            )
            for name, meaning in words.items()
        ],
        "columns": list(columns),
        "headings": list(columns.values()),
        "rows": table,
        "n_left_out": len(rows) - len(shown),
        **plots,
        "logits": {name: _numbers(curves.get(name), f"{where}: {name}") for name in CURVES},
    }


def _part(record: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """A value of the record that has to be of one kind."""
    value = record.get(name)
    if not isinstance(value, kind):
        raise ReportError(f"{where}: {name} is missing or malformed")
    return value


def _values(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Numbers of one frequency, those of its quadrature too."""
    return {**row, **(_part(row, "quadrature", dict, where) if row.get("quadrature") is not None else {})}


def _number(value: object, where: str) -> Number | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ReportError(f"{where} is not a number")
    return value


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ReportError(f"{where} is not a natural number")
    return value


def _numbers(value: object, where: str) -> list[Number | None]:
    if not isinstance(value, list):
        raise ReportError(f"{where} is not a list of numbers")
    return [_number(one, where) for one in value]


def _series(value: object, names: tuple[str, ...], where: str) -> list[dict[str, Any]]:
    """Plots of some frequencies: `k` and lists of numbers."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ReportError(f"{where} is not a list of plots")
    return [
        {"k": _count(one.get("k"), where), **{name: _numbers(one.get(name), where) for name in names}} for one in value
    ]
