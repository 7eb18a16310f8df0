"""What forecasters see of a window: only what was known at its t0."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.forecasters import naive
from gridtide.evaluation.predictors import describe_calendar, same_hour, tabulate
from tests.support.sets import DELAY, simulate, write_demand_set


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """A set over 120 days with weather and the operator's forecast of the steps to predict."""
    future = ["open_meteo/boston/temperature_2m_forecast", "eia/ISNE/demand_forecast_day_ahead"]
    return open_evaluation(write_demand_set(tmp_path_factory.mktemp("set"), future=future, gap=5))


def test_the_truth_is_in_the_units_of_the_target(evaluation: EvaluationSet) -> None:
    """The truth of each window is the simulated demand of its steps, after the gap."""
    demand = simulate(120)["demand"]
    for window in range(len(evaluation.t0)):
        steps = np.arange(evaluation.first_target[window], evaluation.target_end[window])
        assert steps[0] == evaluation.t0[window] + 5
        np.testing.assert_allclose(evaluation.truth[window], demand[steps], rtol=1e-6)


@pytest.mark.parametrize("cycle", [24, 168])
@pytest.mark.parametrize("back", [0, 1, 3])
def test_the_same_hour_is_the_latest_that_was_known(evaluation: EvaluationSet, cycle: int, back: int) -> None:
    """The value is that of the same hour, as many cycles ago as are needed for it to be known, found by counting."""
    own = evaluation.own_history(0)
    assert own.delay == DELAY
    found = same_hour(own.values, own.delay, evaluation.steps, evaluation.t0, cycle, back)
    for window in range(0, len(evaluation.t0), 7):
        for position in range(0, evaluation.horizon, 5):
            step = int(evaluation.steps[window, position])
            known = [hour for hour in range(step - cycle, -1, -cycle) if hour + DELAY < evaluation.t0[window]]
            expected = own.values[known[back]] if len(known) > back else np.nan
            np.testing.assert_equal(found[window, position], expected)


def test_the_hour_and_the_weekday_are_those_of_the_local_day(tmp_path: Path) -> None:
    """Hour and weekday of each step are those that the clocks of the location show, at every hour of every day."""
    place = {
        "name": "ISNE",
        "timezone": "America/New_York",
        "targets": ["eia/ISNE/demand"],
        "inputs": ["eia/ISNE/demand"],
    }
    evaluation = open_evaluation(write_demand_set(tmp_path, days=80, locations=[place]))
    steps = np.arange(80 * 24)[None]
    calendar = describe_calendar(evaluation, 0, steps)
    moments = [
        (evaluation.period.start + timedelta(hours=hour)).astimezone(ZoneInfo("America/New_York"))
        for hour in steps[0].tolist()
    ]
    assert calendar["hour"][0].tolist() == [moment.hour for moment in moments]
    assert calendar["weekday"][0].tolist() == [moment.weekday() for moment in moments]


def test_predictors_do_not_change_with_what_was_not_known(evaluation: EvaluationSet) -> None:
    """With all values altered that were not in the context and not issued by t0, no predictor of the window changes."""
    arrays = {name: np.array(array) for name, array in evaluation.arrays.items()}
    window = len(evaluation.t0) // 2
    t0 = int(evaluation.t0[window])
    for name in ("values", "targets"):
        arrays[name][:, t0:] += 3
    altered = EvaluationSet(**{**vars_of(evaluation), "arrays": arrays})
    chosen = np.array([window])
    before, after = (tabulate(one, 0, chosen) for one in (evaluation, altered))
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.reference, after.reference)
    arrays["values"][:, t0 - 1] += 3
    assert not np.array_equal(tabulate(altered, 0, chosen).values, before.values, equal_nan=True)


def vars_of(evaluation: EvaluationSet) -> dict[str, object]:
    """The fields of `evaluation`."""
    return {name: getattr(evaluation, name) for name in EvaluationSet.__dataclass_fields__}


def test_naive_forecasts_repeat_what_was_known(evaluation: EvaluationSet) -> None:
    """Persistence is the last known value; the day and the week before are those of the same hour that were known; the
    operator's forecast is that of the step."""
    series = simulate(120)
    windows = np.flatnonzero(evaluation.split == 2)
    nothing = np.empty(0, np.int64)
    last = naive.repeat_last(evaluation, nothing, windows)
    day = naive.repeat_day(evaluation, nothing, windows)
    operator = naive.use_operator(evaluation, nothing, windows)
    for row, window in enumerate(windows):
        t0, steps = int(evaluation.t0[window]), evaluation.steps[window]
        np.testing.assert_allclose(last[row], series["demand"][t0 - 1 - DELAY], rtol=1e-6)
        np.testing.assert_allclose(operator[row], series["operator"][steps], rtol=1e-6)
        for position, step in enumerate(steps.tolist()):
            hour = step - 24 if step - 24 + DELAY < t0 else step - 48
            np.testing.assert_allclose(day[row, position], series["demand"][hour], rtol=1e-6)
