"""Columns that are computed in threads."""

import threading
from datetime import timedelta

import numpy as np
import pytest

from gridtide import threads
from gridtide.quality.natures import find_nature
from gridtide.training.features.rolling import compute_rolling
from gridtide.training.series.cleaning import clean_columns, fit_limits
from gridtide.training.spec import Cleaning


@pytest.mark.parametrize("rows", [1, threads._MANY_CELLS])
def test_each_column_is_computed_once(rows: int) -> None:
    """Of few rows and of many; no thread is left afterwards."""
    numbers: list[int] = []
    threads.compute_columns(numbers.append, 7, rows)
    assert sorted(numbers) == list(range(7))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gridtide.columns")]


@pytest.mark.parametrize("rows", [1, threads._MANY_CELLS])
def test_an_error_of_a_column_is_raised(rows: int) -> None:
    """Whichever thread computes it."""
    with pytest.raises(ZeroDivisionError):
        threads.compute_columns(lambda column: 1 // (3 - column), 5, rows)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits, cleaned values, verdicts and rolling statistics are the same with threads and without."""
    random = np.random.default_rng(0)
    values = 1000 + 100 * random.normal(size=(9, 24 * 60))
    values[random.random(values.shape) < 0.1] = np.nan
    values[random.random(values.shape) < 0.02] *= 30
    natures = [find_nature(name, "MWh") for name in ("demand", "generation_wind", "load_forecast") * 3]
    results = []
    for many_cells in (0, values.size + 1):
        monkeypatch.setattr(threads, "_MANY_CELLS", many_cells)
        limits = fit_limits(values, 5)
        cleaned = clean_columns(values, natures, Cleaning(), slice(0, 0), limits, step=timedelta(hours=1))
        rolled = compute_rolling(values, [3, 24])
        results.append([limits, cleaned.values, cleaned.quality, *cleaned.rejected.values(), rolled])
    for threaded, plain in zip(*results, strict=True):
        assert threaded.tobytes() == plain.tobytes()
    assert np.any(results[0][3:-1])
