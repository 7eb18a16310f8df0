"""Answers of grid operators with their rows in another order, or spoilt, give the same values or none, never others."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from gridtide.collect.checks import settle_page
from gridtide.errors import GridtideError
from gridtide.observations.table import concat
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response
from gridtide.sources.presets.catalogue import list_presets
from gridtide.sources.registry import get_source
from tests.sources.presets.test_variants import PJM, SAMPLES, write
from tests.support.presets import RETRIEVED, entry_of, recording

Values = dict[tuple[Any, ...], float | None]


@dataclass
class Outcome:
    """What was stored of an answer, and whether a run says that something was not."""

    stored: Values = field(default_factory=dict)
    warned: bool = False


def read(
    source: str,
    product: str,
    body: bytes,
    period: Period | None = None,
    headers: dict[str, str] | None = None,
    **keys: Any,
) -> Outcome:
    """The values that are stored of `body`; nothing, with a warning, if it is refused."""
    entry = entry_of(source, product, **keys)
    request = Request(entry.url, period=period)
    try:
        page = get_source(source).parse_response(entry, request, Response(body, RETRIEVED, headers=headers or {}))
        settled = settle_page(page, entry, request, period)
        rows = concat([settled.page.observations, *settled.page.more]).to_pylist()
    except GridtideError:
        return Outcome(warned=True)
    names = ("interval_start", "interval_end", "location", "variable", *(() if headers else ("published_at",)))
    skipped = [*page.skipped, *settled.skipped]
    stored = {tuple(row[name] for name in names): row["value"] for row in rows}
    return Outcome(stored, bool(settled.conflicts) or any(not item.expected for item in skipped))


def shuffle_csv(body: bytes, order: random.Random) -> bytes:
    """The file with its records, the lines that have as many cells as most have, in another order."""
    lines = body.decode().splitlines()
    header = next(number for number, line in enumerate(lines) if line.count(",") == lines[-1].count(","))
    rows = lines[header + 1 :]
    order.shuffle(rows)
    return "\n".join([*lines[: header + 1], *rows]).encode() + b"\n"


def shuffle_json(body: bytes, order: random.Random) -> bytes:
    """The document with all of its lists of objects or of lists in another order."""

    def shuffle(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: value if key in ("fields", "links") else shuffle(value) for key, value in content.items()}
        if isinstance(content, list) and content and isinstance(content[0], dict | list):
            return order.sample(content, len(content))
        return content

    return json.dumps(shuffle(json.loads(body))).encode()


def shuffle_zip(body: bytes, order: random.Random) -> bytes:
    """The archive with its members, and the rows of each, in another order."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as archive, zipfile.ZipFile(sink, "w") as shuffled:
        for member in order.sample(archive.infolist(), len(archive.infolist())):
            shuffled.writestr(member, shuffle_csv(archive.read(member), order))
    return sink.getvalue()


def shuffle_series(body: bytes, order: random.Random) -> bytes:
    """The document of ENTSO-E with its series in another order."""
    series = re.findall(rb"(?s)<TimeSeries>.*?</TimeSeries>", body)
    shuffled = iter(order.sample(series, len(series)))
    return re.sub(rb"(?s)<TimeSeries>.*?</TimeSeries>", lambda _: next(shuffled), body)


FEBRUARY = Period(datetime(2025, 2, 1, 5, tzinfo=UTC), datetime(2025, 2, 5, 5, tzinfo=UTC))
FORECAST = Period(datetime(2017, 11, 22, 5, tzinfo=UTC), datetime(2017, 11, 23, 5, tzinfo=UTC))

RECORDED: list[tuple[str, str, str, Callable[[bytes, random.Random], bytes], dict[str, Any]]] = [
    ("nyiso", "load_five_minute", "nyiso/20171122pal.csv", shuffle_csv, {}),
    ("nyiso", "generation", "nyiso/20160119rtfuelmix.csv", shuffle_csv, {}),
    ("nyiso", "load_forecast", "nyiso/20171122isolf.csv", shuffle_csv, {"period": FORECAST}),
    ("nyiso", "generation", "nyiso/20250201rtfuelmix_csv.zip", shuffle_zip, {"period": FEBRUARY}),
    ("nyiso", "load", "nyiso/nyiso_20250309palIntegrated_sample.csv", shuffle_csv, {}),
    ("miso", "lmp_day_ahead", "miso/miso-2025-11-02.csv", shuffle_csv, {}),
    ("miso", "wind_forecast", "miso/DataBrokerServicesgetWindForecast.asmx.json", shuffle_json, {}),
    ("pjm", "generation", "pjm/gen_by_fuel.json", shuffle_json, {}),
    ("pjm", "load_forecast_latest", "pjm/load_frcstd_7_day_2025-03-19.json", shuffle_json, {}),
    ("pjm", "solar_forecast_five_minute", "pjm/pjm_5min_solar_forecast_response.json", shuffle_json, {}),
    ("ercot", "lmp_day_ahead", "ercot/ercot-2025-11-02.json", shuffle_json, {}),
    ("ercot", "load", "ercot/ercot_native_load_2025_sample.csv", shuffle_csv, {}),
    ("ercot", "load_forecast_zones", "ercot/load_forecast_specific_reportid.zip", shuffle_zip, {}),
    ("ercot", "solar", "ercot/solar_specific_reportid.zip", shuffle_zip, {}),
    ("ercot", "solar_forecast", "ercot/solar_specific_reportid.zip", shuffle_zip, {}),
    ("ercot", "load_dashboard", "ercot/ERCOT_demand.json", shuffle_json, {}),
    ("spp", "lmp_day_ahead", "spp/spp-2026-03-08.csv", shuffle_csv, {}),
    ("entsoe", "load", "entsoe/load_FR_20210101.xml", shuffle_series, {"locations": ["FR"]}),
    ("entsoe", "price_day_ahead", "entsoe/prices_PT_20241229_A03.xml", shuffle_series, {"locations": ["PT"]}),
    ("entsoe", "price_day_ahead", "entsoe/FR_prices.xml", shuffle_series, {"locations": ["FR"]}),
]


@pytest.mark.parametrize(("source", "product", "path", "shuffle", "keys"), RECORDED)
def test_the_order_of_rows_changes_nothing(
    source: str, product: str, path: str, shuffle: Callable[[bytes, random.Random], bytes], keys: dict[str, Any]
) -> None:
    """A recording with its rows, members or series in another order gives the same table. Only the hour that NYISO's
    prices and forecasts have twice is told by the order, so no recording of such a day is among these."""
    body = recording(path)
    plain = read(source, product, body, **keys)
    assert plain.stored
    for seed in range(2):
        shuffled = read(source, product, shuffle(body, random.Random(seed)), **keys)  # noqa: S311
        assert shuffled.stored == plain.stored
        assert shuffled.warned == plain.warned


ADDING = {
    (name, product)
    for name, preset in list_presets().items()
    for product in preset.products
    if preset.describe(product).get("summed")
}
ZONES = ["CAPITL", "CENTRL", "DUNWOD", "GENESE", "HUD VL", "LONGIL", "MHK VL", "MILLWD", "N.Y.C.", "NORTH", "WEST"]


def write_parts(product: str, parts: list[int], numbers: range) -> list[str]:
    """The header and the rows of sums whose parts are these numbers of their columns or records, at several times."""
    if product == "load_system":
        rows = [f"01/10/2026 0{n}:00:00,EST,{ZONES[part]},1,{100 + part}" for n in numbers for part in parts]
        return ["Time Stamp,Time Zone,Name,PTID,Integrated Load", *rows]
    if product.startswith("load"):
        rows = [f"4/1/2026 {6 + n}:00,SPP,KCPL,{('CF', 'NC')[part]},{100 + part}" for n in numbers for part in parts]
        return ["Market Hour,Balancing Area Name,Control Zone Name,Forecast Area Type,Load MW", *rows]
    names = [("Coal Market", "Coal Self")[part] for part in parts]
    rows = [f"2026-01-10T0{n}:00:00Z,{','.join(str(100 + part) for part in parts)},7" for n in numbers]
    return [",".join(["GMT MKT Interval", *names, "Wind"]), *rows]


@pytest.mark.parametrize(("source", "product"), sorted(ADDING))
def test_a_sum_without_one_of_its_parts_or_with_one_twice_is_none(source: str, product: str) -> None:
    """For each product that adds, whichever part is missing or doubled, at all times or at one."""
    count = 11 if product == "load_system" else 2
    parts = list(range(count))
    whole = read(source, product, "\n".join(write_parts(product, parts, range(3))).encode())
    total = float(sum(100 + part for part in parts))
    sums = {key for key, value in whole.stored.items() if value == total}
    assert len(sums) == 3
    assert not whole.warned
    for part in parts:
        for broken in ([p for p in parts if p != part], [*parts, part]):
            header, *rows = write_parts(product, parts, range(2))
            broken_header, *broken_rows = write_parts(product, broken, range(2, 3))
            rows = rows if header == broken_header else []
            outcome = read(source, product, "\n".join([broken_header, *rows, *broken_rows]).encode())
            assert outcome.warned
            is_wrong = [key for key, value in outcome.stored.items() if key in sums and value not in (None, total)]
            assert is_wrong == []
            assert sum(value == total for value in outcome.stored.values()) == (2 if rows else 0)


Rows = list[list[str]]


def replace_cells(rows: Rows, change: Callable[[str], str]) -> Rows:
    """The rows with the last number of the last row changed."""
    row = list(rows[-1])
    place = max(n for n, cell in enumerate(row) if re.fullmatch(r"-?\.?\d[\d.]*", cell))
    row[place] = change(row[place])
    return [*rows[:-1], row]


def replace_label(rows: Rows, text: str) -> Rows:
    """The rows with the first cell of the last row replaced."""
    return [*rows[:-1], [text, *rows[-1][1:]]]


def pack(body: str, cut: float = 1.0) -> bytes:
    """A zip of the text, of which the beginning is left."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", body)
    return sink.getvalue()[: int(len(sink.getvalue()) * cut)]


def delimit(rows: Rows, delimiter: str) -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return sink.getvalue()


SPOILT: dict[str, Callable[[Rows], str | bytes]] = {
    "empty": lambda rows: "",
    "blank": lambda rows: " \r\n\r\n",
    "mark alone": lambda rows: "\ufeff",
    "web page": lambda rows: "<!DOCTYPE html><html><body>We are sorry</body></html>",
    "error as JSON": lambda rows: '{"statusCode": 500, "message": "Internal server error"}',
    "list of errors": lambda rows: '[{"error": "no such report"}]',
    "error as XML": lambda rows: "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>",
    "a sentence": lambda rows: "No data found for the given parameters\n",
    "first column gone": lambda rows: write([row[1:] for row in rows]),
    "last column gone": lambda rows: write([row[:-1] for row in rows]),
    "last column renamed": lambda rows: write([[*rows[0][:-1], "Renamed Column"], *rows[1:]]),
    "first column renamed": lambda rows: write([["Zeit", *rows[0][1:]], *rows[1:]]),
    "last column twice": lambda rows: write([[*row, row[-1]] for row in rows]),
    "last column twice with other cells": lambda rows: write(
        [[*rows[0], rows[0][-1]], *([*row, "12345"] for row in rows[1:])]
    ),
    "no header": lambda rows: write(rows[1:]),
    "header twice": lambda rows: write([rows[0], *rows]),
    "header again at the end": lambda rows: write([*rows, rows[0]]),
    "file twice": lambda rows: write(rows) + write(rows),
    "last row twice": lambda rows: write([*rows, rows[-1]]),
    "last row twice with another number": lambda rows: write([*rows, replace_cells(rows, lambda cell: "54321")[-1]]),
    "blank number": lambda rows: write(replace_cells(rows, lambda cell: "")),
    "words for none": lambda rows: write(replace_cells(rows, lambda cell: "N/A")),
    "a dash for none": lambda rows: write(replace_cells(rows, lambda cell: "-")),
    "infinite": lambda rows: write(replace_cells(rows, lambda cell: "Infinity")),
    "too large": lambda rows: write(replace_cells(rows, lambda cell: "1e999")),
    "with a unit": lambda rows: write(replace_cells(rows, lambda cell: f"{cell} MW")),
    "as a word": lambda rows: write(replace_cells(rows, lambda cell: "missing")),
    "hexadecimal": lambda rows: write(replace_cells(rows, lambda cell: "0x1F")),
    "negative in parentheses": lambda rows: write(replace_cells(rows, lambda cell: f"({cell.lstrip('-')})")),
    "minus behind": lambda rows: write(replace_cells(rows, lambda cell: f"{cell.lstrip('-')}-")),
    "decimal comma": lambda rows: write(replace_cells(rows, lambda cell: cell.replace(".", ","))),
    "first label blank": lambda rows: write(replace_label(rows, "")),
    "first label no time": lambda rows: write(replace_label(rows, "yesterday")),
    "month 13": lambda rows: write(replace_label(rows, "13/45/2026 00:00:00")),
    "hour 25": lambda rows: write(replace_label(rows, "01/10/2026 25:00:00")),
    "a cell too many": lambda rows: write([*rows[:-1], [*rows[-1], "77"]]),
    "a cell too few": lambda rows: write([*rows[:-1], rows[-1][:-1]]),
    "cut in the last row": lambda rows: write(rows)[:-4],
    "open quote": lambda rows: write(rows)[:-1] + ',"\n',
    "a total at the end": lambda rows: write([*rows, ["Total", *[""] * (len(rows[0]) - 2), "99999"]]),
    "words at the end": lambda rows: write(rows) + "End of report\n",
    "words before": lambda rows: "Report of today\n" + write(rows),
    "semicolons": lambda rows: delimit(rows, ";"),
    "tabs": lambda rows: delimit(rows, "\t"),
    "pipes": lambda rows: delimit(rows, "|"),
    "commas at the end": lambda rows: write(rows).replace("\n", ",\n"),
    "UTF-16": lambda rows: write(rows).encode("utf-16"),
    "gzip": lambda rows: gzip.compress(write(rows).encode()),
    "cut gzip": lambda rows: gzip.compress(write(rows).encode())[:-9],
    "zip": lambda rows: pack(write(rows)),
    "cut zip": lambda rows: pack(write(rows), 0.6),
    "zeros": lambda rows: write(rows).replace("\n", "\0\n").encode(),
    "returns alone": lambda rows: write(rows).replace("\n", "\r"),
}


NULLS = {"blank number", "words for none", "a dash for none", "infinite"}
"""What means that there is no value: it is stored as a null, or it is not measured yet, and no energy is derived."""

WIDE, NO_COLUMN = {"nyiso_forecast", "ercot_load", "ercot_zone_forecast"}, {"last column gone", "last column renamed"}
"""Files whose columns are their series; a run warns of a series that ends, from one file to the next."""

OTHER_NAMES = {
    "nyiso_forecast": {"last column renamed"},
    "miso_prices": {"first label no time", "month 13", "hour 25"},
}
"""Changes that give a series another name: the first label of MISO's reports is a node."""


@pytest.mark.parametrize("name", SAMPLES)
def test_no_spoilt_file_is_silently_wrong(name: str) -> None:
    """Whatever happens to a file, each value that is stored is that of the plain file, or null; and if any is missing,
    the answer is refused or the run warns."""
    sample = SAMPLES[name]
    keys: dict[str, Any] = {"period": sample.period, "unpack": None, "headers": {"server": "of an operator"}}
    plain = read(sample.source, sample.product, (sample.above + write(sample.rows)).encode(), **keys)
    assert plain.stored
    wrong = {}
    for change, spoil in SPOILT.items():
        spoilt = spoil(sample.rows)
        body = spoilt if isinstance(spoilt, bytes) else (sample.above + spoilt).encode()
        outcome = read(sample.source, sample.product, body, **keys)
        values = {key: value for key, value in outcome.stored.items() if value is not None}
        invented = {key: value for key, value in values.items() if plain.stored.get(key) != value}
        missing = plain.stored.keys() - outcome.stored.keys()
        may_lack = change in NULLS or (change in NO_COLUMN and name in WIDE)
        if change in OTHER_NAMES.get(name, ()):
            invented = {}
        if invented or (missing and not outcome.warned and not may_lack):
            wrong[change] = (invented, missing)
    assert wrong == {}


ITEMS: dict[str, Any] = {
    "an error": {"message": "Invalid subscription key"},
    "no items": {"items": None, "totalRows": 1},
    "an item that is none": {"items": [None, PJM], "totalRows": 2},
    "a price as a text": {"items": [PJM | {"total_lmp_da": "unknown"}], "totalRows": 1},
    "a price with thousands": {"items": [PJM | {"total_lmp_da": "2,300"}], "totalRows": 1},
    "no price": {"items": [{key: PJM[key] for key in PJM if key != "total_lmp_da"}], "totalRows": 1},
    "no time": {"items": [PJM | {"datetime_beginning_utc": None}], "totalRows": 1},
    "no node": {"items": [PJM | {"pnode_id": None}], "totalRows": 1},
    "another node": {"items": [PJM | {"pnode_id": 7}], "totalRows": 1},
    "a price that is a list": {"items": [PJM | {"total_lmp_da": [23.0]}], "totalRows": 1},
    "two prices": {"items": [PJM, PJM | {"total_lmp_da": 24.0, "system_energy_price_da": 21.0}], "totalRows": 2},
    "parts that do not add up": {"items": [PJM | {"total_lmp_da": 50.0}], "totalRows": 1},
}


@pytest.mark.parametrize("name", ITEMS)
def test_no_spoilt_item_is_silently_wrong(name: str) -> None:
    """The same of records of JSON: what is stored is the price, or nothing of it and the run says so."""
    plain = read("pjm", "lmp_day_ahead", json.dumps({"items": [PJM], "totalRows": 1}).encode(), locations=["51288"])
    assert len(plain.stored) == 4
    outcome = read("pjm", "lmp_day_ahead", json.dumps(ITEMS[name]).encode(), locations=["51288"])
    assert all(value is None or plain.stored[key] == value for key, value in outcome.stored.items())
    assert outcome.stored == plain.stored or outcome.warned
