"""The scores of a comparison as JSON and as one HTML page with tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from gridtide.evaluation.scores import MEASURES, SEASONS, describe_score
from gridtide.training.reports import charts
from gridtide.training.reports.charts import Axis
from gridtide.training.reports.report_page import HTML

PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")
"""Paul Tol's colours, for all kinds of sight."""

MEANINGS = {
    "mae": "mean absolute error",
    "rmse": "root of the mean squared error",
    "mape": "mean absolute percentage error",
    "mase": "mean absolute error divided by that of the day before in training",
    "pinball": "mean pinball loss of the quantiles from 5 % to 95 %",
    "crps": "continuous ranked probability score",
}


def pick_scores(scores: Mapping[str, Any], group: str, location: str = "all") -> list[Mapping[str, Any]]:
    """Returns the rows of `scores` of one group of cells at one location."""
    return [row for row in scores["scores"] if row["group"] == group and row["location"] == location]


def render_scores(scores: Mapping[str, Any]) -> str:
    """Renders the page of `scores`, as `score_comparison` returns them; the same text for the same scores."""
    locations = list(dict.fromkeys(row["location"] for row in scores["scores"]))
    sections = [_describe(scores)]
    for location in locations:
        if len(locations) > 1:
            sections.append(f"<h2>{escape('All locations' if location == 'all' else location)}</h2>")
        sections.append(_tabulate(pick_scores(scores, "all", location), "model"))
        by_steps = f"Mean absolute error by steps of {scores['step']} ahead"
        for group, title in (("horizon", by_steps), ("hour", "By local hour of the day")):
            if rows := pick_scores(scores, group, location):
                chart = _draw_lines(rows, scores["unit"], f"{title}, {location}")
                sections.append(f"<h3>{title}</h3>{chart}")
        seasons = pick_scores(scores, "season", location)
        if seasons:
            sections.append("<h3>Mean absolute error by season</h3>" + _tabulate_seasons(seasons))
    return HTML.format(title=escape(f"{scores['set']}: forecasters compared"), body="\n".join(sections))


def _describe(scores: Mapping[str, Any]) -> str:
    first, last = scores["folds"][0], scores["folds"][-1]
    cells = scores["cells"]
    shares = ", ".join(f"{name} {model['share']:.1%}" for name, model in scores["models"].items() if model["share"] < 1)
    rows = {
        "target": f"{scores['target']} ({scores['unit']})",
        "predicted": f"{first['from']} to {last['to']}",
        "folds": f"{len(scores['folds'])}, {scores['scheme']}; learned from "
        + ", ".join(f"{fold['train']:,}" for fold in scores["folds"])
        + " windows",
        "compared": f"{cells['compared']:,} of {cells['observed']:,} observed steps, for which every model has a value"
        + (f" (shares: {shares})" if shares else ""),
        **(
            {"failed": "; ".join(f"{name}: {error}" for name, error in scores["failed"].items())}
            if scores["failed"]
            else {}
        ),
        "not learned from": ", ".join(scores["hidden"]) or "–",
        "seconds": ", ".join(f"{name} {model['seconds']}" for name, model in scores["models"].items()),
        "fingerprint": scores["fingerprint"],
    }
    table_rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    meanings = "; ".join(f"{measure.upper()}: {meaning}" for measure, meaning in MEANINGS.items())
    return f"<table>{table_rows}</table><p>{meanings}.</p>"


def _tabulate(rows: Sequence[Mapping[str, Any]], first_column: str) -> str:
    """Returns a table of all measures; the best model comes first."""
    heads = "".join(f"<th>{measure.upper()}</th>" for measure in MEASURES)
    sorted_rows = sorted(rows, key=lambda row: row["mae"])
    body = "".join(
        f"<tr><td>{escape(str(row['model']))}</td>"
        + "".join(f"<td class='n'>{describe_score(row, measure)}</td>" for measure in MEASURES)
        + "</tr>"
        for row in sorted_rows
    )
    return f"<table><tr><th>{first_column}</th>{heads}</tr>{body}</table>"


def _tabulate_seasons(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table of the mean absolute error of each model by season."""
    seasons = [season for season in SEASONS if any(row["key"] == season for row in rows)]
    by_model: dict[str, dict[str, str]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["key"]] = describe_score(row, "mae")
    heads = "".join(f"<th>{season}</th>" for season in seasons)
    body = "".join(
        f"<tr><td>{escape(model)}</td>"
        + "".join(f"<td class='n'>{errors[season]}</td>" for season in seasons)
        + "</tr>"
        for model, errors in by_model.items()
    )
    return f"<table><tr><th>model</th>{heads}</tr>{body}</table>"


def _draw_lines(rows: Sequence[Mapping[str, Any]], unit: str, title: str) -> str:
    """Draws the mean absolute error of each model over the numbers in `key`."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    keys = sorted({int(row["key"]) for row in rows})
    errors = {
        model: np.array(
            [
                next((row["mae"] for row in rows if row["model"] == model and int(row["key"]) == key), np.nan)
                for key in keys
            ],
            float,
        )
        for model in models
    }
    largest = max((float(np.nanmax(values)) for values in errors.values()), default=1.0)
    across, heights = Axis(keys[0], keys[-1], 80, charts.CHART_WIDTH - 20), Axis(0, largest * 1.05, 260, 30)
    elements = charts.draw_marks(heights, 80, across=charts.CHART_WIDTH - 20, vertical=True)
    elements += charts.draw_marks(across, 260, across=256)
    elements.append(charts.draw_text(84, 42, unit))
    pixels = across.place(np.array(keys, float))
    colours = {model: PALETTE[number % len(PALETTE)] for number, model in enumerate(models)}
    for model, values in errors.items():
        elements.append(charts.draw_line(pixels, heights.place(values), colours[model], 1.8))
    return charts.draw_chart(284, [*elements, *charts.draw_legend(colours)], title)


def list_scores(scores: Mapping[str, Any]) -> list[str]:
    """Returns what a reader must know of `scores`, a sentence each: which steps were not compared, and what MAPE left
    out."""
    cells = scores["cells"]
    sentences = []
    if cells["compared"] < cells["observed"]:
        shares = ", ".join(f"{name} {model['share']:.1%}" for name, model in scores["models"].items())
        sentences.append(
            f"{cells['observed'] - cells['compared']:,} of {cells['observed']:,} observed steps are not compared, "
            f"because not every model has a value (shares: {shares})"
        )
    for row in pick_scores(scores, "all")[:1]:
        if row["mape_cells"] < row["cells"]:
            sentences.append(f"MAPE leaves out {row['cells'] - row['mape_cells']:,} steps whose value is 0")
    return sentences
