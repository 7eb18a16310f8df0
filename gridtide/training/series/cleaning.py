"""Rejects impossible values and fills gaps; pure.

Every rule takes columns (C, T) with NaN where nothing is known, and decides on row `t` from rows up to `t` only. The
exceptions: `fit_limits` and `find_outliers` are fitted on train rows, `interpolate_gaps` reads the future.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Floats, Mask
from gridtide.periods import DAY, HOUR
from gridtide.quality.checks import ROWS_PER_DAY, find_impossible, find_repeats, find_spikes, find_stale
from gridtide.quality.flags import Flag
from gridtide.quality.natures import UNBOUNDED, Nature
from gridtide.quality.screening import CHECKS, find_suspects, find_unjudged, flag_of_check
from gridtide.quality.shifting import shift_later
from gridtide.threads import compute_columns
from gridtide.training.series.steps import split_phases
from gridtide.training.spec import Cleaning, Quality

MISSING, REPORTED, IMPUTED, REJECTED = range(4)
"""The state of a cell: neither reported nor filled; reported and kept; filled; reported and rejected."""


DEFAULT_QUALITY = Quality()


SPARSE = 0.05
"""A column is interpolated in time only if less than this share of its train rows is missing."""


ROUNDS, NEAREST = 3, 20
"""How often each column is estimated, and from how many other columns. For ten years of 60 columns this takes 8 s, and
the error is within 4 % of that with all other columns, which takes 64 s; more rounds do not reduce it."""


@dataclass(frozen=True)
class Cleaned:
    """C columns over T rows: `values` (C, T), NaN where nothing is known; `quality` (C, T) uint8, see `MISSING`;
    `rejected`: by rule, the rejected cells (C, T)."""

    values: Floats
    quality: npt.NDArray[np.uint8]
    rejected: Mapping[str, Mask]


def clean_columns(
    values: Floats,
    natures: Sequence[Nature],
    rules: Cleaning,
    train: slice,
    limits: Floats | None = None,
    ahead: Sequence[bool] | None = None,
    requirement: Quality = DEFAULT_QUALITY,
    step: timedelta = HOUR,
) -> Cleaned:
    """Returns `values` (C, T) without the values that `rules` reject, and with gaps filled.

    `natures` are those of the columns. `limits` (C, 2) are the lowest and highest accepted value of each column; None
    means no limits. Columns that are known `ahead` (C,) are not filled forward, because the row before describes
    another hour with another price. Rules that are fitted are fitted on the rows `train` only. `requirement` says
    which flags of the screening are rejected. Raises `TrainingError` if a fitted rule needs scikit-learn and it is not
    installed.
    """
    believed, rejected = reject_values(values, natures, rules, limits, requirement, step)
    if rules.outliers == "isolation_forest_fitted_on_train":
        rejected["outlier"] = find_outliers(believed, train, rules.outlier_share)
        believed[rejected["outlier"]] = np.nan
    fills_forward = rules.gaps == "forward"
    filled, quality = (
        believed if fills_forward else interpolate_gaps(believed, train),
        np.empty(believed.shape, np.uint8),
    )

    def fill(column: int) -> None:
        gap_rows = np.flatnonzero(np.isnan(believed[column]))
        if fills_forward and not (ahead and ahead[column]):
            filled[column] = fill_forward(believed[column], rules.fill_limit * HOUR // step)
        quality[column] = REPORTED
        quality[column, gap_rows] = np.where(np.isnan(filled[column, gap_rows]), MISSING, IMPUTED)
        for cells in rejected.values():
            np.copyto(quality[column], REJECTED, where=cells[column])

    compute_columns(fill, *believed.shape)  # column by column, so that each stays in the cache
    return Cleaned(filled, quality, rejected)


def reject_values(
    values: Floats,
    natures: Sequence[Nature],
    rules: Cleaning,
    limits: Floats | None = None,
    requirement: Quality = DEFAULT_QUALITY,
    step: timedelta = HOUR,
) -> tuple[Floats, dict[str, Mask]]:
    """Returns `values` (C, T) in rows of `step` with NaN for the values that the causal `rules` reject, whose flag of
    the screening is below the `requirement`, or that lie outside `limits` (C, 2); and by rule the rejected cells (C,
    T).

    The rules judge hours. Of shorter steps, those at the same minute of each hour are judged as one series of hours; of
    days, only by what does not compare them with other hours.
    """
    bounds = np.tile([-np.inf, np.inf], (len(values), 1)) if limits is None else limits
    believed = np.empty_like(values)
    rejected = {rule: np.zeros(values.shape, bool) for rule in _list_rules(rules, requirement)}

    def judge(index: int) -> None:
        believed[index] = values[index]
        phases = zip(*(split_phases(rows, step) for rows in (values[index], believed[index])), strict=True)
        for phase, (observed, believed_phase) in enumerate(phases):
            judged = (
                _screen_column(observed, natures[index], requirement, bounds[index])
                if rules.is_screened
                else _apply_rules(observed, natures[index], rules, bounds[index])
            )
            for rule, cells in judged:
                if step < DAY or rule in OF_ONE_VALUE:
                    split_phases(rejected[rule][index], step)[phase][:] = cells
                    np.copyto(believed_phase, np.nan, where=cells)

    compute_columns(judge, *values.shape)  # column by column, so that each stays in the cache
    return believed, rejected


OF_ONE_VALUE = frozenset({"absurd", "range", "impossible", "zero"})
"""The rules that look at a value alone, and so judge days too."""


SCREENING = ("absurd", *CHECKS)
"""The causal rules of the default, in their order: the limits, then the checks of the screening."""


UNJUDGED = "not_evaluated"
"""The rule that rejects what no check could judge, where only good values are used."""


def _list_rules(rules: Cleaning, requirement: Quality) -> tuple[str, ...]:
    """Returns the names of the causal rules that a spec applies, in their order."""
    if not rules.is_screened:
        return THRESHOLD_RULES
    return (*SCREENING, UNJUDGED) if requirement.minimum == "good" else SCREENING


def _screen_column(values: Floats, nature: Nature, requirement: Quality, bounds: Floats) -> Iterator[tuple[str, Mask]]:
    """Yields the cells of `values` (T,) outside `bounds` (2,), then those that each causal check flags, as far as
    `requirement` excludes its flag."""
    is_absurd = (values < bounds[0]) | (values > bounds[1])
    yield "absurd", is_absurd
    believed = np.where(is_absurd, np.nan, values)
    unjudged = find_unjudged(believed, nature) & ~np.isnan(believed)
    for check, cells in find_suspects(believed, nature):
        unjudged &= ~cells
        if flag_of_check(check) == Flag.FAIL or requirement.minimum != "suspect":
            yield check, cells
    if requirement.minimum == "good":
        yield UNJUDGED, unjudged


THRESHOLD_RULES = ("impossible", "absurd", "zero", "stale", "repeat", "spike")
"""The causal rules without screening, in their order."""


def _apply_rules(values: Floats, nature: Nature, rules: Cleaning, bounds: Floats) -> Iterator[tuple[str, Mask]]:
    """Yields the cells of `values` (T,) that each of `THRESHOLD_RULES` rejects among those that are left."""
    believed = values.copy()

    def reject(rule: str, cells: Mask) -> tuple[str, Mask]:
        believed[cells] = np.nan
        return rule, cells

    yield reject("impossible", find_impossible(believed, nature if rules.impossible else UNBOUNDED))
    yield reject("absurd", (believed < bounds[0]) | (believed > bounds[1]))
    if nature.aggregate and rules.zeros:
        yield reject("zero", believed == 0)
    if nature.changes and rules.stale:
        yield reject("stale", find_stale(believed, rules.stale))
    if nature.aggregate and rules.repeat:
        yield reject("repeat", find_repeats(believed, rules.repeat))
    if nature.smooth and rules.spike:
        yield reject("spike", find_spikes(believed, rules.spike))


ENOUGH = 100
"""The fewest train hours with a value for which limits are fitted."""


def fit_limits(values: Floats, widths: float) -> Floats:
    """Returns the lowest and highest accepted value of each column, (C, 2), from the train rows `values` (C, T).

    The limits lie `widths` times the width of the middle 98 % of the values away from their median, so that absurd
    values do not move them as long as they are fewer than one in a hundred; nor do more, if they are one value above
    or below all others, such as a sentinel. They are infinite if `widths` is 0, if a column has fewer than `ENOUGH`
    values, or if 98 % of its values are equal.
    """
    limits = np.tile([-np.inf, np.inf], (len(values), 1))

    def fit(column: int) -> None:
        limits[column] = _fit_column_limits(values[column][~np.isnan(values[column])], widths)

    if widths:
        compute_columns(fit, *values.shape)
    return limits


def _fit_column_limits(known_values: Floats, widths: float) -> tuple[float, float]:
    """Returns the limits of one column from its `known_values` (N,), as `fit_limits` does."""
    quantiles = _find_quantiles(known_values)
    if not quantiles[0] < quantiles[2]:
        return -np.inf, np.inf
    extremes = float(known_values.min()), float(known_values.max())
    repeated = [extreme for extreme in extremes if extreme in (quantiles[0], quantiles[2])]
    if repeated:
        low, high = _place_limits(_find_quantiles(_leave_out(known_values, repeated)), widths)
        sentinels = [value for value in repeated if not low <= value <= high]
        quantiles = _find_quantiles(_leave_out(known_values, sentinels)) if sentinels else quantiles
    return _place_limits(quantiles, widths)


def _find_quantiles(known_values: Floats) -> tuple[float, float, float]:
    """Returns the quantiles of 1, 50 and 99 % of `known_values` (N,); 0 if they are fewer than `ENOUGH`."""
    if len(known_values) < ENOUGH:
        return 0.0, 0.0, 0.0
    low_quantile, median, high_quantile = np.quantile(known_values, [0.01, 0.5, 0.99]).tolist()
    return low_quantile, median, high_quantile


def _place_limits(quantiles: tuple[float, float, float], widths: float) -> tuple[float, float]:
    """Returns the limits around the median of `quantiles`, `widths` times their width away; infinite if it is 0."""
    low_quantile, median, high_quantile = quantiles
    if high_quantile <= low_quantile:
        return -np.inf, np.inf
    return median - widths * (high_quantile - low_quantile), median + widths * (high_quantile - low_quantile)


def _leave_out(known_values: Floats, left_out: Sequence[float]) -> Floats:
    """Returns `known_values` (N,) but for those of `left_out`."""
    remaining: Floats = known_values[~np.isin(known_values, left_out)]
    return remaining


def fill_forward(values: Floats, limit: int) -> Floats:
    """Fills gaps of `values` (…, T) with the last value before, over at most `limit` steps.

    Cells further than `limit` from the last value stay NaN. No later value changes a cell.
    """
    filled = values.copy()
    gap_indices = np.nonzero(np.isnan(values))
    for rows_back in range(1, limit + 1):  # only missing cells are visited: usually few
        has_earlier = gap_indices[-1] >= rows_back
        gap_indices = tuple(axis[has_earlier] for axis in gap_indices)
        if not gap_indices[0].size:
            break
        earlier = values[(*gap_indices[:-1], gap_indices[-1] - rows_back)]
        is_known = ~np.isnan(earlier)
        filled[tuple(axis[is_known] for axis in gap_indices)] = earlier[is_known]
        gap_indices = tuple(axis[~is_known] for axis in gap_indices)
    return filled


def find_outliers(values: Floats, train: slice, share: float) -> Mask:
    """Returns the cells of `values` (C, T) that an isolation forest isolates by value and step, fitted on the rows
    `train`.

    Liu, Ting and Zhou, Isolation Forest, 2008. `share` is the share of train rows that count as outliers. Columns with
    less than two days of values in `train` get no outliers.
    """
    forest = _import_sklearn("ensemble").IsolationForest
    is_outlier = np.zeros(values.shape, bool)
    steps = values - shift_later(fill_forward(values, ROWS_PER_DAY), 1)
    for column, (value, step) in enumerate(zip(values, steps, strict=True)):
        points = np.stack([value, np.nan_to_num(step)], axis=1)
        is_known = ~np.isnan(value)
        train_points = points[train][is_known[train]]
        if len(train_points) >= 2 * ROWS_PER_DAY:
            model = forest(contamination=share, random_state=0).fit(train_points)
            is_outlier[column, is_known] = model.predict(points[is_known]) < 0
    return is_outlier


def interpolate_gaps(values: Floats, train: slice) -> Floats:
    """Fills inner gaps of `values` (C, T) **from both sides, so also from the future**.

    Columns with less than 5 % missing in the rows `train` are interpolated in time, the others by a regression on the
    other columns of the same row, fitted on `train` (scikit-learn's `IterativeImputer`). Columns without a value in
    `train` are not filled.
    """
    missing_share = np.isnan(values[:, train]).mean(axis=1)
    rows = np.arange(values.shape[-1])
    filled = values.copy()
    for column in np.flatnonzero(missing_share < SPARSE):
        known_rows = np.flatnonzero(~np.isnan(values[column]))
        rows_inside = rows[known_rows[0] : known_rows[-1] + 1]
        filled[column, rows_inside] = np.interp(rows_inside, known_rows, values[column, known_rows])
    sparse = (missing_share >= SPARSE) & (missing_share < 1)
    if sparse.any():
        has_train_values = np.flatnonzero(missing_share < 1)
        regressed = _impute_columns(filled[has_train_values], train)
        filled[sparse] = regressed[np.isin(has_train_values, np.flatnonzero(sparse))]
    return filled


def _impute_columns(values: Floats, train: slice) -> Floats:
    """Fills the gaps of `values` (C, T) by regression on the other columns of the row; each column must have a value in
    `train`."""
    _import_sklearn("experimental.enable_iterative_imputer")
    imputer = _import_sklearn("impute").IterativeImputer(max_iter=ROUNDS, n_nearest_features=NEAREST, random_state=0)
    with _limit_threads(), warnings.catch_warnings():  # sums in another order would differ in the last bits
        warnings.simplefilter(
            "ignore", _import_sklearn("exceptions").ConvergenceWarning
        )  # the number of rounds is intended
        imputer.fit(values[:, train].T)
        return np.ascontiguousarray(imputer.transform(values.T).T)


def _import_sklearn(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{name}")
    except ImportError as error:
        raise TrainingError(
            "cleaning",
            f"isolation forests and interpolation from the future need scikit-learn: {error}",
            "Install gridtide[learn], or leave outliers at keep and gaps at forward",
        ) from error


def _limit_threads() -> Any:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)
