"""The verdicts of days, from series with faults that were put in, and their table in the lake."""

import asyncio
import io
import logging
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gridtide.catalog.quality_blocks import summarize_verdicts
from gridtide.lake import Lake
from gridtide.periods import DAY, EPOCH
from gridtide.quality import Flag
from gridtide.quality.daily import DayVerdict, HourlySeries, find_bad_series, judge_days
from gridtide.quality.table import QUALITY_FOLDER, encode_verdicts, read_verdicts, write_verdicts
from tests.quality.test_screening import demand_wave
from tests.quality.test_solar_clock import solar_generation

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 40
STAMP = datetime(2024, 4, 10, 4, 25, tzinfo=UTC)


def balanced_system() -> dict[str, np.ndarray]:
    """Forty days of a location whose load is generation − interchange, and whose fuels are its generation."""
    load, interchange, wind = demand_wave(DAYS * 24), demand_wave(DAYS * 24, 1) / 10, demand_wave(DAYS * 24, 2) / 5
    generation = load + interchange
    return {
        "demand": load,
        "net_generation": generation,
        "net_interchange": interchange,
        "generation_wind": wind,
        "generation_natural_gas": generation - wind,
    }


def judge(series: dict[str, np.ndarray], first_day: int = 10) -> dict[tuple[str, int, str], DayVerdict]:
    """The verdicts by variable, number of the day and check."""
    hourly = HourlySeries(
        tuple(f"eia/ISNE/{variable}" for variable in series),
        ("MWh",) * len(series),
        np.stack(list(series.values())),
        START,
    )
    verdicts = judge_days(hourly, first_day)
    assert verdicts == sorted(verdicts, key=lambda verdict: verdict[:3])
    return {(v.series.split("/")[2], (v.day - START.date()).days, v.check): v for v in verdicts}


def test_days_without_faults_are_good() -> None:
    """Every check of every judged day is good, with the share that is complete."""
    verdicts = judge(balanced_system())
    assert {verdict.flag for verdict in verdicts.values()} == {Flag.GOOD}
    assert {day for _, day, _ in verdicts} == set(range(10, 40))
    assert verdicts["demand", 12, "completeness"].value == 1
    assert [key for key in verdicts if key[2] == "timeliness"] == [
        (variable, 39, "timeliness") for variable in sorted(balanced_system())
    ]


def test_each_fault_is_seen_in_its_respect_and_day() -> None:
    """Half a day without values, a negative hour, a run, and a series that ended are flagged."""
    series = balanced_system()
    series["demand"][20 * 24 : 20 * 24 + 12] = math.nan
    series["demand"][22 * 24 + 3] = -5
    series["demand"][24 * 24 : 24 * 24 + 6] = 1000.0
    series["net_interchange"][38 * 24 - 5 :] = math.nan
    verdicts = judge(series)
    assert verdicts["demand", 20, "completeness"][3:] == (Flag.SUSPECT, 0.5, 0.9)
    assert verdicts["demand", 22, "accuracy"].flag == Flag.FAIL
    assert verdicts["demand", 22, "accuracy.negative_or_zero"][3:] == (Flag.FAIL, 1, 0)
    assert verdicts["demand", 24, "accuracy"][3:] == (Flag.FAIL, pytest.approx(4 / 24), 0.1)
    assert verdicts["demand", 24, "accuracy.identical_run"][3:] == (Flag.SUSPECT, 4, 0)
    assert verdicts["net_interchange", 39, "completeness"].flag == Flag.MISSING
    assert verdicts["net_interchange", 39, "timeliness"][3:] == (Flag.SUSPECT, 53, 24)


def test_a_shifted_solar_clock_is_seen_by_window() -> None:
    """Days that are an hour early are flagged on the first day of their windows, which begin every ten days since
    1970."""
    solar = solar_generation(DAYS, -72.0)
    solar = np.concatenate([np.zeros(5), solar])[: DAYS * 24]  # it begins at 05:00
    solar[17 * 24 : -1] = solar[17 * 24 + 1 :].copy()
    clock = {day: v.flag for (_, day, check), v in judge({"generation_solar": solar}).items() if check == "clock"}
    offset = -((START - EPOCH) // DAY) % 10
    assert offset == 7
    assert clock == {17: Flag.SUSPECT, 27: Flag.SUSPECT}


def test_a_series_that_ended_is_missing_however_long_ago() -> None:
    """Most of the judged days lack a series that was complete before them: they are missing, not usual."""
    series = balanced_system()
    series["demand"][12 * 24 :] = math.nan
    verdicts = judge(series)
    flags = {
        day: v.flag for (variable, day, check), v in verdicts.items() if (variable, check) == ("demand", "completeness")
    }
    assert flags == {day: Flag.GOOD if day < 12 else Flag.MISSING for day in range(10, 40)}


@pytest.mark.parametrize(("unit", "share"), [("GW", 1e-3), ("kW", 1e3), ("Wh", 1e6)])
def test_verdicts_are_the_same_in_every_unit(unit: str, share: float) -> None:
    """The clock, the range and the screening judge what was measured, whichever unit it is in."""
    solar = solar_generation(DAYS, -72.0)
    solar[17 * 24 : -1] = solar[17 * 24 + 1 :].copy()
    demand = demand_wave(DAYS * 24)
    demand[22 * 24 + 3], demand[25 * 24 : 25 * 24 + 6] = 2_000_000, 1000.0
    values = np.stack([solar, demand])
    names = ("eia/ISNE/generation_solar", "eia/ISNE/demand")
    in_megawatts = judge_days(HourlySeries(names, ("MWh", "MWh"), values, START), 10)
    assert {verdict.check for verdict in in_megawatts if verdict.flag > Flag.NOT_EVALUATED} >= {"clock", "accuracy"}
    converted = judge_days(HourlySeries(names, (unit, unit), values * share, START), 10)
    for own, other in zip(in_megawatts, converted, strict=True):
        assert own[:4] == other[:4]
        assert own[4:] == pytest.approx(other[4:], nan_ok=True)


def test_a_clock_that_stays_shifted_does_not_become_the_usual_one() -> None:
    """Forty days that are an hour late, all that a run reads, are flagged beside the windows of earlier runs, each of
    them; without these, or with those of more than a year ago, nothing says that they are late."""
    solar = np.roll(solar_generation(DAYS, -72.0), 1)
    hourly = HourlySeries(
        ("eia/ISNE/generation_solar",), ("MWh",), np.concatenate([np.zeros(5), solar])[None, :-5], START
    )
    usual = {START.date() - timedelta(days=10 * number): 0.0 for number in range(1, 9)}
    longer_ago = {day - timedelta(days=400): offset for day, offset in usual.items()}
    for history, flag in ((usual, Flag.SUSPECT), (longer_ago, Flag.GOOD), ({}, Flag.GOOD)):
        verdicts = judge_days(hourly, 0, clocks={hourly.names[0]: history})
        flags = [verdict.flag for verdict in verdicts if verdict.check == "clock"]
        assert flags == [flag] * 3


@pytest.mark.filterwarnings("error")
def test_series_that_are_never_there_are_not_evaluated() -> None:
    """A series without a value has no usual completeness, and nothing is measured of it."""
    verdicts = judge({"demand": np.full(DAYS * 24, math.nan)})
    assert verdicts["demand", 20, "completeness"].flag == Flag.NOT_EVALUATED
    assert verdicts["demand", 20, "accuracy"].flag == Flag.MISSING
    assert math.isnan(verdicts["demand", 20, "accuracy"].value)


def test_a_series_is_bad_by_its_last_day() -> None:
    """A fault of the last day makes a series bad, one that is over does not."""
    series = balanced_system()
    series["demand"][20 * 24] = -5
    assert find_bad_series(list(judge(series).values())) == {}
    series["demand"][39 * 24] = -5
    bad = find_bad_series(list(judge(series).values()))
    assert {name: [verdict.check for verdict in verdicts] for name, verdicts in bad.items()} == {
        "eia/ISNE/demand": ["accuracy"]
    }


VERDICTS = [
    DayVerdict("eia/ISNE/demand", date(2024, 3, 5), "accuracy", Flag.GOOD, 0.0, 0.1),
    DayVerdict("eia/ISNE/demand", date(2024, 3, 6), "accuracy", Flag.MISSING, math.nan, 0.1),
]


async def test_the_table_keeps_what_changed(tmp_path: Path) -> None:
    """A file has the rows that are new or changed, the newest row counts, and without a change there is no file."""
    lake = Lake.open(str(tmp_path))
    assert await read_verdicts(lake) == {}
    assert await write_verdicts(lake, VERDICTS, {}, STAMP) == VERDICTS
    stored = await read_verdicts(lake)
    assert await write_verdicts(lake, VERDICTS, stored, STAMP + timedelta(days=1)) == []
    revised = VERDICTS[1]._replace(flag=Flag.GOOD, value=0.0)
    assert await write_verdicts(lake, [VERDICTS[0], revised], stored, STAMP + timedelta(days=2)) == [revised]
    assert (await read_verdicts(lake))[revised[:3]] == revised
    names = sorted(path.name for path in (tmp_path / QUALITY_FOLDER).iterdir())
    assert names == ["20240410_042500.parquet", "20240412_042500.parquet"]


async def test_two_runs_in_one_second_both_keep_their_rows(tmp_path: Path) -> None:
    """No file of the history replaces another one: the second run takes the next second."""
    lake = Lake.open(str(tmp_path))
    await asyncio.gather(*(write_verdicts(lake, [row], {}, STAMP) for row in VERDICTS))
    assert list((await read_verdicts(lake)).keys() ^ {row[:3] for row in VERDICTS}) == []
    names = sorted(path.name for path in (tmp_path / QUALITY_FOLDER).iterdir())
    assert names == ["20240410_042500.parquet", "20240410_042501.parquet"]


async def test_what_is_not_said_any_more_is_withdrawn(tmp_path: Path) -> None:
    """A check that flagged hours of a day that was corrected is good again; other days and timeliness stay."""
    lake = Lake.open(str(tmp_path))
    day, accuracy = VERDICTS[0].day, VERDICTS[0]
    rows = [
        accuracy,
        accuracy._replace(check="accuracy.range", flag=Flag.FAIL, value=3.0),
        accuracy._replace(check="clock", flag=Flag.SUSPECT, value=-1.0),
        accuracy._replace(check="timeliness", flag=Flag.SUSPECT, value=30.0),
        accuracy._replace(check="accuracy.range", flag=Flag.FAIL, value=3.0, day=day + timedelta(days=1)),
    ]
    await write_verdicts(lake, rows, {}, STAMP)
    await write_verdicts(lake, [accuracy], await read_verdicts(lake), STAMP + timedelta(days=1))
    newest = await read_verdicts(lake)
    assert [newest[row[:3]].flag for row in rows] == [
        *(Flag.GOOD, Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL)
    ]


def test_the_same_verdicts_give_the_same_bytes() -> None:
    """Order does not matter, and nothing but the verdicts is in the file."""
    assert encode_verdicts(VERDICTS) == encode_verdicts(reversed(VERDICTS))


async def test_damaged_files_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Truncated, empty and foreign files, and those with other columns, cost one warning; the others are read."""
    lake = Lake.open(str(tmp_path))
    await write_verdicts(lake, VERDICTS, {}, STAMP)
    body = encode_verdicts(VERDICTS)
    for name, content in {"1.parquet": body[:-9], "2.parquet": b"", "3.parquet": b"PAR1 no table"}.items():
        (tmp_path / QUALITY_FOLDER / name).write_bytes(content)
    table = pq.read_table(io.BytesIO(body))
    missing_flags = pa.array([None] * len(VERDICTS), pa.uint8())
    for name, damaged in {
        "4.parquet": table.drop_columns("flag"),
        "5.parquet": table.set_column(1, "day", pa.array(["yesterday"] * len(VERDICTS))),
        "6.parquet": table.set_column(1, "day", pa.array([[1]] * len(VERDICTS))),
        "7.parquet": table.set_column(3, "flag", missing_flags),
        "8.parquet": table.set_column(3, "flag", pa.array([7] * len(VERDICTS))),
    }.items():
        pq.write_table(damaged, tmp_path / QUALITY_FOLDER / name)
    (tmp_path / QUALITY_FOLDER / "notes.txt").write_text("not ours")
    with caplog.at_level(logging.WARNING):
        assert len(await read_verdicts(lake)) == 2
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("Left out, as they cannot be read; they may be deleted: catalog/quality/1.parquet: ")
    assert message.endswith(" and 5 more")


@pytest.mark.parametrize(
    ("column", "text"), [("series", "demand"), ("check", "agreement.bias"), ("check", "forecast.lag")]
)
async def test_rows_about_nothing_are_a_damaged_file(
    column: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file whose rows name no series, or no reference of a comparison, is left out: what reads verdicts relies on
    both. Checks of a later version, and columns that it has more, are read."""
    lake = Lake.open(str(tmp_path))
    later = [VERDICTS[0]._replace(check="entropy.of_later"), VERDICTS[0]._replace(check="agreement.skew.eia/A/demand")]
    await write_verdicts(lake, later, {}, STAMP)
    table = pq.read_table(io.BytesIO(encode_verdicts(VERDICTS[:1])))
    damaged = table.set_column(table.column_names.index(column), column, pa.array([text]))
    pq.write_table(damaged, tmp_path / QUALITY_FOLDER / "1.parquet")
    pq.write_table(table.append_column("more", pa.array([1])), tmp_path / QUALITY_FOLDER / "2.parquet")
    with caplog.at_level(logging.WARNING):
        verdicts = await read_verdicts(lake)
    assert set(verdicts) == {verdict[:3] for verdict in (*later, VERDICTS[0])}
    assert [record.getMessage().partition(": ")[2][:25] for record in caplog.records] == ["catalog/quality/1.parquet"]
    summarize_verdicts(verdicts.values())  # what the catalogue makes of them


async def test_only_the_last_days_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`since` leaves out earlier days, and does not read files that were written before it, even damaged ones."""
    lake = Lake.open(str(tmp_path))
    await write_verdicts(lake, VERDICTS, {}, STAMP)
    (tmp_path / QUALITY_FOLDER / "20240305_235959.parquet").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert list(await read_verdicts(lake, date(2024, 3, 6))) == [VERDICTS[1][:3]]
        assert caplog.records == []
        assert len(await read_verdicts(lake, date(2024, 3, 5))) == 2
    assert len(caplog.records) == 1
