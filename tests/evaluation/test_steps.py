"""Sets of minutes and of days are evaluated in durations: a day is a day, whatever the steps."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.evaluation.comparison import compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.folds import known_before
from gridtide.evaluation.forecasters import kernel, learned, naive
from gridtide.evaluation.predictors import describe_calendar, tabulate
from gridtide.evaluation.score_report import render_scores
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from gridtide.training import manifest, tensors
from gridtide.training.features.bases import build_bases
from gridtide.training.series.coarsening import coarsen_hours
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import load_spec
from gridtide.training.training_set import assemble
from tests.support.grids import HOUR, START

DAY = timedelta(days=1)
LAG = timedelta(minutes=40)
"""How long after its interval a value is known."""

ZONE = "America/New_York"

STEPS = {
    "PT5M": {"horizon": "PT6H", "stride": "P1D", "seq_len": "P1D", "days": 30},
    "PT15M": {"horizon": "P1D", "stride": "P1D", "seq_len": "P1D", "days": 60},
    "PT30M": {"gate": "10:00", "horizon": 50, "stride": 48, "seq_len": "P1D", "days": 60},
    "P1D": {"horizon": 2, "stride": 1, "seq_len": 7, "days": 200},
}
"""Keys of a spec by resolution, and the days of its period."""


def simulate_load(moments: np.ndarray[Any, Any], seed: int = 0) -> np.ndarray[Any, Any]:
    """Load that follows the local hour and the weekday, with slow noise."""
    noise = np.random.default_rng(seed).normal(size=len(moments) + 287)
    slow = np.convolve(noise, np.ones(288) / 17, "valid")
    hour, day = moments % 24, moments // 24 % 7
    return np.asarray(1000 + 200 * np.sin(2 * np.pi * (hour - 9) / 24) - 90 * (day > 4) + 20 * slow)


def build_set(folder: Path, resolution: str) -> EvaluationSet:
    """A set that predicts load of five minutes, or, for days, of hours, in steps of `resolution`."""
    keys = dict(STEPS[resolution])
    days = int(str(keys.pop("days")))
    length = timedelta(hours=1) if resolution == "P1D" else timedelta(minutes=5)
    times = [START + number * length for number in range(days * DAY // length)]
    values = simulate_load(np.arange(len(times)) * (length / HOUR))
    rows = [
        Row(time, time + length, "ISNE", "load_five_minute", "MW", float(value))
        for time, value in zip(times, values, strict=True)
    ]
    place = {"name": "ISNE", "timezone": ZONE, "targets": ["iso_ne/ISNE/*"], "inputs": ["iso_ne/ISNE/*"]}
    spec = load_spec(
        {
            "name": "steps",
            "resolution": resolution,
            "locations": [place],
            "leads": [1],
            "cleaning": {"screening": "off"},
        }
        | keys
    )
    period = Period(START, START + days * DAY)
    grid = HourlyGrid(period, lambda name: True, resolution=spec.resolution)
    grid.add(from_rows("iso_ne", rows, START + timedelta(days=400)), Available(lag=LAG))
    hourly = grid.finish()
    hourly = coarsen_hours(hourly, spec.resolution) if resolution == "P1D" else hourly
    training = assemble(spec, period, build_bases(spec, hourly, period, grid.names_read))
    metadata = {"manifest": manifest.to_json(manifest.describe_set(training, []))}
    body = tensors.encode_tensors(manifest.to_tensors(training), metadata)
    (folder / "sequences.safetensors").write_bytes(b"".join(map(bytes, body)))
    return open_evaluation(folder)


@pytest.fixture(scope="module", params=STEPS)
def evaluation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """A set in each resolution."""
    return build_set(tmp_path_factory.mktemp("set"), request.param)


def true_load(evaluation: EvaluationSet, moment: datetime) -> float:
    """The mean of the simulated load over the step at `moment`."""
    length = HOUR if evaluation.step == DAY else timedelta(minutes=5)
    count = evaluation.period.duration // length
    values = simulate_load(np.arange(count) * (length / HOUR))
    first = (moment - START) // length
    return float(values[first : first + evaluation.step // length].mean())


@pytest.mark.parametrize(("model", "cycle"), [(naive.repeat_day, DAY), (naive.repeat_week, 7 * DAY)])
def test_naive_forecasts_repeat_the_latest_known_day_and_week(
    evaluation: EvaluationSet, model: Any, cycle: timedelta
) -> None:
    """Each step has the value at the same time of the latest day, or week, whose value was known at t0, found by going
    back in time; windows before there is one have none."""
    windows = np.arange(len(evaluation.t0))[-4:]
    predicted = model(evaluation, windows, windows)
    for row, window in enumerate(windows):
        t0 = evaluation.moment(int(evaluation.t0[window]))
        for position in range(0, evaluation.horizon, 5):
            step = int(evaluation.first_target[window]) + position
            moment = evaluation.moment(step)
            while moment + evaluation.step + LAG > t0:
                moment -= cycle
            assert predicted[row, position] == pytest.approx(true_load(evaluation, moment), rel=1e-5)
            if step < evaluation.target_end[window]:
                truth = true_load(evaluation, evaluation.moment(step))
                assert evaluation.truth[window, position] == pytest.approx(truth, rel=1e-5)


def test_the_clock_of_each_step_is_that_of_the_location(evaluation: EvaluationSet) -> None:
    """Hour, weekday and day of each step are those that the clocks of the location show; of days, those of their
    noon."""
    steps = np.arange(len(evaluation.months()))[None]
    calendar = describe_calendar(evaluation, 0, steps)
    noon = DAY / 2 if evaluation.step == DAY else timedelta(0)
    moments = [(evaluation.moment(step) + noon).astimezone(ZoneInfo(ZONE)) for step in steps[0].tolist()]
    clock = [0.0 if evaluation.step == DAY else moment.hour + moment.minute / 60 for moment in moments]
    np.testing.assert_allclose(calendar["hour"][0], clock, atol=1e-9)
    assert calendar["weekday"][0].tolist() == [moment.weekday() for moment in moments]
    assert calendar["day"][0].tolist() == [(moment.date() - moments[0].date()).days for moment in moments]


def test_scores_are_counted_in_steps_and_by_the_error_of_the_day_before(evaluation: EvaluationSet) -> None:
    """MASE divides by the error of the day before, found one by one; every step ahead has a score, and so has every
    local hour, except of days; the page is written."""
    scores = score_comparison(compare_forecasters(evaluation, ["day", "ridge"], quantiles=False))
    (overall,) = [row for row in scores["scores"] if row["group"] == "all" and row["model"] == "day"]
    series = evaluation.series[0]
    test = evaluation.split == 2
    end, a_day = int(evaluation.t0[test].min()), DAY // evaluation.step
    errors = [abs(series[step] - series[step - a_day]) for step in range(a_day, end)]
    assert overall["mase"] == pytest.approx(overall["mae"] / np.mean(errors), rel=1e-9)
    ahead = {int(row["key"]) for row in scores["scores"] if row["group"] == "horizon"}
    steps = (evaluation.steps - evaluation.t0[:, None] + 1)[test]
    assert ahead == {*steps[evaluation.steps[test] < evaluation.target_end[test][:, None]].tolist()}
    hours = [row["key"] for row in scores["scores"] if row["group"] == "hour" and row["model"] == "day"]
    assert (hours == []) == (evaluation.step == DAY)
    assert {int(hour) for hour in hours} <= set(range(24))
    page = render_scores(scores)
    assert f"by steps of {scores['step']} ahead" in page


def test_the_gate_predicts_the_next_local_day(tmp_path: Path) -> None:
    """Windows of half hours are predicted at ten local time, and hold the half hours of the next local day: 46, 48 or
    50."""
    evaluation = build_set(tmp_path, "PT30M")
    lengths = set()
    for window in range(len(evaluation.t0)):
        t0, first, end = (
            evaluation.moment(int(steps[window])).astimezone(ZoneInfo(ZONE))
            for steps in (evaluation.t0, evaluation.first_target, evaluation.target_end)
        )
        assert (t0.hour, t0.minute, first.hour, first.minute, end.hour) == (10, 0, 0, 0, 0)
        assert (first.date() - t0.date()).days == (end.date() - first.date()).days == 1
        lengths.add(int(evaluation.target_end[window] - evaluation.first_target[window]))
    assert lengths == {46, 48}


def test_what_was_not_known_changes_no_forecast(evaluation: EvaluationSet) -> None:
    """With all values altered that were not in the context of a window, no predictor of it changes and no forecast of
    kernel or ridge, not by a bit; with the last value that was known altered, they do."""
    pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    window = np.array([len(evaluation.t0) - 1])
    t0 = int(evaluation.t0[window[0]])
    train = known_before(evaluation, t0)
    models = (kernel.predict_kernel, learned.predict_ridge)
    before = [model(evaluation, train, window) for model in models]
    table = tabulate(evaluation, 0, window).values
    fields = {name: getattr(evaluation, name) for name in EvaluationSet.__dataclass_fields__}
    for first, is_same in ((t0, True), (t0 - 1, False)):
        arrays = {name: np.array(array) for name, array in evaluation.arrays.items()}
        for name in ("values", "targets"):
            arrays[name][:, first:] += 0.5
        altered = EvaluationSet(**{**fields, "arrays": arrays})
        assert np.array_equal(tabulate(altered, 0, window).values, table, equal_nan=True) == is_same
        for model, values in zip(models, before, strict=True):
            assert np.array_equal(model(altered, train, window), values, equal_nan=True) == is_same


def test_what_learns_beats_what_does_not(evaluation: EvaluationSet) -> None:
    """Ridge and kernel are better than the day before, in every resolution."""
    pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    scores = score_comparison(compare_forecasters(evaluation, ["day", "ridge", "kernel"], quantiles=False))
    errors = {row["model"]: row["mae"] for row in scores["scores"] if row["group"] == "all"}
    assert errors["ridge"] < errors["day"]
    assert errors["kernel"] < errors["day"]


def test_the_weights_of_blocks_are_those_of_their_hours() -> None:
    """A day counts as much as its 24 hours; a block of an hour as the hour."""
    hours = np.concatenate(
        [np.full(end - first, kernel.WEIGHTS[name]) for name, (first, end) in kernel.OWN_LAGS.items()]
    )
    np.testing.assert_allclose(kernel._weigh_lags(1), hours, rtol=1e-6)
    days = [np.sqrt((hours[24 * day : 24 * day + 24] ** 2).sum()) for day in range(7)]
    np.testing.assert_allclose(kernel._weigh_lags(24), days, rtol=1e-6)
