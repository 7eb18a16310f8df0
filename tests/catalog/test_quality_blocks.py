"""The quality of a series in the catalogue: that of its table, by day and in one word."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gridtide.catalog.page.page_data import describe_comparison
from gridtide.catalog.quality_blocks import read_quality, summarize_entry_quality, summarize_verdicts
from gridtide.catalog.writing import picture_lake
from gridtide.entries.entry import Config
from gridtide.lake import Lake
from gridtide.quality.daily import DayVerdict
from gridtide.quality.flags import Flag
from gridtide.quality.table import write_verdicts
from tests.support.lakes import HOUR, START, entry, put, row

SERIES, DAY = "eia/ISNE/demand", date(2024, 2, 20)


def verdict(back: int, flag: Flag, check: str = "completeness") -> DayVerdict:
    """A verdict about the day so many days `back`."""
    return DayVerdict(SERIES, DAY - timedelta(days=back), check, flag, 1.0, 0.9)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((Flag.GOOD, Flag.NOT_EVALUATED), "good"),
        ((Flag.GOOD, Flag.SUSPECT), "suspect"),
        ((Flag.MISSING, Flag.FAIL), "fail"),
        ((Flag.MISSING, Flag.SUSPECT), "missing"),
        ((Flag.NOT_EVALUATED,), "not evaluated"),
    ],
)
def test_a_day_has_the_gravest_flag_of_its_checks(flags: tuple[Flag, ...], expected: str) -> None:
    """In any order of the checks."""
    for ordered in (flags, flags[::-1]):
        block = summarize_verdicts(verdict(0, flag, f"check{n}") for n, flag in enumerate(ordered))[SERIES]
        assert (block.flag, block.days, block.calendar) == (expected, {expected: 1}, {"2024-02-20": expected})


def test_a_failure_of_long_ago_is_in_the_calendar_only() -> None:
    """The flag is the gravest of the last seven days; the eighth does not count, and is counted among the days."""
    block = summarize_verdicts([verdict(7, Flag.FAIL), verdict(6, Flag.SUSPECT), verdict(0, Flag.GOOD)])[SERIES]
    assert block.flag == "suspect"
    assert block.days == {"fail": 1, "good": 1, "suspect": 1}
    assert block.calendar["2024-02-13"] == "fail"


def test_a_series_says_how_it_agrees_with_its_references() -> None:
    """Of each reference the last month counts, with all that was measured; a month is about no day of the calendar."""
    monthly = [
        DayVerdict(SERIES, date(2024, month, 1), f"agreement.{measure}.{reference}", flag, value, 0.05)
        for reference in ("iso_ne/32/load", "our/A/load")
        for month, measure, flag, value in (
            (1, "bias", Flag.SUSPECT, 0.09),
            (2, "bias", Flag.GOOD, 0.01),
            (2, "lag", Flag.SUSPECT, 1.0),
        )
    ]
    block = summarize_verdicts([*monthly, verdict(0, Flag.GOOD)])[SERIES]
    assert (block.flag, block.days) == ("good", {"good": 1})
    shared = {"series": SERIES, "month": "2024-02", "bias": 0.01, "correlation": None, "lag": 1.0, "drift": None}
    assert block.as_dict()["comparisons"] == [
        {**shared, "reference": reference, "flag": "suspect"} for reference in ("iso_ne/32/load", "our/A/load")
    ]
    assert describe_comparison(block.comparisons[0]) == ("2024-02 beside iso_ne/32/load: bias +1.0%, lag +1 h, suspect")


async def test_the_catalogue_reads_the_table_of_quality(tmp_path: Path) -> None:
    """A series has the block of the table in the lake; a lake without one has no quality."""
    lake, demand = Lake.open(str(tmp_path)), entry()
    await put(lake, demand, 14, [row(hour, 1.0) for hour in range(10)])
    assert await read_quality(lake) == {}
    await write_verdicts(lake, [verdict(0, Flag.SUSPECT)], {}, datetime(2024, 2, 21, tzinfo=UTC))
    picture = await picture_lake(lake, Config(apis=(demand,)), START + 30 * HOUR)
    (series,) = picture.catalogue.series
    assert series.quality is not None
    assert series.quality.as_dict() == {
        "flag": "suspect",
        "days": {"suspect": 1},
        "calendar": {"2024-02-20": "suspect"},
        "comparisons": [],
    }


def test_an_entry_has_the_gravest_flag_of_its_series() -> None:
    """The last seven days of the entry count, the last 30 say what is bad, and other series say nothing of it."""
    wind, solar = "eia/ISNE/generation_wind", "eia/ISNE/generation_solar"
    verdicts = [
        verdict(7, Flag.FAIL),
        verdict(6, Flag.SUSPECT),
        verdict(0, Flag.GOOD),
        verdict(20, Flag.FAIL, "accuracy")._replace(series=wind),  # the last of its series
        verdict(29, Flag.SUSPECT, "clock")._replace(series=solar),
        verdict(30, Flag.SUSPECT, "clock")._replace(series="eia/CISO/generation_solar"),
        verdict(-1, Flag.FAIL, "accuracy")._replace(series="eia/PJM/demand"),
    ]
    quality = summarize_entry_quality(verdicts, {SERIES, wind, solar, "eia/CISO/generation_solar"})
    assert quality is not None
    assert quality.as_dict() == {"flag": "suspect", "until": "2024-02-20", "series": 3, "bad": 2, "disagreeing": 0}
    assert summarize_entry_quality(verdicts, {"eia/MISO/demand"}) is None
