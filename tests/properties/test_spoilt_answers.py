"""A good answer with one wrong place is read without a wrong number, or refused with an error of Gridtide."""

import copy
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.errors import GridtideError
from gridtide.observations import arrays
from gridtide.observations.table import CENTURIES
from gridtide.periods import Period
from gridtide.sources.contract import Page
from gridtide.sources.registry import source

AT = datetime(2026, 8, 1, tzinfo=UTC)

HOUR = {"BeginDate": "2024-03-10T00:00:00.000-05:00", "Location": {"@LocId": "32", "$": "NEPOOL AREA"}, "Load": 10}
MIX = {"BeginDate": "2024-03-10T00:02:39.000-05:00", "GenMw": 1049, "FuelCategory": "Hydro", "MarginalFlag": "N"}
DAY = {"MarketDate": "2024-03-11T00:00:00.000-04:00", "CsoMw": 30280, "ColdWeatherEvent": "N", "HighTemperatureF": "-"}
REPORT = {
    "BeginDate": "2024-03-10T00:00:00.000-05:00",
    "PeakLoadTodayMw": 15,
    "TieDelivery": [{"TieName": "A", "Mw": 1}],
}
DEMAND = {"period": "2024-01-01T00", "respondent": "ISNE", "type": "D", "value": "12", "value-units": "megawatthours"}
WEATHER = {
    "utc_offset_seconds": 0,
    "hourly_units": {"time": "iso8601", "temperature_2m": "°C"},
    "hourly": {"time": ["2024-01-01T00:00", "2024-01-01T01:00"], "temperature_2m": [1.5, None]},
}
ISO_NE = "https://webservices.iso-ne.com/api/v1.1"
JSON: list[tuple[dict[str, Any], Any]] = [
    ({"url": f"{ISO_NE}/hourlysysload/current"}, {"HourlySystemLoads": {"HourlySystemLoad": [HOUR]}}),
    ({"url": f"{ISO_NE}/genfuelmix/current"}, {"GenFuelMixes": {"GenFuelMix": [MIX, {**MIX, "FuelCategory": "Oil"}]}}),
    (
        {"url": f"{ISO_NE}/sevendayforecast/current"},
        {"SevenDayForecasts": {"SevenDayForecast": [{"MarketDay": [DAY]}]}},
    ),
    ({"url": f"{ISO_NE}/morningreport/current"}, {"MorningReports": {"MorningReport": [REPORT]}}),
    (
        {"url": "https://api.eia.gov/v2/electricity/rto/region-data/data/"},
        {"response": {"total": "1", "data": [DEMAND]}},
    ),
    (
        {
            "url": "https://archive-api.open-meteo.com/v1/archive",
            "params": {"latitude": 1, "longitude": 2, "hourly": "temperature_2m"},
        },
        WEATHER,
    ),
    (
        {"url": "https://grid.example/load", "records": "rows", "time": "t", "interval": "P36500D"},
        {"rows": [{"t": "2024-01-01T05:00", "mw": 1.5, "of": {"place": "A"}}, {"t": 1704067200, "mw": "2"}]},
    ),
]
LOADS = [
    ["INTERVALSTARTTIME_GMT", "INTERVALENDTIME_GMT", "MARKET_RUN_ID", "TAC_AREA_NAME", "MW"],
    ["2024-01-01T08:00:00-00:00", "2024-01-01T09:00:00-00:00", "ACTUAL", "PGE", "10.5"],
    ["2024-01-01T09:00:00-00:00", "2024-01-01T10:00:00-00:00", "ACTUAL", "PGE", "11.5"],
]
OASIS = {"url": "http://oasis.caiso.com/oasisapi/SingleZip", "params": {"queryname": "SLD_FCST"}}

texts = st.one_of(
    st.sampled_from(["", " ", "-", "nan", "inf", "-1e999", "9" * 400, "Ω\r\x00", "2024-13-01", "2024-03-10T02:30:00"]),
    st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1500-01-01T00:00:00-00:00", "253402300800"]
    ),
    st.text(max_size=4),
)
junk = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400), texts,
    st.sampled_from([[], {}, [[]], [{}], [None], {"@LocId": ""}, {"": None}, {"Name": []}]),
)  # fmt: skip


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in `document`."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def spoilt(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """`document` with `value` at `path`."""
    changed = copy.deepcopy(document)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return changed


def read(keys: dict[str, Any], body: bytes) -> Page | None:
    """The page of `body`, None if it is refused."""
    entry = parse({"apis": [{"name": "grid", "output_folder": "grid", **keys}]}).apis[0]
    of = source(entry.source)
    period = Period(AT, AT.replace(day=2)) if entry.source == "caiso" else None
    try:
        return of.parse(entry, of.requests(entry, period)[0], body, AT)
    except GridtideError:
        return None


def check(page: Page | None) -> None:
    """Values must be numbers or nulls, and times must be in the years of power grids."""
    if page is None or not page.observations.num_rows:
        return
    table = page.observations
    values = np.concatenate([arrays.to_numpy(chunk, "f8")[arrays.not_null(chunk)] for chunk in table["value"].chunks])
    assert np.isfinite(values).all()
    for starts, ends in zip(table["interval_start"].chunks, table["interval_end"].chunks, strict=True):
        first, last = arrays.to_numpy(starts, "i8"), arrays.to_numpy(ends, "i8")
        assert (first >= CENTURIES[0]).all()
        assert (last < CENTURIES[1]).all()
        assert (first <= last).all()


@settings(max_examples=400)
@given(st.data())
def test_any_value_anywhere_in_json(data: st.DataObject) -> None:
    """Any value in any field of each source is read or refused."""
    keys, document = data.draw(st.sampled_from(JSON))
    path = data.draw(st.sampled_from(list(places(document))))
    check(read(keys, json.dumps(spoilt(document, path, data.draw(junk))).encode()))


@settings(max_examples=200)
@given(st.sampled_from([(0, n) for n in range(5)] + [(1, n) for n in range(5)]), texts, st.booleans())
def test_any_text_anywhere_in_a_csv(place: tuple[int, int], text: str, ours: bool) -> None:
    """Any text in any cell of a CSV is read or refused."""
    body = io.StringIO(newline="")
    csv.writer(body).writerows(spoilt(LOADS, place, text))
    keys = (
        OASIS if ours else {"url": "https://grid.example/load", "time": LOADS[0][0], "value": ["MW"], "interval": "P1D"}
    )
    check(read(keys, body.getvalue().encode("utf-8", "replace")))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 3))
def test_any_bytes_anywhere_in_a_zip_or_xml(changes: list[tuple[int, int]], kind: int) -> None:
    """A damaged zip or XML is refused."""
    text = "\n".join(map(",".join, LOADS))
    error = "<?xml version='1.0' encoding='UTF-8'?><r><ERROR><ERR_CODE>1000</ERR_CODE></ERROR></r>"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    body = bytearray([packed.getvalue(), error.encode(), error.encode(), text.encode()][kind])
    for position, byte in changes:
        body[position % len(body)] = byte
    check(read(OASIS if kind != 2 else {"url": "https://grid.example/load"}, bytes(body)))
