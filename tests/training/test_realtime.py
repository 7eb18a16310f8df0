"""The context for inference equals the rows that a training set would have for these hours."""

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.errors import TrainingError
from gridtide.lake import Lake
from gridtide.training import preparation, tensors
from gridtide.training.stored.covariates import gather_covariates
from tests.support.grids import HOUR, PLACE, START, TWO_PLACES, configuration, every_kind, fill

mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")

DAYS, LATER = 40, 50
KINDS = every_kind(LATER)
CONFIG = configuration(KINDS)
SPEC: dict[str, Any] = {"name": "earlier", **TWO_PLACES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with values after the end of the training set."""
    path = tmp_path_factory.mktemp("lake")
    asyncio.run(fill(Lake.open(str(path)), KINDS))
    return path


def prepared(folder: Path, **keys: Any) -> Path:
    """The sequences of a set with `SPEC` and `keys`."""
    report = asyncio.run(preparation.prepare(SPEC | keys, CONFIG, Lake.open(str(folder)), replace=True))
    return folder / report["path"]


@pytest.mark.parametrize(
    "cleaning", [{}, pytest.param({"gaps": "interpolate_from_the_future"}, id="fitted on train hours")]
)
def test_the_newest_files_give_what_a_later_set_holds(folder: Path, cleaning: dict[str, str]) -> None:
    """Hours after the end of the set equal those of a later set with the same train hours, for every column of both
    locations."""
    if cleaning:
        pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    earlier = prepared(folder, cleaning=cleaning)
    later = prepared(folder, name="later", end=(START + timedelta(days=LATER)).isoformat(), cleaning=cleaning)
    mapped, _ = tensors.open_mapped(later)
    context = mlx_store.get_real_time_context(
        earlier, 100, config=CONFIG, lake=str(folder), until=START + timedelta(days=LATER)
    )
    np.testing.assert_array_equal(np.array(context["x"]), mapped["values"][:, -100:])
    np.testing.assert_array_equal(np.array(context["mask"]), mapped["mask"][:, -100:])
    assert context["time"].tolist() == mapped["time"][-100:].tolist()
    assert np.array(context["mask"]).any(axis=1).sum() > 60


@pytest.mark.parametrize(
    "cleaning", [{}, pytest.param({"gaps": "interpolate_from_the_future"}, id="fitted on train hours")]
)
@pytest.mark.parametrize("day", [20, 30])
def test_the_hours_asked_for_may_be_within_the_set(folder: Path, day: int, cleaning: dict[str, str]) -> None:
    """Hours of the set itself are equal to its rows, in and after training."""
    if cleaning:
        pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    path = prepared(folder, cleaning=cleaning)
    mapped, _ = tensors.open_mapped(path)
    context = mlx_store.get_real_time_context(
        path, lookback_hours=24, config=CONFIG, lake=str(folder), until=START + day * 24 * HOUR + HOUR / 2
    )
    hours = slice((day - 1) * 24, day * 24)
    np.testing.assert_array_equal(np.array(context["x"]), mapped["values"][:, hours])
    np.testing.assert_array_equal(np.array(context["mask"]), mapped["mask"][:, hours])


@pytest.mark.parametrize(
    "keys", [{"gap": 3}, {"gate": "10:00", "horizon": 25}], ids=["after a gap", "at the gate of the day ahead"]
)
def test_what_is_known_of_the_hours_to_predict_is_that_of_a_window(folder: Path, keys: dict[str, Any]) -> None:
    """The covariates of the hours that are predicted at a moment equal those of the set's window with this t0."""
    places = [
        {**SPEC["locations"][0], "future": ["iso_ne/ISNE/load_forecast", "eia/ISNE/demand_forecast_day_ahead"]},
        {**SPEC["locations"][1], "holidays": None},
    ]
    static = [place | {"static": {"size": float(number)}} for number, place in enumerate(places)]
    path = prepared(folder, name="ahead", locations=static, future_calendar=True, **keys)
    mapped, _ = tensors.open_mapped(path)
    windows = mapped["windows.test"]
    first = int(windows[0, 1])
    until = START + (first + SPEC["seq_len"]) * HOUR
    context = mlx_store.get_real_time_context(path, 24, config=CONFIG, lake=str(folder), until=until)
    rows = np.flatnonzero(windows[:, 1] == first)
    assert windows[rows, 0].tolist() == [0, 1]
    future = gather_covariates(mapped, "test", rows, SPEC["seq_len"], keys.get("horizon", 24))
    assert future is not None
    np.testing.assert_array_equal(np.array(context["x_future"]), np.nan_to_num(future))
    np.testing.assert_array_equal(np.array(context["future_mask"]), ~np.isnan(future))
    assert np.array(context["future_mask"])[0, :, :4].any()
    assert np.array(context["static"]).tolist() == [[0.0], [1.0]]


def test_hours_before_those_that_cleaning_was_fitted_on_are_refused(folder: Path) -> None:
    """More hours than exist before the fitted ones are refused, with their number."""
    pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    path = prepared(folder, cleaning={"gaps": "interpolate_from_the_future"})
    until = START + timedelta(days=2)
    with pytest.raises(
        TrainingError, match=r"fitted on hours from 2024-02-01T00:00Z on, not before\. Ask for at most 48"
    ):
        mlx_store.get_real_time_context(path, 49, config=CONFIG, lake=str(folder), until=until)


@pytest.mark.parametrize("late", [10, 30])
def test_what_becomes_known_late_is_in_the_first_rows_and_in_those_of_now(tmp_path: Path, late: int) -> None:
    """Values that become available days later are used, because enough history is read."""
    source, _, rows = KINDS["fuel_mix"]
    kinds = {"demand": KINDS["demand"], "fuel_mix": (source, Available(lag=timedelta(days=late)), rows)}
    config = configuration(kinds)
    asyncio.run(fill(Lake.open(str(tmp_path)), kinds))
    place = {"name": "one", **PLACE, "inputs": ["eia/ISNE/demand", "iso_ne/ISNE/generation_wind"]}
    first = START + timedelta(days=late)
    keys = {
        "locations": [place],
        "features": {"calendar": False},
        "start": first.isoformat(),
        "end": None,
        "splits": {},
    }
    report = asyncio.run(preparation.prepare(SPEC | keys, config, Lake.open(str(tmp_path)), replace=True))
    assert report["locations"]["one"]["columns"][1] == f"iso_ne/ISNE/generation_wind-{24 * late - 1}h"
    assert tensors.open_mapped(tmp_path / report["path"])[0]["mask"].all()
    until = START + timedelta(days=LATER)
    now = mlx_store.get_real_time_context(tmp_path / report["path"], 24, config=config, lake=str(tmp_path), until=until)
    assert np.array(now["mask"]).all()


@pytest.mark.parametrize(
    ("hours", "until", "says"),
    [
        (0, START, "lookback_hours is 0. Ask for one hour"),
        (-5, START, "lookback_hours is -5"),
        (24, START.replace(tzinfo=None), "without a time zone"),
    ],
)
def test_hours_that_cannot_be_are_refused(folder: Path, hours: int, until: datetime, says: str) -> None:
    """Zero hours, and a time without a zone, are refused."""
    with pytest.raises(TrainingError, match=says):
        mlx_store.get_real_time_context(prepared(folder), hours, config=CONFIG, lake=str(folder), until=until)


@pytest.mark.parametrize("keys", [{"until": START}, {"lake": "lake"}])
def test_other_hours_than_its_own_need_a_configuration(folder: Path, keys: dict[str, Any]) -> None:
    """Other hours than those of the set are refused without a configuration."""
    with pytest.raises(TrainingError, match=r"earlier: .*Give config as well"):
        mlx_store.get_real_time_context(prepared(folder), 24, **keys)


@pytest.mark.parametrize(("kind", "series"), [("fuel_mix", "generation_wind"), ("demand", "eia/ISNE/demand")])
def test_a_series_that_is_not_in_the_lake_is_missing(folder: Path, tmp_path: Path, kind: str, series: str) -> None:
    """Columns of a missing series are 0 and masked, and all others are unchanged, also for an input or target
    without wildcards."""
    path = prepared(folder)
    less = {name: rows for name, rows in KINDS.items() if name != kind}
    asyncio.run(fill(Lake.open(str(tmp_path)), less))
    until = START + timedelta(days=LATER)
    whole, part = (
        mlx_store.get_real_time_context(path, 24, config=CONFIG, lake=str(where), until=until)
        for where in (folder, tmp_path)
    )
    columns = mlx_store.open_store(path).manifest["locations"][0]["columns"]
    gone = np.array([re.search(rf"{series}\b", column["formula"]) is not None for column in columns])
    assert 0 < gone.sum() < len(gone)
    for name in ("x", "mask"):
        assert not np.array(part[name])[0][:, gone].any()
        np.testing.assert_array_equal(np.array(part[name])[0][:, ~gone], np.array(whole[name])[0][:, ~gone])


def test_a_lake_with_none_of_the_series_is_refused(folder: Path, tmp_path: Path) -> None:
    """A lake without any of the series is refused, with the hours and the existing series."""
    path = prepared(folder)
    until = START + timedelta(days=LATER)
    with pytest.raises(TrainingError, match=r"earlier: the lake has none of its \d+ input series over .*Ingest"):
        mlx_store.get_real_time_context(path, 24, config=CONFIG, lake=str(tmp_path), until=until)


def test_a_region_that_comes_later_changes_nothing_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A region that the spec matches but that was added later is left out with a warning, and all columns stay the
    same."""
    kinds = {"demand": KINDS["demand"]}
    source, rule, rows = kinds["demand"]
    config, lake = configuration(kinds), Lake.open(str(tmp_path))
    asyncio.run(fill(lake, kinds))
    location = {"name": "all", "targets": ["eia/ISNE/demand"], "inputs": ["eia/*/demand"]}
    report = asyncio.run(preparation.prepare(SPEC | {"locations": [location]}, config, lake))
    until = START + timedelta(days=LATER)
    arguments: dict[str, Any] = {"config": config, "lake": str(tmp_path), "until": until}
    before = mlx_store.get_real_time_context(tmp_path / report["path"], 48, **arguments)
    region = [row._replace(location="AAAA", value=1.0) for row in rows if row.location == "ISNE"]
    asyncio.run(fill(lake, {"demand": (source, rule, region)}, day=401))
    after = mlx_store.get_real_time_context(tmp_path / report["path"], 48, **arguments)
    for name in ("x", "mask"):
        np.testing.assert_array_equal(np.array(after[name]), np.array(before[name]))
    assert "left out eia/AAAA/demand" in caplog.text
