"""Series whose labels are an hour off are read at the right hours; what is stored keeps its labels."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide import curated, mlx_store
from gridtide.config.loading import parse
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.observations.times import read_times, to_floats
from gridtide.periods import HOUR, Period, microseconds
from gridtide.training import preparation, tensors
from gridtide.training.by_location import LocationExchange
from gridtide.training.features.bases import Base
from gridtide.training.reading import ReadingPlan
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.series.matching import common_shifts

START = datetime(2024, 3, 1, tzinfo=UTC)
WHOLE = Period(START, START + 96 * HOUR)
ONE_DAY = {"from": "2024-03-02", "until": "2024-03-03"}
"""The hours 24 to 47 after `START`."""


def configuration(shift: Any = None, aliases: Any = None, lag: str = "PT0S") -> Config:
    """A generic entry of one column, with `shift`."""
    entry: dict[str, Any] = {"name": "load", "url": "https://example.com/load.csv", "output_folder": "load"}
    corrections = {"shift": shift or [], "aliases": aliases or [], "available": {"lag": lag}}
    return parse({"apis": [entry | {"time": "t", "value": ["load", "old"]} | corrections]})


async def fill(lake: Lake, hours: range, name: str = "load", later: int = 60) -> None:
    """A file with the value n for the n-th hour after `START`."""
    rows = [Row(START + n * HOUR, START + (n + 1) * HOUR, "A", name, "MW", float(n)) for n in hours]
    stamp = START + timedelta(days=later)
    with Draft("parquet", Provenance("load", Period(rows[0].interval_start, rows[-1].interval_end), "0")) as draft:
        draft.append(from_rows("generic", rows, stamp))
        await lake.put_draft(draft, "load", "load", stamp)


async def read_hours(
    lake: Lake, config: Config, period: Period = WHOLE, corrections: curated.Corrections | None = None
) -> dict[int, float]:
    """The values that training reads, by the number of hours after `START`; no hour may come twice."""
    inputs = await curated.list_inputs(lake, config.apis, period)
    hours: dict[int, float] = {}
    async for _, table in curated.read_tables(lake, config.apis, inputs, period, None, corrections):
        starts = (read_times(table, "interval_start") - microseconds(START)) // 3_600_000_000
        for hour, value in zip(starts.tolist(), to_floats(table["value"]).tolist(), strict=True):
            assert hour not in hours
            hours[hour] = value
    return hours


def expect_hours(moves: dict[range, int], absent: set[int]) -> dict[int, float]:
    """Every hour with its own number, those in `moves` with the number of the hour they were stored as."""
    hours = {hour: float(hour) for hour in range(96)} | {
        hour: float(hour - by) for stretch, by in moves.items() for hour in stretch
    }
    return {hour: value for hour, value in hours.items() if hour not in absent}


@pytest.mark.parametrize(
    ("shift", "moves", "absent", "displaced"),
    [
        (ONE_DAY | {"by": "PT1H"}, {range(25, 48): 1}, {24}, 1),
        (ONE_DAY | {"by": "-PT1H"}, {range(24, 47): -1}, {47}, 1),
        (ONE_DAY | {"by": "PT3H", "series": "generic/*/load"}, {range(27, 48): 3}, {24, 25, 26}, 3),
        (ONE_DAY | {"by": "PT1H", "series": "generic/B/load"}, {}, set(), 0),
        ({"by": "PT1H", "from": "2024-03-02T00:00-05:00", "until": "2024-03-03"}, {range(30, 48): 1}, {29}, 1),
        (
            [ONE_DAY | {"by": "PT1H"}, {"from": "2024-03-03", "until": "2024-03-04", "by": "PT2H"}],
            {range(25, 49): 1, range(50, 72): 2},
            {24, 49},
            2,
        ),
        ({"by": "PT1H", "from": "2024-03-02"}, {range(25, 97): 1}, {24}, 0),
    ],
)
async def test_hours_of_a_stretch_are_read_elsewhere_whatever_is_compacted(
    tmp_path: Path, shift: Any, moves: dict[range, int], absent: set[int], displaced: int
) -> None:
    """Later, earlier, some series, in a zone, one after the other, without end; the reported row wins at the edge."""
    lake, config = Lake.open(str(tmp_path)), configuration(shift)
    await fill(lake, range(50))
    await fill(lake, range(50, 96))
    for _ in range(2):
        corrections = curated.Corrections()
        assert await read_hours(lake, config, WHOLE, corrections) == expect_hours(moves, absent)
        assert sum(map(len, corrections.displaced_places.values())) == displaced
        assert set().union(*corrections.shifted_series.values()) == ({"generic/A/load"} if moves else set())
        reported = await curated.read(lake, config.apis, WHOLE.start, WHOLE.end)
        assert reported["value"].to_pylist() == list(map(float, range(96)))
        await curated.compact(lake, config.apis[0])


async def test_a_row_beyond_the_edge_stays_where_nothing_is_reported(tmp_path: Path) -> None:
    """Hour 48 is not reported: the 47 moves there and nothing is counted."""
    lake, corrections = Lake.open(str(tmp_path)), curated.Corrections()
    await fill(lake, range(48))
    await fill(lake, range(49, 96))
    hours = await read_hours(lake, configuration(ONE_DAY | {"by": "PT1H"}), WHOLE, corrections)
    assert hours == expect_hours({range(25, 49): 1}, {24})
    assert not corrections.displaced_places


@pytest.mark.parametrize(("by", "hour", "value"), [("PT2H", 30, 28.0), ("-PT2H", 29, 31.0)])
async def test_a_period_has_the_rows_that_are_moved_into_it(tmp_path: Path, by: str, hour: int, value: float) -> None:
    """One hour is read, and the file of its value ends before it or starts after it."""
    lake = Lake.open(str(tmp_path))
    await fill(lake, range(29))
    await fill(lake, range(29, 31))
    await fill(lake, range(31, 96))
    period = Period(START + hour * HOUR, START + (hour + 1) * HOUR)
    hours = await read_hours(lake, configuration(ONE_DAY | {"by": by}), period)
    assert hours[hour] == value


async def test_an_alias_applies_to_the_labels_that_are_stored(tmp_path: Path) -> None:
    """The shift names the old name; the last hour of it meets the first one of the new name, which is read."""
    lake, corrections = Lake.open(str(tmp_path)), curated.Corrections()
    await fill(lake, range(48), "old")
    await fill(lake, range(48, 96))
    shift = ONE_DAY | {"by": "PT1H", "series": "generic/A/old"}
    alias = {"from": "generic/A/old", "to": "generic/A/load", "before": "2024-03-03T00:00Z"}
    config = configuration(shift, [alias])
    assert await read_hours(lake, config, WHOLE, corrections) == expect_hours({range(25, 48): 1}, {24})
    described = corrections.describe({"load": config.apis[0]})
    assert described == {
        "shifts": [{"entry": "load", "series": "generic/A/load", "by": "PT1H"} | ONE_DAY | {"displaced": 1}],
        "aliases": [{"entry": "load", "series": "generic/A/load"} | alias | {"since": None}],
    }


@pytest.mark.parametrize(("by", "shifted_delay"), [("PT1H", 2), ("-PT1H", 3)])
async def test_no_value_is_available_earlier_than_it_was(tmp_path: Path, by: str, shifted_delay: int) -> None:
    """Lag of 2 hours after the later of both intervals: a value that is moved an hour back is 3 rows late, not 2."""
    lake, config = Lake.open(str(tmp_path)), configuration(ONE_DAY | {"by": by}, lag="PT2H")
    await fill(lake, range(96))
    grid = HourlyGrid(WHOLE, lambda _: True)
    inputs = await curated.list_inputs(lake, config.apis, WHOLE)
    async for _, table in curated.read_tables(lake, config.apis, inputs, WHOLE):
        grid.add(table, config.apis[0].available)
    hourly = grid.finish()
    delays = hourly.known_row[0] - np.arange(96)
    inside = slice(25, 47)
    np.testing.assert_array_equal(hourly.values[0, inside], np.arange(25, 47) - (1 if by == "PT1H" else -1))
    assert delays[inside].tolist() == [shifted_delay] * 22
    assert delays[:24].tolist() == [2] * 24


SPEC: dict[str, Any] = {
    "name": "shifted",
    "locations": [{"name": "A", "targets": ["generic/A/load"], "inputs": ["generic/A/load"]}],
    "seq_len": 24,
    "horizon": 6,
    "pictures": False,
    "cleaning": {"screening": "off"},
}


async def test_a_training_set_and_its_context_are_shifted_and_say_so(tmp_path: Path) -> None:
    """Values by hour in the set and in the newest hours; series, shift and period in the manifest and the data card."""
    lake, config = Lake.open(str(tmp_path)), configuration(ONE_DAY | {"by": "PT1H"})
    await fill(lake, range(240))
    plain = await preparation.prepare(SPEC, configuration(), lake)
    report = await preparation.prepare(SPEC, config, lake)
    mapped, _ = tensors.open_mapped(tmp_path / report["path"])
    truth = mapped["targets"][0, :, 0] * mapped["target_deviation"][0] + mapped["target_mean"][0]
    mask = mapped["target_mask"][0, :, 0]
    np.testing.assert_allclose(truth[20:30][mask[20:30]], [20, 21, 22, 23, 24, 25, 26, 27, 28], atol=0.01)
    assert np.flatnonzero(~mask).tolist() == [0, 24]  # a load of 0 is impossible
    folder = tmp_path / "features" / "shifted"
    described = json.loads((folder / "manifest.json").read_text())
    record = {"entry": "load", "series": "generic/A/load", "by": "PT1H", **ONE_DAY, "displaced": 1}
    assert described["corrections"] == report["corrections"] == {"shifts": [record]}
    assert plain["fingerprint"] != report["fingerprint"]
    assert "corrections" not in plain
    sentence = "generic/A/load: intervals from 2024-03-02 until 2024-03-03 are shifted by PT1H; 1 of them left out"
    assert sentence in (folder / "README.md").read_text()
    until = START + 40 * HOUR
    context = mlx_store.get_real_time_context(tmp_path / report["path"], 10, config=config, lake=lake, until=until)
    load = np.array(context["x"])[0, :, 0] * mapped["deviation"][0, 0] + mapped["mean"][0, 0]
    np.testing.assert_allclose(load, np.arange(29, 39), atol=0.01)


async def test_a_location_that_is_prepared_apart_has_the_same_corrections(tmp_path: Path) -> None:
    """The records travel with the arrays: the report is the same, with the shift."""

    async def make_apart(plan: ReadingPlan, lake: Lake) -> list[Base]:
        exchange = await LocationExchange.begin(plan, lake, "features/shifted/parts")
        await exchange.derive(lake, 0, common_shifts(plan.spec, [await exchange.gather(lake, lake, 0)]))
        return await exchange.read(lake)

    lake, config = Lake.open(str(tmp_path)), configuration(ONE_DAY | {"by": "PT1H"})
    await fill(lake, range(240))
    together = await preparation.prepare(SPEC, config, lake)
    assert together["corrections"]["shifts"][0]["displaced"] == 1
    assert await preparation.prepare(SPEC, config, lake, make=make_apart) == together


@pytest.mark.parametrize("text", ["PT1H", "-PT1H30M", "PT45M", "PT24H"])
def test_a_shift_is_written_in_hours_and_minutes(text: str) -> None:
    """As it is given."""
    assert configuration(ONE_DAY | {"by": text}).apis[0].shifts[0].text == text


@pytest.mark.parametrize(
    ("shift", "problem"),
    [
        ({"by": "PT1H"}, "shift.from: is missing"),
        (ONE_DAY, "shift.by: is missing"),
        (ONE_DAY | {"by": "PT0S"}, "moves nothing"),
        (ONE_DAY | {"by": "P2D"}, "at most a day"),
        (ONE_DAY | {"by": "PT1H", "from": "July"}, '"July" is not a valid time with a zone'),
        (ONE_DAY | {"by": "PT1H", "until": "2024-03-02"}, '"from" is not earlier than "until"'),
        (ONE_DAY | {"by": "PT1H", "series": "load"}, '"load" is not a series'),
        (ONE_DAY | {"by": "PT1H", "series": "eia/A/load"}, "shift[0]: eia/A/load is of another source"),
        ([ONE_DAY | {"by": "PT1H"}, ONE_DAY | {"by": "PT2H"}], "shift[1]: shifts series in a period"),
        (ONE_DAY | {"by": "PT1H", "to": 1}, "shift.to: "),
    ],
)
def test_a_shift_that_cannot_be_applied_is_refused(shift: Any, problem: str) -> None:
    """With the key, and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        configuration(shift)
    assert problem in str(caught.value)
