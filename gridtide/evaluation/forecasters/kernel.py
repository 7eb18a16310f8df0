"""Kernel regression over whole windows: a Gaussian process whose inputs are what was known at the t0 of a window, and
whose outputs are all its steps.

    last week of the target, other inputs, covariates, calendar  ─►  similarity of windows  ─►  all steps at once

It learns much from few windows, of which a year of days has only 365. It solves one system of equations of all windows
to learn from, so that no parameter is fitted; the weights of the groups of inputs were chosen on the days of 2017 and
2018 in New England. Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2. It needs SciPy,
which comes with scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gridtide.evaluation.evaluation_set import EvaluationSet, shift_earlier
from gridtide.evaluation.forecasters.learned import LARGEST_DEVIATION, import_learner
from gridtide.evaluation.forecasters.naive import OWN_FORECAST, by_location
from gridtide.evaluation.predictors import describe_calendar, read_hours
from gridtide.observations.array_types import FloatArray, Floats, Integers, Mask
from gridtide.periods import HOUR

MOST_WINDOWS = 6000
"""Of more windows to learn from, the latest are taken: time and memory grow with the cube and the square of them."""

OWN_LAGS = {
    "last hours": (0, 6),
    "day": (6, 16),
    "night": (16, 22),
    "day before": (22, 46),
    "days": (46, 142),
    "week before": (142, 168),
}
"""The hours of the target before t0 by group, counted from the latest that was known: `[first, end)`. Shorter steps
are averaged to hours; a longer one counts as much as all of its hours."""

WEEK = 168
"""The hours of a week."""

RECENT = 22
"""The latest hours whose change from the day and the week before describes each other input."""

INPUT_BLOCKS = ((0, 2), (2, 4), (4, 8), (8, 12), (12, 16), (16, 22), (22, 28), (28, 34), (34, 40), (40, 46))
"""The blocks of hours whose means describe each other input, counted in the same way."""

WEIGHTS: Mapping[str, float] = {
    "last hours": 0.1,
    "day": 0.044,
    "night": 0.0125,
    "day before": 0.01,
    "days": 0.005,
    "week before": 0.004,
    "inputs": 0.039,
    "future": 0.1,
    "year": 0.25,
    "half year": 0.23,
    "weekday": 0.0625,
    "holiday": 0.125,
    "hour": 0.3,
    "trend": 0.2,
}
"""How much a deviation of each input of a group changes the similarity of two windows."""

NOISE = 0.04
"""The share of the variance of windows that no input explains."""

LINEAR, LINEAR_ALWAYS, SEASON = 0.6, 0.12, 0.75
"""The weights of the linear part that holds near the time of year, within about 1 / `SEASON` deviations of it, and of
the one that always holds."""

LEAST_KNOWN = 0.75
"""The share of its steps that must be observed in a window to learn from; the others are interpolated."""


class WindowTable(NamedTuple):
    """What is known of N windows: `values` (N, P), NaN where not known; `weights` (P,) of these inputs; `season` (N,
    2): the place in the year; `level` (N,): the mean of the target in the last known week, from which all is
    counted."""

    values: Floats
    weights: FloatArray
    season: FloatArray
    level: Floats


def predict_kernel(evaluation: EvaluationSet, train: Integers, test: Integers) -> Floats:
    """Kernel regression, one for each location."""

    def predict(location: int, windows: Integers) -> Floats:
        own_train = train[evaluation.location[train] == location][-MOST_WINDOWS:]
        predictions = np.full((len(windows), evaluation.horizon), np.nan)
        if not len(own_train):
            return predictions
        end = int(evaluation.t0[own_train].max())
        logarithmic = is_positive(evaluation.truth[own_train])
        examples, questions = (
            describe_windows(evaluation, location, chosen, end, logarithmic) for chosen in (own_train, windows)
        )
        truth = evaluation.truth[own_train]
        answers = _interpolate_steps(np.log(truth) if logarithmic else truth) - examples.level[:, None]
        usable = np.asarray(~np.isnan(answers).any(axis=1))
        answerable = np.asarray(~np.isnan(questions.level))
        if usable.any() and answerable.any():
            examples, questions = _take(examples, usable), _take(questions, answerable)
            predictions[answerable] = _regress(examples, answers[usable], questions) + questions.level[:, None]
        return np.exp(predictions) if logarithmic else predictions

    return by_location(evaluation, test, predict)


def is_positive(values: Floats) -> bool:
    """Whether all observed `values` are above 0, so that their logarithms are learned."""
    return bool(np.nanmin(values, initial=np.inf) > 0)


def _take_logarithm(values: Floats) -> Floats:
    """Returns the logarithm of `values`; NaN of those that have none."""
    return np.log(np.where(values > 0, values, np.nan))


def describe_windows(
    evaluation: EvaluationSet, location: int, windows: Integers, end: int, logarithmic: bool
) -> WindowTable:
    """Returns what was known of the `windows` of `location` at their t0; inputs that are positive before step `end`
    count by their logarithms, the target if it is `logarithmic`."""
    t0 = evaluation.t0[windows]
    history = evaluation.own_history(location)
    values = _take_logarithm(history.values) if logarithmic else history.values
    lags = _read_blocks(evaluation, values, t0 - 1 - history.delay, WEEK)
    level = _mean_known(lags)
    groups = [("inputs", table) for table in _describe_inputs(evaluation, location, t0, end)]
    groups += [("future", table) for table in _describe_future(evaluation, location, windows, level, logarithmic)]
    calendar = list(_describe_calendar(evaluation, location, windows))
    groups += calendar
    per_step = {"future": np.sqrt(evaluation.step / HOUR)}  # so that the steps of an hour count as one
    weights = [np.full(table.shape[1], WEIGHTS[name] * per_step.get(name, 1.0), np.float32) for name, table in groups]
    season = next(table for name, table in calendar if name == "year").astype(np.float32)
    return WindowTable(
        np.concatenate([lags - level[:, None], *(table for _, table in groups)], axis=1),
        np.concatenate([_weigh_lags(_block_hours(evaluation)), *weights]),
        season,
        level,
    )


def _block_hours(evaluation: EvaluationSet) -> int:
    """Returns the hours of a block: one, or those of a longer step."""
    return max(evaluation.step // HOUR, 1)


def _read_blocks(evaluation: EvaluationSet, values: Floats, last_step: Integers, hours: int) -> Floats:
    """Returns the means of what is known of `values` (T,) in the blocks of `hours` hours up to the steps `last_step`
    (N,), the latest first, (N, blocks)."""
    steps = max(HOUR // evaluation.step, 1)
    blocks = hours // _block_hours(evaluation)
    read = read_hours(values, last_step[:, None] - np.arange(blocks * steps))
    return read if steps == 1 else _mean_known(read.reshape(-1, steps)).reshape(-1, blocks)


def _weigh_lags(block_hours: int) -> FloatArray:
    """Returns the weight of each block of the last week of the target, the latest first."""
    of_hours = np.concatenate([np.full(end - first, WEIGHTS[name]) for name, (first, end) in OWN_LAGS.items()])
    squares = np.square(of_hours).reshape(-1, block_hours).sum(axis=1)
    return np.asarray(np.sqrt(squares), np.float32)


def _describe_inputs(evaluation: EvaluationSet, location: int, t0: Integers, end: int) -> Iterator[Floats]:
    """Yields, of each visible input but the target, the means of `INPUT_BLOCKS` and the changes of the last day from
    the day and the week before, all counted from its mean of the last week; of inputs with values of 0 or less also
    this mean."""
    description, block = evaluation.locations[location], _block_hours(evaluation)
    recent = max(RECENT // block, 1)
    spans = dict.fromkeys((first // block, -(-end // block)) for first, end in INPUT_BLOCKS)
    for number, column in enumerate(description["columns"][: evaluation.arrays["quality"].shape[2]]):
        series = column["series"]
        if series in (None, description["targets"][evaluation.target]) or not evaluation.is_visible(series):
            continue
        delay = int(column["lookback"])
        values = shift_earlier(evaluation.column(location, number), delay)
        logarithmic = is_positive(values[:end])
        logarithms = _take_logarithm(values) if logarithmic else values
        lags = _read_blocks(evaluation, logarithms, t0 - 1 - delay, WEEK + recent * block)
        level = _mean_known(lags[:, : WEEK // block])
        blocks = [_mean_known(lags[:, first:end_block]) - level for first, end_block in spans]
        for back in (24 // block, WEEK // block):
            blocks.append(_mean_known(lags[:, :recent] - lags[:, back : back + recent]))
        yield np.stack([*blocks, *(() if logarithmic else (level,))], axis=1)


def _describe_future(
    evaluation: EvaluationSet, location: int, windows: Integers, level: Floats, logarithmic: bool
) -> Iterator[Floats]:
    """Yields the visible covariates of the steps, (N, H) each; forecasts of the target itself count from its level."""
    names, values = evaluation.future(location, windows)
    for number, name in enumerate(names):
        if name.startswith("calendar/") or name == "absent" or name.endswith(" age") or not evaluation.is_visible(name):
            continue
        of_steps = values[:, :, number]
        if OWN_FORECAST.fullmatch(name.rpartition("/")[2]) and logarithmic:
            yield _take_logarithm(of_steps) - level[:, None]
        else:
            yield of_steps


def _describe_calendar(evaluation: EvaluationSet, location: int, windows: Integers) -> Iterator[tuple[str, Floats]]:
    """Yields groups of the calendar of the steps: by the middle step the time of year and the weekday; the share of
    holidays; the hour of t0; and the years since the begin of the set."""
    columns = describe_calendar(evaluation, location, evaluation.steps[windows])
    middle = evaluation.horizon // 2
    year = np.arctan2(columns["calendar/year_sin"][:, middle], columns["calendar/year_cos"][:, middle])
    yield "year", np.stack([np.sin(year), np.cos(year)], axis=1)
    yield "half year", np.stack([np.sin(2 * year), np.cos(2 * year)], axis=1)
    yield "weekday", np.eye(7)[columns["weekday"][:, middle].astype(int)]
    special = [
        columns[f"calendar/{name}"].mean(axis=1)
        for name in ("holiday", "day_before_holiday", "day_after_holiday")
        if f"calendar/{name}" in columns
    ]
    yield "holiday", np.stack([columns["calendar/weekend"].mean(axis=1), *special], axis=1)
    hours = evaluation.minutes_of_day(location) / 60
    hour = 2 * np.pi / 24 * hours[np.minimum(evaluation.t0[windows], len(hours) - 1)]
    yield "hour", np.stack([np.sin(hour), np.cos(hour)], axis=1)
    yield "trend", evaluation.t0[windows][:, None] / (365.25 * evaluation.day)


def _regress(examples: WindowTable, answers: Floats, questions: WindowTable) -> Floats:
    """Returns the mean of the Gaussian process at the windows `questions`, (A, H), given the `answers` (N, H) of
    `examples`."""
    import_learner("linear_model")  # says what to install
    from scipy.linalg import cho_factor, cho_solve  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits

    example_inputs, question_inputs = _weigh_inputs(examples, questions)
    mean = answers.mean(axis=0)
    with threadpool_limits(1):  # the same result on every machine
        covariance = measure_similarity(example_inputs, example_inputs, examples.season, examples.season)
        covariance[np.diag_indices(len(covariance))] += NOISE
        factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        weights = cho_solve(factor, (answers - mean).astype(np.float32), check_finite=False)
        similarity = measure_similarity(question_inputs, example_inputs, questions.season, examples.season)
        return np.asarray(similarity @ weights + mean)


def measure_similarity(
    inputs: FloatArray, other_inputs: FloatArray, season: FloatArray, other_season: FloatArray
) -> FloatArray:
    """Returns the covariance (N, M) of windows with the weighted `inputs` (N, P) and `other_inputs` (M, P): a part that
    falls with their distance, and a linear one that differs over the year."""
    product = inputs @ other_inputs.T
    similar = np.exp(-0.5 * _square_distances(inputs, other_inputs))
    of_season = np.exp(-0.5 * SEASON**2 * _square_distances(season, other_season))
    return np.asarray(similar + product * (LINEAR * of_season + LINEAR_ALWAYS), inputs.dtype)


def _square_distances(points: FloatArray, other_points: FloatArray) -> FloatArray:
    squares = np.square(points).sum(axis=1)[:, None] + np.square(other_points).sum(axis=1)[None]
    return np.asarray(np.maximum(squares - 2 * points @ other_points.T, 0))


def _weigh_inputs(examples: WindowTable, questions: WindowTable) -> tuple[FloatArray, FloatArray]:
    """Returns the inputs of both, standardised by `examples` and weighted; 0 for what is not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # inputs that are never known
        mean, deviation = np.nanmean(examples.values, axis=0), np.nanstd(examples.values, axis=0)
    deviation = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1), deviation, np.inf)
    standard_tables = (
        np.clip(np.nan_to_num((table.values - mean) / deviation), -LARGEST_DEVIATION, LARGEST_DEVIATION)
        for table in (examples, questions)
    )
    example_inputs, question_inputs = (inputs.astype(np.float32) * examples.weights for inputs in standard_tables)
    return example_inputs, question_inputs


def _take(table: WindowTable, rows: Mask) -> WindowTable:
    return WindowTable(table.values[rows], table.weights, table.season[rows], table.level[rows])


def _mean_known(values: Floats) -> Floats:
    """Returns the mean of what is known in each row of `values` (N, L); NaN where nothing is."""
    counts = (~np.isnan(values)).sum(axis=1)
    return np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


def _interpolate_steps(truth: Floats) -> Floats:
    """Returns `truth` (N, H) with missing steps interpolated within their windows; NaN throughout where less than
    `LEAST_KNOWN` of them is observed."""
    filled_values = np.full_like(truth, np.nan)
    steps = np.arange(truth.shape[1])
    is_observed = ~np.isnan(truth)
    for row in np.flatnonzero(is_observed.mean(axis=1) >= LEAST_KNOWN):
        filled_values[row] = np.interp(steps, steps[is_observed[row]], truth[row, is_observed[row]])
    return filled_values
