"""Files of operators change in their layout without changing in their content, and what is stored does not change."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from gridtide.errors import UpstreamError
from gridtide.periods import Period
from tests.support.presets import read_product, stored_of

Rows = list[list[str]]


class Sample(NamedTuple):
    """A file of a product: its lines above the header, the header with its rows, and the period that it is for."""

    source: str
    product: str
    rows: Rows
    above: str = ""
    keys: dict[str, Any] = {}  # noqa: RUF012
    period: Period | None = None


DAY = Period(datetime(2026, 1, 10, 6, tzinfo=UTC), datetime(2026, 1, 11, 6, tzinfo=UTC))
LBMP = ["LBMP ($/MWHr)", "Marginal Cost Losses ($/MWHr)", "Marginal Cost Congestion ($/MWHr)"]
SPP_PARTS = ["LMP", "MLC", "MCC", "MEC"]
HOURS = [f"HE {hour}" for hour in range(1, 25)]
MISO_ABOVE = "Day Ahead Market ExPost LMPs\n01/10/2026\n,,,All Hours-Ending are Eastern Standard Time (EST)\n"

SAMPLES = {
    "nyiso_load": Sample(
        *("nyiso", "load"),
        [
            ["Time Stamp", "Time Zone", "Name", "PTID", "Integrated Load"],
            ["01/10/2026 00:00:00", "EST", "CAPITL", "61757", "1242.5531"],
            ["01/10/2026 00:00:00", "EST", "N.Y.C.", "61761", "5010.25"],
        ],
    ),
    "nyiso_fuels": Sample(
        *("nyiso", "generation"),
        [
            ["Time Stamp", "Time Zone", "Fuel Category", "Gen MW"],
            ["01/10/2026 00:05:00", "EST", "Dual Fuel", "2678"],
            ["01/10/2026 00:05:00", "EST", "Wind", "1232"],
            ["01/10/2026 00:10:00", "EST", "Dual Fuel", "2680"],
            ["01/10/2026 00:10:00", "EST", "Wind", "1230"],
        ],
    ),
    "nyiso_forecast": Sample(
        *("nyiso", "load_forecast"),
        [
            ["Time Stamp", "Capitl", "Hud Vl", "NYISO"],
            ["01/10/2026 00:00", "1200", "881", "13962"],
            ["01/10/2026 01:00", "1190", "846", "13449"],
        ],
        period=Period(datetime(2026, 1, 10, 5, tzinfo=UTC), datetime(2026, 1, 11, 5, tzinfo=UTC)),
    ),
    "nyiso_prices": Sample(
        *("nyiso", "lmp_day_ahead"),
        [
            ["Time Stamp", "Name", "PTID", *LBMP],
            ["01/10/2026 00:00", "CAPITL", "61757", "44.70", "1.10", "-3.50"],
            ["01/10/2026 00:00", "WEST", "61752", "-6.25", "-0.50", "2.00"],
        ],
    ),
    "nyiso_five_minute_prices": Sample(
        *("nyiso", "lmp_five_minute"),
        [
            ["Time Stamp", "Name", "PTID", *LBMP],
            ["01/10/2026 00:05:00", "CAPITL", "61757", "44.70", "1.10", "-3.50"],
            ["01/10/2026 00:10:00", "CAPITL", "61757", "45.70", "1.10", "-3.50"],
        ],
    ),
    "miso_prices": Sample(
        *("miso", "lmp_day_ahead"),
        [
            ["Node", "Type", "Value", *HOURS],
            ["A.HUB", "Hub", "LMP", *["10.5"] * 24],
            ["A.HUB", "Hub", "MCC", *[".6"] * 24],
            ["A.HUB", "Hub", "MLC", *["-.37"] * 24],
        ],
        MISO_ABOVE,
    ),
    "spp_prices": Sample(
        *("spp", "lmp_day_ahead"),
        [
            ["Interval", "GMTIntervalEnd", "Settlement Location", "Pnode", *SPP_PARTS],
            ["01/10/2026 01:00:00", "01/10/2026 07:00:00", "AEC", "SOUC", "-10.5", "0.5", "-31", "20"],
            ["01/10/2026 02:00:00", "01/10/2026 08:00:00", "AEC", "SOUC", "21", "0.5", "0.5", "20"],
        ],
    ),
    "spp_five_minute_prices": Sample(
        *("spp", "lmp_five_minute"),
        [
            ["Interval", "GMTIntervalEnd", "Settlement Location", "Pnode", *SPP_PARTS],
            ["01/10/2026 00:05:00", "01/10/2026 06:05:00", "AEC", "SOUC", "-10.5", "0.5", "-31", "20"],
        ],
    ),
    "spp_forecast": Sample(
        *("spp", "load_forecast"),
        [
            ["Interval", "GMTIntervalEnd", "MTLF", "Averaged Actual"],
            ["01/10/2026 10:00:00", "01/10/2026 16:00:00", "30000", ""],
            ["01/10/2026 11:00:00", "01/10/2026 17:00:00", "30100", ""],
        ],
        period=DAY,
    ),
    "spp_wind_and_sun": Sample(
        *("spp", "wind_solar_forecast"),
        [
            [
                "Interval",
                "GMTIntervalEnd",
                "Wind Forecast MW",
                "Wind Actual MW",
                "Solar Forecast MW",
                "Solar Actual MW",
            ],
            ["01/10/2026 10:00:00", "01/10/2026 16:00:00", "9000.5", "", "50.25", ""],
        ],
        period=DAY,
    ),
    "ercot_prices": Sample(
        *("ercot", "lmp_day_ahead"),
        [
            ["DeliveryDate", "HourEnding", "SettlementPoint", "SettlementPointPrice", "DSTFlag"],
            ["01/10/2026", "01:00", "HB_NORTH", "-3.5", "N"],
            ["01/10/2026", "24:00", "HB_NORTH", "31.25", "N"],
        ],
    ),
    "ercot_quarters": Sample(
        *("ercot", "lmp_fifteen_minute"),
        [
            [
                *("DeliveryDate", "DeliveryHour", "DeliveryInterval", "SettlementPointName", "SettlementPointType"),
                *("SettlementPointPrice", "DSTFlag"),
            ],
            ["01/10/2026", "1", "4", "HB_NORTH", "HU", "-3.5", "N"],
        ],
    ),
    "ercot_load": Sample(
        *("ercot", "load"),
        [["OperDay", "HourEnding", "COAST", "TOTAL", "DSTFlag"], ["01/10/2026", "24:00", "10.5", "42000", "N"]],
    ),
    "ercot_zone_forecast": Sample(
        *("ercot", "load_forecast_zones"),
        [
            ["DeliveryDate", "HourEnding", "North", "South", "West", "Houston", "SystemTotal", "DSTFlag"],
            ["01/10/2026", "1:00", "1", "2", "3", "4", "10", "N"],
        ],
    ),
    "ercot_solar": Sample(
        *("ercot", "solar"),
        [
            ["DELIVERY_DATE", "HOUR_ENDING", "SYSTEM_WIDE_GEN", "COP_HSL_SYSTEM_WIDE", "STPPF_SYSTEM_WIDE", "DSTFlag"],
            ["01/10/2026", "12", "500.5", "600", "520", "N"],
        ],
    ),
}

Change = Callable[[Rows], str]


def write(rows: Rows, *, end: str = "\n", quoting: Any = csv.QUOTE_MINIMAL) -> str:
    """The text of `rows`."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator=end, quoting=quoting).writerows(rows)
    return sink.getvalue()


def widen(rows: Rows) -> Rows:
    """The rows with a column of texts in front and one at the end."""
    return [["New", *rows[0], "Remark"], *(["x", *row, "y"] for row in rows[1:])]


def turn(rows: Rows) -> Rows:
    """The rows with their columns in the opposite order."""
    return [row[::-1] for row in rows]


def respell(rows: Rows) -> Rows:
    """The rows with blanks around the names of columns, and other cases."""
    return [[f" {name.upper()} " if " " in name else name for name in rows[0]], *rows[1:]]


CHANGES: dict[str, Change] = {
    "CRLF": lambda rows: write(rows, end="\r\n"),
    "quoted": lambda rows: write(rows, quoting=csv.QUOTE_ALL),
    "BOM": lambda rows: "\ufeff" + write(rows),
    "no last newline": lambda rows: write(rows).rstrip("\n"),
    "blank lines": lambda rows: write(rows).replace("\n", "\n\n") + "\n\n",
    "blanks around names": lambda rows: ", ".join(rows[0]) + " \n" + write(rows[1:]),
    "blanks around cells": lambda rows: write([[f" {cell} " for cell in row] for row in rows]),
    "empty fields at the end": lambda rows: write([[*row, ""] for row in rows]),
    "rows of empty fields": lambda rows: write([*rows, [""] * len(rows[0])]),
    "columns in another order": lambda rows: write(turn(rows)),
    "names in another spelling": lambda rows: write(respell(rows)),
}


def allows(sample: Sample, change: str) -> bool:
    """Whether files of a product can change so: hours and zones in the header are names of their own, in one spelling,
    and the report of MISO begins with Node, by which its header and its rows are found."""
    if sample.source == "miso":
        return change not in ("names in another spelling", "columns in another order", "rows of empty fields")
    named_columns = sample.product.startswith("load_forecast") or (sample.source, sample.product) == ("ercot", "load")
    return not (named_columns and change == "names in another spelling")


@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name in SAMPLES for change in CHANGES if allows(SAMPLES[name], change)]
)
def test_the_layout_of_a_file_does_not_matter(name: str, change: str) -> None:
    """Every value is stored as from the plain file, and nothing is counted as left out."""
    sample = SAMPLES[name]
    headers = {"content-length": "1"}
    plain = read_product(
        sample.source, sample.product, sample.above + write(sample.rows), period=sample.period, headers=headers
    )
    body = CHANGES[change](sample.rows)
    body = f"\ufeff{sample.above}{body[1:]}" if change == "BOM" else sample.above + body
    page = read_product(sample.source, sample.product, body, period=sample.period, headers=headers)
    assert stored_of(page) == stored_of(plain) != {}
    assert [item for item in page.skipped if not item.expected] == []


OPEN_TO_COLUMNS = [name for name in SAMPLES if "forecast" not in name and name not in ("ercot_load", "miso_prices")]
"""Samples with values in columns of their names; in the others a new column is a new zone, or hides the word Node."""


@pytest.mark.parametrize("name", OPEN_TO_COLUMNS)
def test_new_columns_are_passed_over(name: str) -> None:
    """A column in front and one at the end change nothing where values are named."""
    sample = SAMPLES[name]
    wide = sample.above + write(widen(sample.rows))
    page = read_product(sample.source, sample.product, wide, period=sample.period)
    plain = read_product(sample.source, sample.product, sample.above + write(sample.rows), period=sample.period)
    assert stored_of(page) == stored_of(plain)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_of_its_header_has_no_rows_and_a_page_is_none(name: str) -> None:
    """A header alone is an answer without rows; a web page, an empty body and half a row are asked for again."""
    sample = SAMPLES[name]
    header = sample.above + write(sample.rows[:1])
    page = read_product(sample.source, sample.product, header, period=sample.period)
    assert (page.observations.num_rows, list(page.skipped)) == (0, [])
    for body in ("", "\n", "<html><body>Maintenance</body></html>", "<!DOCTYPE html>\n<html/>"):
        with pytest.raises(UpstreamError):
            read_product(sample.source, sample.product, body, period=sample.period)
    cut = sample.above + write(sample.rows)[:-4].rsplit(",", 1)[0]
    with pytest.raises(UpstreamError, match="cut"):
        read_product(sample.source, sample.product, cut, period=sample.period)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_zip_of_several_members_is_read_whole(name: str) -> None:
    """Of two members with a row each, both are stored; a row alone is no different from a row among others."""
    sample = SAMPLES[name]
    if sample.source == "miso":
        return  # three rows are one price
    header, *rows = sample.rows
    halves = [rows[:1], rows[1:]] if "fuels" not in name else [rows[:2], rows[2:]]
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("folder/", "")
        for number, half in enumerate(halves):
            archive.writestr(f"member{number}.csv", write([header, *half]))
    together = read_product(sample.source, sample.product, sink.getvalue(), period=sample.period, unpack="*.csv")
    plain = read_product(sample.source, sample.product, write(sample.rows), period=sample.period)
    assert stored_of(together).keys() == stored_of(plain).keys()


PJM = {
    "datetime_beginning_utc": "2026-01-10T05:00:00",
    "datetime_beginning_ept": "2026-01-10T00:00:00",
    "pnode_id": 51288,
    "pnode_name": "WESTERN HUB",
    "system_energy_price_da": 20.0,
    "total_lmp_da": 23.0,
    "congestion_price_da": 2.0,
    "marginal_loss_price_da": 1.0,
    "row_is_current": True,
    "version_nbr": 1,
}


@pytest.mark.parametrize(
    "item",
    [
        PJM,
        PJM | {"new": "x", "pnode_id": "51288"},
        dict(reversed(PJM.items())),
        PJM | {"total_lmp_da": "23.0", "row_is_current": "true"},
        PJM | {"row_is_current": 1},
        PJM | {"datetime_beginning_utc": "2026-01-10T05:00:00Z"},
        {name.upper(): cell for name, cell in PJM.items()},
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_items_of_pjm_may_be_written_in_several_ways(item: dict[str, Any], bare: bool) -> None:
    """Numbers as texts, other orders and cases, a bare list and its envelope are the same prices."""
    body: Any = [item] if bare else {"items": [item], "totalRows": 1, "links": []}
    page = read_product("pjm", "lmp_day_ahead", json.dumps(body), locations=["51288"])
    stored = {variable: value for (_, _, variable), value in stored_of(page).items()}
    assert stored == {
        "lmp_day_ahead": 23,
        "lmp_day_ahead_energy": 20,
        "lmp_day_ahead_congestion": 2,
        "lmp_day_ahead_loss": 1,
    }
    assert {start for start, _, _ in stored_of(page)} == {"2026-01-10T05:00Z"}
