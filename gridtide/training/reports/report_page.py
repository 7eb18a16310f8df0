"""The report of a training set: one HTML page with pictures.

Only this module draws. It needs matplotlib, which `gridtide[report]` installs.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import FloatArray
from gridtide.training.series.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.training.windows.splits import requested_splits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gridtide.training.features.bases import Base
    from gridtide.training.training_set import TrainingSet


COLOURS = {"train": "#4477aa", "validation": "#ccbb44", "test": "#ee6677"}  # Paul Tol's, for all kinds of sight


QUALITIES = (
    ("reported", REPORTED, "#4477aa"),
    ("imputed", IMPUTED, "#ccbb44"),
    ("rejected", REJECTED, "#ee6677"),
    ("missing", MISSING, "#dddddd"),
)


STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
    "legend.frameon": False,
}


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
    """Renders the page of `training_set` with its manifest `described`; raises `TrainingError` without matplotlib."""
    sections = [_summary_table(training_set, described)]
    for location_index, base in enumerate(training_set.bases):
        sections.append(f"<h2>{escape(base.location)}</h2>")
        for title, caption, draw in PICTURES:
            picture = base64.b64encode(render_picture(training_set, location_index, draw)).decode()
            alternative_text = escape(f"{title} of {base.location}")
            sections.append(
                f"<h3>{title}</h3><p>{caption}</p><img alt='{alternative_text}' src='data:image/png;base64,{picture}'>"
            )
    return HTML.format(title=escape(training_set.spec.name), body="\n".join(sections))


Draw = Callable[["Figure", "TrainingSet", int], None]


def render_picture(training_set: TrainingSet, location: int, draw: Draw) -> bytes:
    """Renders one picture of a location of `training_set` as a PNG file; the same bytes for the same set."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TrainingError("pictures", f"need matplotlib: {error}", "Install gridtide[report]") from error
    with mpl.rc_context(STYLE):
        figure = Figure(layout="constrained")
        draw(figure, training_set, location)
        png_file = io.BytesIO()
        figure.savefig(png_file, format="png", metadata={"Software": None})
    return png_file.getvalue()


def draw_coverage(figure: Figure, training_set: TrainingSet, location: int) -> None:
    """Draws the reported share of each input over time."""
    base = training_set.bases[location]
    names, quality = _input_qualities(base)
    edges = _stretch_edges(len(quality), BINS)
    reported = np.add.reduceat((quality == REPORTED).astype(float), edges[:-1], axis=0) / np.diff(edges)[:, None]
    figure.set_size_inches(11, 1.2 + 0.19 * len(names))
    axes = figure.subplots()
    image = axes.imshow(
        reported.T,
        aspect="auto",
        interpolation="nearest",
        cmap="YlGnBu",
        vmin=0,
        vmax=1,
        extent=(*_matplotlib_dates(training_set, 0, len(quality)), len(names) - 0.5, -0.5),  # type: ignore[arg-type]  # numbers of days
    )
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    _time_axis(axes)
    _draw_bounds(axes, training_set, "white")
    colour_bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
    colour_bar.ax.yaxis.set_major_formatter(_percent_format())


def draw_targets(figure: Figure, training_set: TrainingSet, location: int) -> None:
    """Draws each target over time, within its splits."""
    base = training_set.bases[location]
    figure.set_size_inches(11, 2.6 * len(base.target_names))
    all_axes = figure.subplots(len(base.target_names), squeeze=False, sharex=True)[:, 0]
    for axes, name, values in zip(all_axes, base.target_names, base.targets.T, strict=True):
        edges = _stretch_edges(len(values), 4 * BINS)
        lowest, mean, highest = _bin_values(values, edges)
        middle = _matplotlib_dates(training_set, *((edges[:-1] + edges[1:]) / 2))
        for split in requested_splits(training_set.spec):
            begin, end = training_set.bounds.ranges()[split]
            axes.axvspan(*_matplotlib_dates(training_set, begin, end), color=COLOURS[split], alpha=0.13, lw=0)
            window_count = len(training_set.windows[split])
            axes.text(
                _matplotlib_dates(training_set, (begin + end) / 2)[0],
                1.0,
                f"{split}\n{window_count:,} window{'s' * (window_count != 1)}",
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                color=COLOURS[split],
            )
        axes.fill_between(middle, lowest, highest, color="#888888", alpha=0.35, lw=0)
        axes.plot(middle, mean, color="#222222", lw=0.9)
        axes.set_ylabel(_with_unit(training_set, location, name))
        axes.margins(x=0)
    _time_axis(all_axes[-1])


def draw_distributions(figure: Figure, training_set: TrainingSet, location: int) -> None:
    """Draws the distributions of targets and inputs in train and in test steps."""
    base = training_set.bases[location]
    distributions: list[tuple[str, FloatArray]] = [
        (name, np.asarray(values)) for name, values in zip(base.target_names, base.targets.T, strict=True)
    ]
    strongest: dict[str | None, int] = {}  # one feature of each series: those of one look much alike
    for index in _rank_features(training_set, location).tolist():
        strongest.setdefault(base.columns[index].series, index)
    for index in list(strongest.values())[: max(3 * ACROSS - len(distributions), 0)]:
        distributions.append((base.columns[index].name, np.where(base.mask[:, index], base.values[:, index], np.nan)))
    rows = -(-len(distributions) // ACROSS)
    figure.set_size_inches(11, 1.9 * rows)
    all_axes = figure.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes, (name, values) in zip(all_axes, distributions, strict=False):
        _draw_histogram(axes, values, training_set.bounds.ranges())
        axes.set_title(_break_name(name), fontsize=7.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in all_axes[len(distributions) :]:
        axes.set_visible(False)
    all_axes[0].legend(loc="upper right", fontsize=8)


def _draw_histogram(axes: Axes, values: FloatArray, ranges: Mapping[str, tuple[int, int]]) -> None:
    present = values[~np.isnan(values)]
    if not present.size:
        return
    low_quantile, high_quantile = (float(quantile) for quantile in np.quantile(present, [0.001, 0.999]))
    bins = np.linspace(low_quantile, high_quantile if high_quantile > low_quantile else low_quantile + 1, 40).tolist()
    for split in ("train", "test"):
        split_values = values[slice(*ranges[split])]
        split_values = split_values[~np.isnan(split_values)]
        if split_values.size:
            weights = np.full(split_values.size, 1 / split_values.size)
            axes.hist(split_values, bins, weights=weights, histtype="stepfilled", alpha=0.25, color=COLOURS[split])
            axes.hist(split_values, bins, weights=weights, histtype="step", color=COLOURS[split], label=split)


def draw_qualities(figure: Figure, training_set: TrainingSet, location: int) -> None:
    """Draws the shares of each input that are reported, imputed, rejected and missing."""
    names, quality = _input_qualities(training_set.bases[location])
    figure.set_size_inches(11, 1.0 + 0.19 * len(names))
    axes = figure.subplots()
    cumulative_share = np.zeros(len(names))
    for label, code, colour in QUALITIES:
        share = (quality == code).mean(axis=0)
        axes.barh(range(len(names)), share, left=cumulative_share, color=colour, label=label, height=0.8)
        cumulative_share += share
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(_percent_format())
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=len(QUALITIES))


def draw_correlations(figure: Figure, training_set: TrainingSet, location: int) -> None:
    """Draws the features that correlate most with the first target, one step and a whole horizon ahead."""
    base = training_set.bases[location]
    strongest = _rank_features(training_set, location)[:STRONGEST]
    horizon = training_set.spec.horizon
    correlations = {
        ahead: correlate_target(training_set, location, ahead)[strongest] for ahead in dict.fromkeys((1, horizon))
    }
    figure.set_size_inches(11, 1.0 + 0.21 * len(strongest))
    axes = figure.subplots()
    rows = np.arange(len(strongest))
    correlation_pairs = np.stack(list(correlations.values()))
    axes.hlines(rows, correlation_pairs.min(axis=0), correlation_pairs.max(axis=0), color="#bbbbbb", lw=1.5)
    for (ahead, values), colour in zip(correlations.items(), ("#4477aa", "#ee6677"), strict=False):
        axes.scatter(values, rows, s=26, color=colour, label=f"{ahead} h ahead", zorder=3)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_yticks(rows, [base.columns[index].name for index in strongest], fontsize=7.5)
    axes.set_ylim(len(strongest) - 0.4, -0.6)
    axes.set_xlim(-1, 1)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"correlation with {base.target_names[0]}, over train steps")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)


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


def correlate_target(training_set: TrainingSet, location: int, ahead: int) -> npt.NDArray[np.float64]:
    """Returns the correlation of each feature (F,) with the first target `ahead` steps later, over train steps where
    both are observed: Pearson's r, 0 if one of them does not vary."""
    train_steps, columns = training_set.bounds.train_end, training_set.values.shape[2]
    correlations = np.zeros(columns)
    if train_steps <= ahead:
        return correlations
    y, target_observed = (
        training_set.targets[location, ahead:train_steps, 0],
        training_set.target_mask[location, ahead:train_steps, 0],
    )
    y = np.where(target_observed, y, 0)
    for first_column in range(0, columns, COLUMNS_AT_ONCE):
        column_slice = slice(first_column, first_column + COLUMNS_AT_ONCE)
        paired = training_set.mask[location, : train_steps - ahead, column_slice].astype(np.float32)
        x = training_set.values[location, : train_steps - ahead, column_slice] * paired
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


def _rank_features(training_set: TrainingSet, location: int) -> npt.NDArray[np.int64]:
    """Returns the features by the strength of their correlation with the target a horizon ahead, strongest first."""
    strengths = np.abs(correlate_target(training_set, location, training_set.spec.horizon)).round(6)
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


def _matplotlib_dates(training_set: TrainingSet, *steps: float) -> list[float]:
    """Converts `steps` to days since 1970, the unit of matplotlib's dates."""
    from matplotlib.dates import date2num

    return [float(date2num(training_set.period.start + float(step) * timedelta(hours=1))) for step in steps]


def _time_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axes.xaxis_date()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _draw_bounds(axes: Axes, training_set: TrainingSet, colour: str) -> None:
    for split in requested_splits(training_set.spec)[1:]:
        begin, _ = training_set.bounds.ranges()[split]
        axes.axvline(_matplotlib_dates(training_set, begin)[0], color="#ee6677", lw=1.2)


def _percent_format() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=0)


def _with_unit(training_set: TrainingSet, location: int, name: str) -> str:
    units = {column.series: column.unit for column in training_set.bases[location].columns if " " not in column.name}
    unit = units.get(name)
    return f"{name}\n{unit}" if unit else name


def _break_name(name: str) -> str:
    """Breaks `name` into lines of at most 30 characters, after a slash or at a blank."""
    return "\n".join(_break_lines(name, 30))


def _break_lines(remaining: str, width: int) -> Iterator[str]:
    while len(remaining) > width:
        break_at = max(remaining.rfind("/", 0, width), remaining.rfind(" ", 0, width), remaining.rfind("_", 0, width))
        break_at = break_at if break_at > 0 else width - 1
        yield remaining[: break_at + 1].rstrip()
        remaining = remaining[break_at + 1 :]
    yield remaining


def _summary_table(training_set: TrainingSet, described: Mapping[str, Any]) -> str:
    location_count, steps, features = training_set.values.shape
    spec = training_set.spec
    rows = {
        "period": f"{training_set.period}, {steps:,} hours",
        "locations": f"{location_count}: {', '.join(base.location for base in training_set.bases)}",
        "targets": ", ".join(training_set.bases[0].target_names),
        "features": f"{features:,}, of them {training_set.quality.shape[2]:,} inputs",
        "windows": f"{spec.seq_len:,} + {spec.horizon} hours, one every {spec.stride}: "
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
p {{ margin: .3em 0 .6em; color: #444 }} img {{ max-width: 100% }}
table {{ border-collapse: collapse; font-size: 14px; margin: .6em 0 }}
th, td {{ text-align: left; padding: .15em 1.2em .15em 0; vertical-align: top }} th {{ color: #555; font-weight: 600 }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums }}
</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
