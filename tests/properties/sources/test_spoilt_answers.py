"""A good answer with one wrong place is read without a wrong number, or refused with an error of Gridtide."""

import copy
import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.errors import FormatError, GridtideError
from gridtide.observations import arrays
from gridtide.observations.table import CENTURIES
from gridtide.periods import Period
from gridtide.sources.contract import Page, Response
from gridtide.sources.registry import get_source

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
    of = get_source(entry.source)
    period = Period(AT, AT.replace(day=2)) if entry.source == "caiso" else None
    try:
        return of.parse_response(entry, of.build_requests(entry, period)[0], Response(body, AT))
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


def hourly_loads(values: list[Any]) -> Any:
    """An answer of ISO-NE with a load for each of `values`."""
    loads = [{**HOUR, "BeginDate": f"2024-03-11T{hour:02}:00:00.000-04:00", "Load": text} for hour, text in values]
    return {"HourlySystemLoads": {"HourlySystemLoad": loads}}


def mixes(values: list[Any]) -> Any:
    """An answer of ISO-NE with a reading of hydro for each of `values`."""
    mix = {key: text for key, text in MIX.items() if key != "MarginalFlag"}
    readings = [{**mix, "BeginDate": f"2024-03-11T{hour:02}:00:00.000-04:00", "GenMw": text} for hour, text in values]
    return {"GenFuelMixes": {"GenFuelMix": readings}}


def monitor_rows(values: list[Any]) -> Any:
    """An answer of EIA with a demand for each of `values`."""
    rows = [{**DEMAND, "period": f"2024-01-01T{hour:02}", "value": text} for hour, text in values]
    return {"response": {"total": str(len(rows)), "data": rows}}


def weather(values: list[Any]) -> Any:
    """An answer of Open-Meteo with a temperature for each of `values`."""
    hourly = {
        "time": [f"2024-01-01T{hour:02}:00" for hour, _ in values],
        "temperature_2m": [text for _, text in values],
    }
    return {**WEATHER, "hourly": hourly}


def oasis_csv(values: list[Any]) -> str:
    """A report of OASIS with a load for each of `values`."""
    rows = [
        [f"2024-01-01T{hour:02}:00:00-00:00", f"2024-01-02T{hour:02}:00:00-00:00", "ACTUAL", "PGE", text]
        for hour, text in values
    ]
    body = io.StringIO(newline="")
    csv.writer(body).writerows([LOADS[0], *rows])
    return body.getvalue()


COUNTED = {
    "iso_ne loads": (JSON[0][0], hourly_loads),
    "iso_ne fuels": (JSON[1][0], mixes),
    "eia": (JSON[4][0], monitor_rows),
    "open_meteo": (JSON[5][0], weather),
    "caiso": (OASIS, oasis_csv),
}
cells = st.one_of(
    st.floats(-1e6, 1e6).map(lambda number: f"{number:.3f}"),
    st.sampled_from(["many", "1,204.5", "12 MW", "1e999", "-inf", "--", "Ω", "12:00", "0x1F"]),
)


@pytest.mark.parametrize("name", COUNTED)
@settings(max_examples=40)
@given(st.lists(cells, min_size=1, max_size=20))
def test_what_is_not_stored_of_a_known_source_is_counted(name: str, values: list[str]) -> None:
    """Whatever stands in the cells of values: those that are stored and those that are counted are all there are, an
    example names the first of the others, and an answer without any number is refused with that."""
    keys, write = COUNTED[name]
    answer = write(list(enumerate(values)))
    body = answer if isinstance(answer, str) else json.dumps(answer)
    entry = parse({"apis": [{"name": "grid", "output_folder": "grid", **keys}]}).apis[0]
    of = get_source(entry.source)
    request = of.build_requests(entry, Period(AT, AT.replace(day=2)))[0]
    numbers = [text for text in values if re.fullmatch(r"-?\d+\.\d{3}", text)]
    others = [text for text in values if text not in numbers]
    if not numbers:
        with pytest.raises(FormatError, match=re.escape(repr(others[0]))):
            of.parse_response(entry, request, Response(body.encode(), AT))
        return
    page = of.parse_response(entry, request, Response(body.encode(), AT))
    assert page.observations["value"].to_pylist() == [float(text) for text in numbers]
    assert sum(skipped.count for skipped in page.skipped) == len(others)
    assert all(repr(others[0]) in skipped.example for skipped in page.skipped)
    assert len(page.skipped) == bool(others)
