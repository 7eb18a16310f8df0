"""What is done about values that cannot be right, and about those that are missing; pure.

Every rule takes columns (C, T) with NaN where nothing is known, and decides on row `t` by rows up to
`t` alone. The exceptions say so: `fit_limits` and `find_outliers` are fitted on train rows,
`interpolate_gaps` reads the future.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Floats, Mask
from gridtide.training.series.plausible import UNBOUNDED, Nature
from gridtide.training.spec import Cleaning

MISSING, REPORTED, IMPUTED, REJECTED = range(4)
"""What a cell is: nothing reported nor filled; reported and kept; filled in; reported and thrown out."""


ROWS_PER_DAY, ROWS_PER_WEEK = 24, 168
"""In rows."""


SPARSE = 0.05
"""The share of missing train rows from which on a column is not interpolated in time."""


ROUNDS, NEAREST = 3, 20
"""How often each column is estimated, and from how many others: for ten years of 60 columns 8 s, within 4 % of the
error of all others, which take 64 s; more rounds mend nothing."""


@dataclass(frozen=True)
class Cleaned:
    """C columns over T rows: `values` (C, T), NaN where nothing is known; `quality` (C, T) uint8, see `MISSING`;
    `rejected`: by rule, which cells it threw out (C, T)."""

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
) -> Cleaned:
    """`values` (C, T), whose columns are of `natures`, without what `rules` reject and with gaps filled.

    `limits` (C, 2) are the lowest and highest of each column that are believed; without them all are. What is known
    `ahead` (C,) is not filled forward: the row before speaks of another hour, which had another price. Only rows
    `train` are fitted on, where a rule is fitted. Raises `TrainingError` where that needs scikit-learn and it is
    not installed.
    """
    believed, rejected = reject_values(values, natures, rules, limits)
    if rules.outliers == "isolation_forest_fitted_on_train":
        rejected["outlier"] = find_outliers(believed, train, rules.outlier_share)
        believed[rejected["outlier"]] = np.nan
    forward = rules.gaps == "forward"
    filled, quality = believed if forward else interpolate_gaps(believed, train), np.empty(believed.shape, np.uint8)
    for column in range(len(believed)):  # one by one, so that a column stays in the cache
        gaps = np.flatnonzero(np.isnan(believed[column]))
        if forward and not (ahead and ahead[column]):
            filled[column] = fill_forward(believed[column], rules.fill_limit)
        quality[column] = REPORTED
        quality[column, gaps] = np.where(np.isnan(filled[column, gaps]), MISSING, IMPUTED)
        for cells in rejected.values():
            np.copyto(quality[column], REJECTED, where=cells[column])
    return Cleaned(filled, quality, rejected)


def reject_values(
    values: Floats, natures: Sequence[Nature], rules: Cleaning, limits: Floats | None = None
) -> tuple[Floats, dict[str, Mask]]:
    """`values` (C, T) with NaN for what the causal `rules` reject or lies outside `limits` (C, 2), and by rule which
    cells those are (C, T)."""
    bounds = np.tile([-np.inf, np.inf], (len(values), 1)) if limits is None else limits
    everywhere = [True] * len(natures)
    causal: tuple[tuple[str, list[bool], Callable[[Floats, int], Mask]], ...] = (
        (
            "impossible",
            everywhere,
            lambda column, index: find_impossible(column, natures[index] if rules.impossible else UNBOUNDED),
        ),
        ("absurd", everywhere, lambda column, index: (column < bounds[index, 0]) | (column > bounds[index, 1])),
        (
            "stale",
            [nature.changes and rules.stale > 0 for nature in natures],
            lambda column, _: find_stale(column, rules.stale),
        ),
        (
            "spike",
            [nature.smooth and rules.spike > 0 for nature in natures],
            lambda column, _: find_spikes(column, rules.spike),
        ),
    )
    believed = np.empty_like(values)
    rejected = {rule: np.zeros(values.shape, bool) for rule, _, _ in causal}
    for index in range(len(values)):  # one by one, so that a column stays in the cache
        believed[index] = values[index]
        for rule, concerned, judge in causal:
            if concerned[index]:
                rejected[rule][index] = judge(believed[index], index)
                np.copyto(believed[index], np.nan, where=rejected[rule][index])
    return believed, rejected


ENOUGH = 100
"""Train hours with a value from which on limits are fitted."""


def fit_limits(values: Floats, widths: float) -> Floats:
    """The lowest and highest (C, 2) of the train rows `values` (C, T) that are believed of each column.

    They lie `widths` times the width of 98 % of the values away from their median, so that fewer than one in a
    hundred absurd values do not move them. Infinite for `widths` 0, for a column of fewer than `ENOUGH` values, and
    for one of which 98 % are equal.
    """
    limits = np.tile([-np.inf, np.inf], (len(values), 1))
    for column, row in enumerate(values if widths else values[:0]):
        known_values = row[~np.isnan(row)]
        if len(known_values) < ENOUGH:
            continue
        low, middle, high = np.quantile(known_values, [0.01, 0.5, 0.99])
        if high > low:
            limits[column] = middle - widths * (high - low), middle + widths * (high - low)
    return limits


def find_impossible(values: Floats, nature: Nature) -> Mask:
    """Which of `values` (T,) lie outside of what their `nature` allows."""
    cells: Mask = (values < nature.low) | (values > nature.high)
    return cells


def find_stale(values: Floats, run: int) -> Mask:
    """Which of `values` (T,) are at least the `run`-th of equal ones in a row; zeros and gaps are not."""
    cells: Mask = (values != 0) & ~np.isnan(values)
    if run == 1:
        return cells
    equal = np.zeros(len(values), bool)
    np.equal(values[1:], values[:-1], out=equal[1:])
    length = 1
    while length < run - 1:  # runs of `length` equal steps, doubled
        step = min(length, run - 1 - length)
        equal[step:] &= equal[:-step].copy()
        equal[:step] = False
        length += step
    cells &= equal
    return cells


def find_spikes(values: Floats, times: float) -> Mask:
    """Which of `values` (T,) jump by more than `times` a usual day's largest step.

    The jump is from the median of the values 1, 2, 3, 24 and 168 rows before: one or two spikes among
    them do not move it. Only where the first three are known is it judged; where one of the others is
    not, the value before takes its place. The largest step of a usual day is the median over the last
    seven whole days (of 24 rows from the first row on), of which at least three must be known.
    """
    limit = times * _usual_step(values)
    cells = np.zeros(len(values), bool)
    rows = _jump_rows(values, limit / 3)
    before = {back: values[np.maximum(rows - back, 0)] for back in (1, 2, 3, ROWS_PER_DAY, ROWS_PER_WEEK)}
    around = np.stack([np.where(rows >= back, earlier, np.nan) for back, earlier in before.items()])
    judged = ~np.isnan(around[:3]).any(axis=0)
    expected = np.sort(np.where(np.isnan(around), around[0], around), axis=0)[2]
    cells[rows] = judged & (np.abs(values[rows] - expected) > limit[rows // ROWS_PER_DAY])
    return cells


def _jump_rows(values: Floats, limit: Floats) -> npt.NDArray[np.int64]:
    """The rows of `values` (T,) with a step above their day's `limit` in the last three.

    No others can be spikes: what is off the median of the five is off one of the last three values.
    """
    steps = np.zeros(len(limit) * ROWS_PER_DAY)
    np.abs(values[1:] - values[:-1], out=steps[1 : len(values)])
    largest = steps.copy()
    for back in (1, 2):
        np.fmax(largest[back:], steps[:-back], out=largest[back:])
    rows = np.flatnonzero(largest.reshape(-1, ROWS_PER_DAY) > limit[:, None])
    return rows[rows < len(values)]


def _usual_step(values: Floats) -> Floats:
    """The median of the largest steps of the seven days before each day (days,), NaN where unknown or 0."""
    days = -(-len(values) // ROWS_PER_DAY)
    steps = np.full(days * ROWS_PER_DAY, -1.0)
    steps[1 : len(values)] = np.abs(values[1:] - values[:-1])
    largest = np.fmax.reduce(steps.reshape(days, ROWS_PER_DAY), axis=1)
    largest[largest < 0] = np.nan
    recent = np.sort(np.stack([_shift_later(largest, day) for day in range(1, 8)]), axis=0)  # NaN comes last
    count = (~np.isnan(recent)).sum(axis=0)
    every = np.arange(days)
    usual = (recent[np.maximum(count - 1, 0) // 2, every] + recent[np.minimum(count // 2, 6), every]) / 2
    return np.where((count >= 3) & (usual > 0), usual, np.nan)


def _shift_later(values: Floats, rows: int) -> Floats:
    """`values` (…, T) of `rows` rows before."""
    shifted = np.full_like(values, np.nan)
    shifted[..., rows:] = values[..., : max(values.shape[-1] - rows, 0)]
    return shifted


def fill_forward(values: Floats, limit: int) -> Floats:
    """`values` (…, T) with gaps filled from the last value before, at most `limit` steps on.

    What lies further than `limit` from the last value stays NaN. Nothing after a step changes it.
    """
    filled = values.copy()
    gaps = np.nonzero(np.isnan(values))
    for back in range(1, limit + 1):  # only what is missing is looked at: mostly little
        inside = gaps[-1] >= back
        gaps = tuple(axis[inside] for axis in gaps)
        if not gaps[0].size:
            break
        earlier = values[(*gaps[:-1], gaps[-1] - back)]
        present = ~np.isnan(earlier)
        filled[tuple(axis[present] for axis in gaps)] = earlier[present]
        gaps = tuple(axis[~present] for axis in gaps)
    return filled


def find_outliers(values: Floats, train: slice, share: float) -> Mask:
    """Which of `values` (C, T) an isolation forest isolates by value and step, fitted on rows `train`.

    Liu, Ting and Zhou, Isolation Forest, 2008. `share` of the train rows count as outliers. Columns
    with less than two days of values in `train` are left as they are.
    """
    forest = _import_sklearn("ensemble").IsolationForest
    cells = np.zeros(values.shape, bool)
    steps = values - _shift_later(fill_forward(values, ROWS_PER_DAY), 1)
    for column, (value, step) in enumerate(zip(values, steps, strict=True)):
        points = np.stack([value, np.nan_to_num(step)], axis=1)
        present = ~np.isnan(value)
        fitted = points[train][present[train]]
        if len(fitted) >= 2 * ROWS_PER_DAY:
            model = forest(contamination=share, random_state=0).fit(fitted)
            cells[column, present] = model.predict(points[present]) < 0
    return cells


def interpolate_gaps(values: Floats, train: slice) -> Floats:
    """`values` (C, T) with the gaps inside filled **from both sides, the future too**.

    Columns of which less than 5 % is missing in rows `train` are interpolated in time, the others by a
    regression on the other columns of the same row, fitted on `train` (scikit-learn's
    `IterativeImputer`). Columns without a value in `train` stay as they are.
    """
    share = np.isnan(values[:, train]).mean(axis=1)
    rows = np.arange(values.shape[-1])
    filled = values.copy()
    for column in np.flatnonzero(share < SPARSE):
        present = np.flatnonzero(~np.isnan(values[column]))
        inside = rows[present[0] : present[-1] + 1]
        filled[column, inside] = np.interp(inside, present, values[column, present])
    sparse = (share >= SPARSE) & (share < 1)
    if sparse.any():
        used = np.flatnonzero(share < 1)
        regressed = _impute_columns(filled[used], train)
        filled[sparse] = regressed[np.isin(used, np.flatnonzero(sparse))]
    return filled


def _impute_columns(values: Floats, train: slice) -> Floats:
    """`values` (C, T), each with a value in `train`, with gaps as the others of their row say."""
    _import_sklearn("experimental.enable_iterative_imputer")
    imputer = _import_sklearn("impute").IterativeImputer(max_iter=ROUNDS, n_nearest_features=NEAREST, random_state=0)
    with _limit_threads(), warnings.catch_warnings():  # sums in another order would end in other bits
        warnings.simplefilter("ignore", _import_sklearn("exceptions").ConvergenceWarning)  # so many rounds are meant
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
