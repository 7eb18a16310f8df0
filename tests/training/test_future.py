"""Gap, gate, and covariates of the steps to predict."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.errors import TrainingError
from gridtide.observations.availability import available_at
from gridtide.observations.table import Row
from gridtide.periods import Period, microseconds
from gridtide.training import manifest, tensors
from gridtide.training.features.bases import build_bases
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import load_spec
from gridtide.training.training_set import TrainingSet, assemble
from tests.support.grids import HOUR, START, every_kind, tables

DAYS = 40
END = START + timedelta(days=DAYS)
FUTURE = ["iso_ne/ISNE/load_forecast", "eia/ISNE/demand_forecast_day_ahead"]
Kinds = dict[str, Any]


def kinds_of_days() -> Kinds:
    """Demand, a forecast in three published versions, and a day-ahead forecast."""
    kinds = every_kind(DAYS + 2)
    return {name: kinds[name] for name in ("demand", "day_ahead", "forecast")}


def build_set(kinds: Kinds, **keys: Any) -> TrainingSet:
    """A set that predicts ISNE's demand from `kinds`, with its forecasts as covariates of the future."""
    place = {
        "name": "ISNE",
        "timezone": "America/New_York",
        "targets": ["eia/ISNE/demand"],
        "inputs": ["eia/ISNE/*", "iso_ne/ISNE/*"],
        "future": FUTURE,
    }
    spec = load_spec({"name": "ahead", "locations": [place], "seq_len": 48, "horizon": 24} | keys)
    period = Period(START, END)
    grid = HourlyGrid(Period(START, END + timedelta(days=2)), lambda name: True)
    for rule, table in tables(kinds):
        grid.add(table, rule)
    return assemble(spec, period, build_bases(spec, grid.finish(), period, grid.names_read))


def known_at(kinds: Kinds, kind: str, row: Row) -> int:
    """When `row` was available, in µs since 1970."""
    if row.published_at is not None:
        return microseconds(row.published_at)
    times = (np.array([microseconds(moment)]) for moment in (row.interval_start, row.interval_end))
    return int(available_at(kinds[kind][1], *times)[0])


def each_window(made: TrainingSet) -> list[tuple[str, int, int, range]]:
    """Split, number, t0 and steps to predict of every window."""
    return [
        (split, number, int(start) + made.spec.seq_len, range(*made.target_steps[split][number]))
        for split, windows in made.windows.items()
        for number, (_, start) in enumerate(windows)
    ]


SHAPES: list[dict[str, Any]] = [{}, {"gap": 14}, {"gate": "10:00", "horizon": 25}]


@pytest.mark.parametrize("keys", SHAPES, ids=["at once", "gap", "gate"])
def test_each_step_shows_the_last_version_that_was_issued_by_t0(keys: dict[str, Any]) -> None:
    """`x_future` equals a search through all rows: of the versions of the step that were available by t0 the last, its
    age in days, and nothing where there is none."""
    kinds = kinds_of_days()
    made = build_set(kinds, scaling="none", **keys)
    assert [column.name for column in made.future.columns[0]] == [
        *("eia/ISNE/demand_forecast_day_ahead", "eia/ISNE/demand_forecast_day_ahead age"),
        *("iso_ne/ISNE/load_forecast", "iso_ne/ISNE/load_forecast age"),
    ]
    versions: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for column, kind in ((0, "day_ahead"), (2, "forecast")):
        for row in kinds[kind][2]:
            step = (row.interval_start - START) // HOUR
            versions.setdefault((column, step), []).append((known_at(kinds, kind, row), row.value))
    covariates = {split: made.read_future(split) for split in made.windows}
    for split, number, t0, steps in each_window(made)[::5]:
        moment = microseconds(START + t0 * HOUR)
        for position in range(made.spec.horizon):
            for column in (0, 2):
                cells = covariates[split][0][number, position, column : column + 2]
                mask = covariates[split][1][number, position, column : column + 2]
                step = steps.start + position
                issued = [known for known in versions.get((column, step), []) if known[0] <= moment]
                if step not in steps or not issued:
                    assert not mask.any()
                    assert not cells.any()
                    continue
                known, value = max(issued)
                assert mask.all()
                assert cells[0] == np.float32(value)
                assert cells[1] == np.float32((moment - known) // 3_600_000_000 / 24)


@pytest.mark.parametrize("keys", SHAPES, ids=["at once", "gap", "gate"])
def test_what_was_not_available_at_t0_changes_nothing(keys: dict[str, Any]) -> None:
    """With every row altered that was not available at t0, not a bit of x and x_future changes, apart from the scales,
    which are fitted on train hours; what was available does change them."""
    kinds = kinds_of_days()
    made = build_set(kinds, scaling="none", future_calendar=True, **keys)
    windows = each_window(made)
    for split, number, t0, _ in (windows[3], windows[len(windows) // 2], windows[-1]):
        moment = microseconds(START + t0 * HOUR)
        changed = {
            kind: (
                source,
                rule,
                [row._replace(value=row.value + 7) if known_at(kinds, kind, row) > moment else row for row in rows],
            )
            for kind, (source, rule, rows) in kinds.items()
        }
        other = build_set(changed, scaling="none", future_calendar=True, cleaning={"absurd": 0}, **keys)
        context = slice(t0 - made.spec.seq_len, t0)
        np.testing.assert_array_equal(other.values[0][context], made.values[0][context])
        np.testing.assert_array_equal(other.mask[0][context], made.mask[0][context])
        for cells, other_cells in zip(made.read_future(split), other.read_future(split), strict=True):
            np.testing.assert_array_equal(other_cells[number], cells[number])
    every = {
        kind: (source, rule, [row._replace(value=row.value + 7) for row in rows])
        for kind, (source, rule, rows) in kinds.items()
    }
    split, number, _, _ = windows[3]
    shifted = build_set(every, scaling="none", future_calendar=True, **keys)
    assert not np.array_equal(shifted.read_future(split)[0][number], made.read_future(split)[0][number])


def changed_columns(made: TrainingSet, other: TrainingSet, split: str, number: int, t0: int) -> list[str]:
    """The names of the columns of x and x_future that differ between two sets in one window."""
    context = slice(t0 - made.spec.seq_len, t0)
    inputs = (made.values[0][context] != other.values[0][context]).any(axis=0)
    future = (made.read_future(split)[0][number] != other.read_future(split)[0][number]).any(axis=0)
    return [
        *(column.name for column, cell in zip(made.bases[0].columns, inputs, strict=True) if cell),
        *(column.name for column, cell in zip(made.future.columns[0], future, strict=True) if cell),
    ]


def test_actual_weather_planted_as_a_forecast_is_named() -> None:
    """If a rule claims that measured weather was available three days before, the alteration of what was not available
    at t0 changes exactly its columns, which names the leak; with a true rule it changes none."""
    kinds = kinds_of_days()
    source, _, rows = every_kind(DAYS + 2)["weather"]
    place = {
        "name": "ISNE",
        "targets": ["eia/ISNE/demand"],
        "inputs": ["eia/ISNE/demand", "open_meteo/boston/*"],
        "future": [*FUTURE, "open_meteo/boston/temperature_2m"],
    }
    leaks = {}
    for claim, lag in (("true", timedelta(0)), ("planted", -timedelta(days=3))):
        sets = []
        split, number, t0, _ = each_window(build_set(kinds))[20]
        for change in (0, 5):
            altered = [
                row._replace(value=row.value + change * (row.interval_start > START + t0 * HOUR)) for row in rows
            ]
            weather = (source, Available(lag=lag), altered)
            sets.append(build_set({**kinds, "weather": weather}, locations=[place], scaling="none", leads=[1, 24]))
        leaks[claim] = changed_columns(sets[0], sets[1], split, number, t0)
    assert leaks["true"] == []
    assert leaks["planted"] == ["open_meteo/boston/temperature_2m+24h", "open_meteo/boston/temperature_2m"]


def test_a_gap_leaves_steps_between_context_and_targets(tmp_path: Path) -> None:
    """With a gap, a target that is known ahead is no longer known before t0, and the batches have the later targets."""
    kinds = kinds_of_days()
    made = build_set(kinds, gap=14)
    for _, _, t0, steps in each_window(made):
        assert steps == range(t0 + 14, t0 + 38)
    mlx_store = pytest.importorskip("gridtide.mlx_store")
    path = tmp_path / "sequences.safetensors"
    body = tensors.encode_tensors(
        manifest.to_tensors(made), {"manifest": manifest.to_json(manifest.describe_set(made, []))}
    )
    path.write_bytes(b"".join(body))
    for batch in mlx_store.get_training_sequences(path, "test", batch_size=3, shuffle=False):
        for row, start in enumerate(batch["start"].tolist()):
            if start >= 0:
                steps = slice(start + 48 + 14, start + 48 + 38)
                np.testing.assert_array_equal(np.array(batch["y"][row]), made.targets[0, steps])
        assert batch["x_future"].shape == (3, 24, 4)


def test_the_clock_change_gives_a_day_of_23_hours(tmp_path: Path) -> None:
    """With a gate at 10:00 in New York, each window predicts one local date; the day on which clocks go forward has 23
    hours, and the two cells after them are masked."""
    made = build_set(
        kinds_of_days(), gate="10:00", horizon=25, future_calendar=True, splits={"validation": 0, "test": 0}
    )
    zone, lengths = ZoneInfo("America/New_York"), set()
    for split, number, t0, steps in each_window(made):
        at_gate = (START + t0 * HOUR).astimezone(zone)
        assert at_gate.hour == 10
        dates = {(START + step * HOUR).astimezone(zone).date() for step in steps}
        assert dates == {at_gate.date() + timedelta(days=1)}
        lengths.add(len(steps))
        mask = made.read_future(split)[1][number]
        assert mask[: len(steps), -1].all()
        assert not mask[len(steps) :].any()
    assert lengths == {23, 24}
    mlx_store = pytest.importorskip("gridtide.mlx_store")
    path = tmp_path / "sequences.safetensors"
    body = tensors.encode_tensors(
        manifest.to_tensors(made), {"manifest": manifest.to_json(manifest.describe_set(made, []))}
    )
    path.write_bytes(b"".join(body))
    counts = {
        int(count)
        for batch in mlx_store.get_training_sequences(path, batch_size=2)
        for count in np.array(batch["y_mask"]).sum(axis=(1, 2))
    }
    assert counts <= {23, 24}


def test_static_covariates_come_with_each_window(tmp_path: Path) -> None:
    """The numbers of a location stand in every window of it, sorted by name; different names are refused."""
    places = [
        {"name": name, "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"], "static": static}
        for name, static in (("A", {"lon": -71.0, "lat": 42.0}), ("B", {"lat": 40.0, "lon": -74.0}))
    ]
    made = build_set(kinds_of_days(), locations=places)
    np.testing.assert_array_equal(manifest.to_tensors(made)["static"], np.float32([[42, -71], [40, -74]]))
    with pytest.raises(TrainingError, match="different names in static"):
        build_set(kinds_of_days(), locations=[places[0], places[1] | {"static": {"lat": 1.0}}])


def test_a_gate_needs_the_hours_of_the_longest_day() -> None:
    """A gate with 24 hours of horizon is refused with the number that is right."""
    with pytest.raises(TrainingError, match="give horizon 25"):
        build_set(kinds_of_days(), gate="10:00")


def test_versions_that_cannot_be_forecasts_are_rejected_and_counted() -> None:
    """Zeros of a forecast of demand, which stand for a forecast that was not made, impossible values, and values far
    outside those of the train hours are missing in `x_future` and do not change its scale; each is counted by its
    rule. Where the spec cleans by thresholds, zeros stay, as before."""
    kinds = kinds_of_days()
    source, rule, rows = kinds["day_ahead"]
    wrong = {30: 0.0, 31: -5.0, 100: 2.0**31 - 1, 900: 0.0, 901: 900_000.0}
    altered = [row._replace(value=wrong.get(number, row.value)) for number, row in enumerate(rows)]
    clean = build_set({**kinds, "day_ahead": (source, rule, [r for n, r in enumerate(rows) if n not in wrong])})
    made = build_set({**kinds, "day_ahead": (source, rule, altered)})
    name = "future eia/ISNE/demand_forecast_day_ahead"
    assert made.bases[0].rejected[name] == {"impossible": 2, "zero": 2, "absurd": 1}
    for split in made.windows:
        for cells, clean_cells in zip(made.read_future(split), clean.read_future(split), strict=True):
            np.testing.assert_array_equal(cells, clean_cells)
    by_thresholds = build_set({**kinds, "day_ahead": (source, rule, altered)}, cleaning={"zeros": True})
    assert by_thresholds.bases[0].rejected[name] == {"impossible": 2, "absurd": 1}
