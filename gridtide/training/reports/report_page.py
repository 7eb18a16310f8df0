"""The report of a training set: one HTML page with pictures, drawn as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import FloatArray, Mask
from gridtide.training.reports import charts
from gridtide.training.reports.charts import Axis
from gridtide.training.series.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.training.series.steps import name_steps
from gridtide.training.windows.splits import requested_splits

if TYPE_CHECKING:
    from gridtide.training.features.bases import Base
    from gridtide.training.training_set import TrainingSet


COLOURS = {"train": "#4477aa", "validation": "#ccbb44", "test": "#ee6677"}  # Paul Tol's, for all kinds of sight


QUALITIES = (
    ("reported", REPORTED, "#4477aa"),
    ("imputed", IMPUTED, "#ccbb44"),
    ("rejected", REJECTED, "#ee6677"),
    ("missing", MISSING, "#dddddd"),
)


SHADES = (
    *("#f7fbff", "#eaf3fb", "#dceaf6", "#c9dff0", "#b0d2e8", "#93c3de", "#72b1d2", "#539ecb", "#3a89bf", "#2471b0"),
    "#0b559f",
)
"""The colours of shares from 0 to 1 in steps of a tenth; the last is for 1 alone."""


ROW = 17
"""The height of a row in pixels."""


ROWS = 60
"""The most series in one picture; the manifest lists all."""


BINS = 240
"""The number of time bins in one picture."""


ACROSS = 4
"""The number of distributions in a row."""


COLUMNS_AT_ONCE = 64
"""The number of columns that are processed at a time."""


LEAST_VARIANCE = 1e-10
"""If the product of two scaled variances is below this, one of the two does not vary."""


STRONGEST = 24
"""The number of features whose correlation is shown."""


def render_page(training_set: TrainingSet, described: Mapping[str, Any]) -> str:
    """Renders the page of `training_set` with its manifest `described`; the same text for the same set."""
    sections = [_summary_table(training_set, described)]
    for number, base in enumerate(training_set.bases):
        sections.append(f"<h2>{escape(base.location)}</h2>")
        correlations = correlate_target(training_set, number, dict.fromkeys((1, training_set.spec.horizon)))
        for title, caption, draw in PICTURES:
            height, elements = draw(training_set, number, correlations)
            picture = charts.draw_chart(height, elements, f"{title} of {base.location}")
            sections.append(f"<h3>{title}</h3><p>{caption}</p>{picture}")
    return HTML.format(title=escape(training_set.spec.name), body="\n".join(sections))


Correlations = Mapping[int, npt.NDArray[np.float64]]
"""By the number of steps ahead, the correlation of each feature with the first target."""

Drawing = tuple[float, list[str]]
"""The height of a chart in pixels, and its elements."""

Draw = Callable[["TrainingSet", int, Correlations], Drawing]


def draw_coverage(training_set: TrainingSet, location: int, _: Correlations) -> Drawing:
    """Draws the reported share of each input over time."""
    names, quality = _input_qualities(training_set.bases[location])
    edges = _stretch_edges(len(quality), BINS)
    reported = np.add.reduceat((quality == REPORTED).astype(np.float32), edges[:-1], axis=0) / np.diff(edges)[:, None]
    levels = np.floor(reported.T * (len(SHADES) - 1)).astype(int)
    axis = Axis(0, len(quality), charts.LABEL_WIDTH, charts.CHART_WIDTH - 10)
    lefts = axis.place(edges.astype(float))
    boxes_by_level: dict[int, list[tuple[float, float, float, float]]] = {level: [] for level in range(len(SHADES))}
    for row, levels_of_row in enumerate(levels):
        changes = np.flatnonzero(np.diff(levels_of_row)) + 1
        for first, end in zip([0, *changes], [*changes, len(levels_of_row)], strict=True):
            width = float(lefts[end] - lefts[first])
            boxes_by_level[levels_of_row[first]].append((float(lefts[first]), 20 + ROW * row, width, ROW - 2))
    bottom = 20 + ROW * len(names)
    elements = [charts.draw_boxes(boxes, SHADES[level]) for level, boxes in boxes_by_level.items()]
    elements += _draw_names(names, 20)
    for split in requested_splits(training_set.spec)[1:]:
        begin = float(axis.place(training_set.bounds.ranges()[split][0]))
        elements.append(charts.draw_box(begin - 1, 18, 2, bottom - 18, COLOURS[split]))
    elements += charts.draw_dates(training_set.period.start, axis, bottom, training_set.spec.resolution)
    return bottom + 24, elements + charts.draw_legend(
        {"none reported": SHADES[0], "half": SHADES[5], "all": SHADES[-1]}
    )


def draw_targets(training_set: TrainingSet, location: int, _: Correlations) -> Drawing:
    """Draws each target over time, within its splits."""
    base = training_set.bases[location]
    axis = Axis(0, len(base.targets), 80, charts.CHART_WIDTH - 10)
    elements: list[str] = []
    for number, (name, values) in enumerate(zip(base.target_names, base.targets.T, strict=True)):
        top = 40 + number * 230
        elements += _draw_splits(training_set, axis, top, location)
        edges = _stretch_edges(len(values), 2 * BINS)
        lowest, mean, highest = _bin_values(values, edges)
        pixels = axis.place((edges[:-1] + edges[1:]) / 2)
        heights = _value_axis([lowest, highest], top + 180, top)
        elements += charts.draw_marks(heights, axis.first_pixel, across=axis.last_pixel, vertical=True)
        elements.append(charts.draw_band(pixels, heights.place(lowest), heights.place(highest), charts.GREY))
        elements.append(charts.draw_line(pixels, heights.place(mean)))
        elements.append(charts.draw_text(axis.first_pixel + 6, top + 14, _with_unit(training_set, location, name)))
        elements += charts.draw_dates(training_set.period.start, axis, top + 180, training_set.spec.resolution)
    return 40 + 230 * len(base.target_names), elements


def _draw_splits(training_set: TrainingSet, axis: Axis, top: float, location: int) -> list[str]:
    """Returns the splits as coloured areas, with the number of their windows at `location`."""
    elements = []
    for split in requested_splits(training_set.spec):
        begin, end = (float(pixel) for pixel in axis.place(np.array(training_set.bounds.ranges()[split], float)))
        count = int((training_set.windows[split][:, 0] == location).sum())
        elements.append(charts.draw_box(begin, top, end - begin, 180, COLOURS[split], 0.15))
        text = f"{split}, {count:,} window{'s' * (count != 1)}"
        elements.append(charts.draw_text((begin + end) / 2, top - 6, text, anchor="middle", colour=COLOURS[split]))
    return elements


def draw_distributions(training_set: TrainingSet, location: int, correlations: Correlations) -> Drawing:
    """Draws the distributions of targets and inputs in train and in test steps."""
    base = training_set.bases[location]
    distributions: list[tuple[str, FloatArray]] = [
        (name, np.asarray(values)) for name, values in zip(base.target_names, base.targets.T, strict=True)
    ]
    strongest: dict[str | None, int] = {}  # one feature of each series: those of one look much alike
    for index in _rank_features(training_set, correlations).tolist():
        strongest.setdefault(base.columns[index].series, index)
    for index in list(strongest.values())[: max(3 * ACROSS - len(distributions), 0)]:
        distributions.append((base.columns[index].name, np.where(base.mask[:, index], base.values[:, index], np.nan)))
    elements, width = [], (charts.CHART_WIDTH - 20) / ACROSS
    for number, (name, values) in enumerate(distributions):
        row, column = divmod(number, ACROSS)
        top, first_pixel = 24 + 170 * row, 10 + width * column
        elements += _draw_histogram(values, training_set.bounds.ranges(), top + 30, first_pixel, width - 24)
        for line_number, line in enumerate(charts.break_name(name, 38)[:2]):
            elements.append(charts.draw_text(first_pixel, top + 10 + 13 * line_number, line, size=11))
    split_colours = {split: COLOURS[split] for split in requested_splits(training_set.spec) if split != "validation"}
    return 24 + 170 * -(-len(distributions) // ACROSS), elements + charts.draw_legend(split_colours)


def _draw_histogram(
    values: FloatArray, ranges: Mapping[str, tuple[int, int]], top: float, first_pixel: float, width: float
) -> list[str]:
    """Returns the distributions of `values` (T,) in train and in test, as shares of their own number."""
    present = values[~np.isnan(values)]
    if not present.size:
        return []
    low_quantile, high_quantile = (float(quantile) for quantile in np.quantile(present, [0.001, 0.999]))
    edges = np.linspace(low_quantile, high_quantile if high_quantile > low_quantile else low_quantile + 1, 40)
    shares = {}
    for split in ("train", "test"):
        split_values = values[slice(*ranges[split])]
        counts, _ = np.histogram(split_values[~np.isnan(split_values)], edges)
        if counts.sum():
            shares[split] = counts / counts.sum()
    axis = Axis(float(edges[0]), float(edges[-1]), first_pixel, first_pixel + width)
    elements = charts.draw_marks(axis, top + 110, across=top + 110)
    heights = Axis(0, max((float(share.max()) for share in shares.values()), default=1.0), top + 110, top)
    steps = axis.place(np.repeat(edges, 2)[1:-1])
    for split, share in shares.items():
        outline = heights.place(np.repeat(share, 2))
        elements.append(charts.draw_band(steps, np.full_like(outline, top + 110), outline, COLOURS[split], 0.25))
        elements.append(charts.draw_line(steps, outline, COLOURS[split]))
    return elements


def draw_qualities(training_set: TrainingSet, location: int, _: Correlations) -> Drawing:
    """Draws the shares of each input that are reported, imputed, rejected and missing."""
    names, quality = _input_qualities(training_set.bases[location])
    axis = Axis(0, 100, charts.LABEL_WIDTH, charts.CHART_WIDTH - 30)
    bottom = 20 + ROW * len(names)
    elements = charts.draw_marks(axis, bottom, across=20, suffix=" %")
    below = np.zeros(len(names))
    for _label, code, colour in QUALITIES:
        share = 100 * (quality == code).mean(axis=0)
        lefts, rights = axis.place(below), axis.place(below + share)
        boxes = [
            (float(first), 20 + ROW * row, float(last - first), ROW - 2)
            for row, (first, last) in enumerate(zip(lefts, rights, strict=True))
            if last > first
        ]
        elements.append(charts.draw_boxes(boxes, colour))
        below += share
    elements += _draw_names(names, 20)
    return bottom + 24, elements + charts.draw_legend({label: colour for label, _, colour in QUALITIES})


def draw_correlations(training_set: TrainingSet, location: int, correlations: Correlations) -> Drawing:
    """Draws the features that correlate most with the first target, one step and a whole horizon ahead."""
    base = training_set.bases[location]
    strongest = _rank_features(training_set, correlations)[:STRONGEST]
    axis = Axis(-1, 1, charts.LABEL_WIDTH, charts.CHART_WIDTH - 30)
    bottom = 20 + ROW * len(strongest)
    elements = charts.draw_marks(axis, bottom, across=20)
    elements += _draw_names([base.columns[index].name for index in strongest], 20)
    shades = dict(zip(correlations, ("#4477aa", "#ee6677"), strict=False))
    for row, index in enumerate(strongest.tolist()):
        height = 20 + ROW * (row + 0.5)
        pixels = {ahead: float(axis.place(values[index])) for ahead, values in correlations.items()}
        first_pixel, last_pixel = min(pixels.values()), max(pixels.values())
        elements.append(charts.draw_box(first_pixel, height - 0.7, last_pixel - first_pixel, 1.4, "#bbbbbb"))
        elements += [
            f'<circle cx="{pixel:g}" cy="{height:g}" r="4" fill="{shades[ahead]}"/>' for ahead, pixel in pixels.items()
        ]
    caption = f"correlation with {base.target_names[0]}, over train steps"
    elements.append(charts.draw_text((axis.first_pixel + axis.last_pixel) / 2, bottom + 32, caption, anchor="middle"))
    legend = {f"{ahead} h ahead": colour for ahead, colour in shades.items()}
    return bottom + 40, elements + charts.draw_legend(legend)


PICTURES: tuple[tuple[str, str, Draw], ...] = (
    (
        "Targets and splits",
        "Mean, lowest and highest of each stretch of time. A window belongs to the split that holds what it predicts.",
        draw_targets,
    ),
    (
        "Coverage",
        "The share of each input that was reported and kept, over time; lines show where validation and test begin.",
        draw_coverage,
    ),
    (
        "State of the cells",
        "Reported and kept, imputed, reported but rejected, and missing, over the whole period.",
        draw_qualities,
    ),
    (
        "Train beside test",
        "The distributions of targets and of the features that correlate most with them. Where the two differ, a model "
        "meets values that it has not learned.",
        draw_distributions,
    ),
    (
        "Features and target",
        "The strongest linear relations at the last step that a model sees, with the target one step and a whole "
        "horizon later.",
        draw_correlations,
    ),
)


def correlate_target(training_set: TrainingSet, location: int, steps_ahead: Iterable[int]) -> Correlations:
    """Returns, by each of `steps_ahead`, the correlation of each feature (F,) with the first target that many steps
    later, over train steps where both are observed: Pearson's r, 0 if one of them does not vary."""
    train = slice(0, training_set.bounds.train_end)
    values, mask = training_set.values[location][train], training_set.mask[location][train]
    targets, target_mask = training_set.targets[location, train, 0], training_set.target_mask[location, train, 0]
    return {ahead: _correlate(values, mask, targets, target_mask, ahead) for ahead in steps_ahead}


def _correlate(
    values: npt.NDArray[np.float32], mask: Mask, targets: npt.NDArray[np.float32], target_mask: Mask, ahead: int
) -> npt.NDArray[np.float64]:
    """Returns the correlation of each column of `values` (T, F) with `targets` (T,) `ahead` steps later."""
    steps, columns = values.shape
    correlations = np.zeros(columns)
    if steps <= ahead:
        return correlations
    target_observed = target_mask[ahead:]
    y = np.where(target_observed, targets[ahead:], 0)
    for first_column in range(0, columns, COLUMNS_AT_ONCE):
        column_slice = slice(first_column, first_column + COLUMNS_AT_ONCE)
        paired = mask[: steps - ahead, column_slice].astype(np.float32)
        x = values[: steps - ahead, column_slice] * paired
        correlations[column_slice] = _pearson(x, paired, y, target_observed.astype(np.float32))
    return correlations


def _pearson(x: FloatArray, observed: FloatArray, y: FloatArray, target_observed: FloatArray) -> FloatArray:
    """Returns Pearson's r of `x` (T, F) with `y` (T,); `observed` (T, F) and `target_observed` (T,) are 0, and so are
    `x` and `y`, where they are not known."""
    observed_count = np.maximum(target_observed @ observed, 1).astype(np.float64)
    x_mean, y_mean, x_square_mean, y_square_mean, product_mean = (
        total / observed_count
        for total in (target_observed @ x, y @ observed, target_observed @ x**2, y**2 @ observed, y @ x)
    )
    variance_product = (x_square_mean - x_mean**2) * (y_square_mean - y_mean**2)
    varies = variance_product > LEAST_VARIANCE
    return np.where(
        varies, np.clip((product_mean - x_mean * y_mean) / np.sqrt(np.where(varies, variance_product, 1.0)), -1, 1), 0.0
    )


def _rank_features(training_set: TrainingSet, correlations: Correlations) -> npt.NDArray[np.int64]:
    """Returns the features by the strength of their correlation with the target a horizon ahead, strongest first."""
    strengths = np.abs(correlations[training_set.spec.horizon]).round(6)
    return np.argsort(-strengths, kind="stable")


def _input_qualities(base: Base) -> tuple[list[str], npt.NDArray[np.uint8]]:
    """Returns names and quality (T, I) of the inputs that the location has, at most `ROWS`."""
    indices = [index for index in range(base.quality.shape[1]) if base.columns[index].series is not None][:ROWS]
    return [base.columns[index].name for index in indices], base.quality[:, indices]


def _stretch_edges(steps: int, largest_count: int) -> npt.NDArray[np.int64]:
    """Returns the edges of at most `largest_count` bins over `steps`. Bins longer than a step are whole days, because
    other lengths would show a pattern that is not in the data."""
    bin_length = -(-steps // largest_count)
    if bin_length > 1:
        bin_length = -(-bin_length // 24) * 24
    return np.append(np.arange(0, steps, bin_length), steps)


def _bin_values(values: FloatArray, edges: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns the lowest, mean and highest of `values` (T,) between `edges`, NaN for a bin without values."""
    observed = ~np.isnan(values)
    count = np.add.reduceat(observed.astype(float), edges[:-1])
    count[count == 0] = np.nan
    total = np.add.reduceat(np.where(observed, values, 0.0), edges[:-1])
    lowest, highest = np.fmin.reduceat(values, edges[:-1]), np.fmax.reduceat(values, edges[:-1])
    return lowest, total / count, highest


def _value_axis(values: Sequence[FloatArray], low_pixel: float, high_pixel: float) -> Axis:
    """Returns an axis over `values`, with a small margin."""
    present = np.concatenate(values)
    present = present[~np.isnan(present)]
    lowest, highest = (float(present.min()), float(present.max())) if present.size else (0.0, 1.0)
    margin = 0.04 * (highest - lowest) or 1.0
    return Axis(lowest - margin, highest + margin, low_pixel, high_pixel)


def _draw_names(names: Sequence[str], top: float) -> list[str]:
    """Returns the names of the rows of a chart, left of them."""
    return [
        charts.draw_text(
            charts.LABEL_WIDTH - 8,
            top + ROW * (row + 0.7),
            name if len(name) <= 44 else f"{name[:43]}…",
            anchor="end",
            size=10,
        )
        for row, name in enumerate(names)
    ]


def _with_unit(training_set: TrainingSet, location: int, name: str) -> str:
    units = {column.series: column.unit for column in training_set.bases[location].columns if " " not in column.name}
    unit = units.get(name)
    return f"{name} ({unit})" if unit else name


def _summary_table(training_set: TrainingSet, described: Mapping[str, Any]) -> str:
    location_count, steps, features = training_set.values.shape
    spec = training_set.spec
    unit = name_steps(spec.resolution)
    rows = {
        "period": f"{training_set.period}, {steps:,} {unit}",
        "locations": f"{location_count}: {', '.join(base.location for base in training_set.bases)}",
        "targets": ", ".join(training_set.bases[0].target_names),
        "features": f"{features:,}, of them {training_set.quality.shape[2]:,} inputs",
        "windows": f"{spec.seq_len:,} + {spec.horizon} {unit}, one every {spec.stride}: "
        + ", ".join(f"{len(windows):,} {name}" for name, windows in training_set.windows.items()),
        "left out": ", ".join(training_set.dropped) or "nothing",
        "as of": spec.as_of.isoformat() if spec.as_of else "all that was stored",
        "files read": f"{len(described['inputs']):,}",
        "fingerprint": described["fingerprint"],
    }
    table_rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f"<p>{escape(spec.description)}</p><table>{table_rows}</table>{_rejection_table(training_set)}"


def _rejection_table(training_set: TrainingSet) -> str:
    """Returns a table of the values that each rule rejected."""
    table_rows = [
        f"<tr><td>{escape(base.location)}</td><td>{escape(name)}</td><td>{rule}</td><td class='n'>{count:,}</td></tr>"
        for base in training_set.bases
        for name, rules in base.rejected.items()
        for rule, count in rules.items()
        if count
    ]
    if not table_rows:
        return "<p>No value was rejected.</p>"
    table_head = "<tr><th>location</th><th>series</th><th>rule</th><th>rejected</th></tr>"
    return f"<h3>Rejected values</h3><table>{table_head}{''.join(table_rows)}</table>"


HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2em auto; padding: 0 1em }}
h1, h2, h3 {{ line-height: 1.2 }} h2 {{ border-bottom: 1px solid #ccc; margin-top: 2em }} h3 {{ margin-bottom: 0 }}
p {{ margin: .3em 0 .6em; color: #444 }} svg {{ width: 100%; height: auto }}
table {{ border-collapse: collapse; font-size: 14px; margin: .6em 0 }}
th, td {{ text-align: left; padding: .15em 1.2em .15em 0; vertical-align: top }} th {{ color: #555; font-weight: 600 }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums }}
</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
