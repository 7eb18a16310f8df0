"""CAISO OASIS, imitated: /oasisapi/SingleZip?queryname=….

Responses are zips of one CSV, whose rows are unsorted and whose columns have a different order in every report; errors
are zips of XML under HTTP 200. `OPR_HR` is hour-ending Pacific time: 1, 2, 4 in spring and 1, 2, 25, 3 in autumn; only
the GMT columns give the time.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import Period, local_midnight
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html
from gridtide.simulation import (
    CALIFORNIA,
    HOUR_STEP,
    Grid,
    GridState,
    Times,
    Values,
    count_day_ahead_lead,
    find_utc_offset,
    list_interval_starts,
    to_times,
)

PATH_PREFIXES = ("/oasisapi/",)
RATE_LIMITS = ((1, 5.0),)
"""Requests per number of seconds."""


CODE, ZONE = CALIFORNIA.code, ZoneInfo(CALIFORNIA.zone)


LONGEST_REQUEST = timedelta(days=31)
"""A longer period is refused with error 1004, as by OASIS."""


PRICES_KEPT = timedelta(days=1187)
"""Older prices, of more than about 39 months, are no longer available."""


LOAD_AREAS = {"PGE-TAC": "PGAE", "SCE-TAC": "SCE", "SDGE-TAC": "SDGE", "VEA-TAC": "VEA"}


OUTSIDE_AREAS = (
    *("AVA", "AVRN", "AZPS", "BANC", "BANCMID", "BANCRDNG", "BANCRSVL", "BANCSMUD", "BANCWASN", "BCHA"),
    *("BPAT", "EPE", "IPCO", "LADWP", "MWD-TAC", "NEVP", "NWMT", "PACE", "PACW", "PGE"),
    *("PNM", "PSEI", "SCL", "SRP", "TEPC", "TIDC", "TPWR", "WALC", "WAUW"),
)
"""Areas outside the system; PGE is Portland General Electric."""


HUBS = {"NP15": (0.13, 0.35), "SP15": (0.72, 0.6), "ZP26": (0.15, 0.05)}
"""Shares of solar and of wind by trading hub."""


SCHEDULES = {
    "Export": ("ETIE", "TOT_EXP_MW", 5, {"TAC_ECNTR": 0.24, "TAC_NORTH": 0.5, "TAC_SOUTH": 0.26}),
    "Generation": (
        *("GEN", "TOT_GEN_MW", 7),
        {"TAC_ECNTR": 0.4, "TAC_NCNTR": 0.001, "TAC_NORTH": 0.55, "TAC_SOUTH": 0.049},
    ),
    "Import": (
        *("ITIE", "TOT_IMP_MW", 6),
        {"TAC_ECNTR": 0.73, "TAC_NCNTR": 0.01, "TAC_NORTH": 0.25, "TAC_SOUTH": 0.01},
    ),
    "Load": (
        *("LOAD", "TOT_LOAD_MW", 8),
        {"NONTAC": 0, "TAC_ECNTR": 0.47, "TAC_NCNTR": 0.002, "TAC_NORTH": 0.43, "TAC_SOUTH": 0.098},
    ),
}
"""By schedule: type, data item, position, and shares of the zones."""


NODES = ("TH_NP15_GEN-APND", "TH_SP15_GEN-APND", "TH_ZP26_GEN-APND", "DLAP_PGAE-APND", "DLAP_SCE-APND")
"""The aggregated nodes of `grp_type=ALL_APNODES`; any other node may be requested by name."""


SeriesLabels = Mapping[str, str]


SeriesMaker = Callable[[Question, Times, str], Sequence[tuple[SeriesLabels, Values]]]
"""Makes the labels and values, shape (T,), of all series of a market at the middles of its intervals."""


@dataclass(frozen=True, slots=True)
class ImitatedReport:
    """A report: its columns in their order, its markets with their interval lengths, the function that makes its
    series, the number of decimals, and the column of the value."""

    columns: tuple[str, ...]
    markets: Mapping[str, timedelta]
    series: SeriesMaker
    decimals: int = 2
    value: str = "MW"


def answer_request(question: Question) -> WireAnswer:
    """Returns the response of OASIS."""
    if question.path != "/oasisapi/SingleZip":
        return write_refusal(404)
    name, market = question.get("queryname"), question.get("market_run_id", "DAM")
    report, period = IMITATED_REPORTS.get(name), _read_period(question)
    csv_asked = question.get("resultformat") == "6" and question.get("version") != ""
    nodes_named = not name.startswith("PRC_") or question.get("node") or question.get("grp_type")
    if report is None or period is None or market not in report.markets or not csv_asked or not nodes_named:
        return _write_error(question, "INVALID_REQUEST", "1001", "Invalid Parameters of the given report name")
    if period.duration > LONGEST_REQUEST:
        text = "Data can be requested for period of 31 days only"
        return _write_error(question, "INVALID_REQUEST", "1004", text)
    interval_starts = list_interval_starts(period.start, period.end, report.markets[market])
    released = to_times([_find_release(name, market, question.now) - report.markets[market]])[0]
    interval_starts = interval_starts[interval_starts <= released]
    if name.startswith("PRC_"):
        interval_starts = interval_starts[interval_starts >= to_times([question.now - PRICES_KEPT])[0]]
    member = f"{period.start:%Y%m%d}_{period.end:%Y%m%d}_{name}_{market}_{question.now:%Y%m%d_%H_%M_%S}_v1"
    if not len(interval_starts):
        return _write_error(question, member, "1000", "No data returned for the specified selection")
    return _write_zip(question, member, f"{member}.csv", _write_csv(question, report, market, interval_starts))


def write_refusal(status: int, window: float = 5, speed: float = 1) -> WireAnswer:
    """Returns the web page for an error with this status; a 429 asks to wait for the window."""
    if status == 429:
        text = f"CAISO Acceptable Use Policy Violation. Please retry your request after {window / speed:g} seconds."
        return write_html(text, status)
    return write_html(f"HTTP Status {status}", status)


def _read_period(question: Question) -> Period | None:
    try:
        bounds = (
            datetime.strptime(question.get(f"{end_name}datetime"), "%Y%m%dT%H:%M%z") for end_name in ("start", "end")
        )
        return Period(*bounds)
    except ValueError:
        return None


def _find_release(name: str, market: str, now: datetime) -> datetime:
    """Returns the end of what is published: actual values after their hour, day-ahead ones at noon Pacific time."""
    if market in ("ACTUAL", "RTM"):
        forecast = name == "SLD_FCST" and market == "RTM"
        return now + timedelta(hours=1) if forecast else now - timedelta(hours=1)
    local_time = now.astimezone(ZONE)
    days = {"DAM": 1, "2DA": 2, "7DA": 7}[market]
    return local_midnight(local_time.date() + timedelta(days=days + (local_time.hour >= 12)), ZONE)


def _write_error(question: Question, member: str, error_code: str, description: str) -> WireAnswer:
    body = f"""<?xml version="1.0" encoding="UTF-8"?>
<m:OASISReport xmlns:m="http://www.caiso.com/soa/OASISReport_v1.xsd">
<m:MessageHeader>
<m:TimeDate>{question.now:%Y-%m-%dT%H:%M:%S.000Z}</m:TimeDate>
<m:Source>OASIS</m:Source>
<m:Version>v20131201</m:Version>
</m:MessageHeader>
<m:MessagePayload>
<m:RTO>
<m:name>CAISO</m:name>
<m:ERROR>
<m:ERR_CODE>{error_code}</m:ERR_CODE>
<m:ERR_DESC>{description}</m:ERR_DESC>
</m:ERROR>
</m:RTO>
</m:MessagePayload>
</m:OASISReport>"""
    return _write_zip(question, member, f"{member}.xml", body)


def _write_zip(question: Question, name: str, member: str, text: str) -> WireAnswer:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(member, question.now.timetuple()[:6])
        archive.writestr(entry, text, zipfile.ZIP_DEFLATED, compresslevel=1)
    headers = {"Content-Disposition": f"inline; filename={name}.zip;"}
    return WireAnswer(buffer.getvalue(), content_type="application/x-zip-compressed", headers=headers)


def _write_csv(question: Question, report: ImitatedReport, market: str, interval_starts: Times) -> str:
    """Returns all rows of the report, unsorted."""
    interval_length = np.timedelta64(int(report.markets[market].total_seconds()), "s")
    shared = _write_interval_columns(interval_starts, interval_length)
    rows: list[str] = []
    for group, (labels, values) in enumerate(
        report.series(question, interval_starts + interval_length // 2, market), 1
    ):
        written_values = [_write_value(value) for value in np.round(values, report.decimals).tolist()]
        row_labels = {"MARKET_RUN_ID": market, "GROUP": str(group), **labels}
        columns = [
            shared.get(name)
            or (written_values if name == report.value else repeat(row_labels[name], len(interval_starts)))
            for name in report.columns
        ]
        rows += [",".join(parts) for parts in zip(*columns, strict=True)]
    row_order = np.argsort(question.grid.draw_uniform("row order", np.arange(len(rows)).astype("datetime64[s]")))
    return "\n".join([",".join(report.columns), *(rows[number] for number in row_order.tolist())]) + "\n"


def _write_interval_columns(interval_starts: Times, interval_length: np.timedelta64) -> dict[str, list[str]]:
    """Returns the columns of the interval, in GMT and as operating day and hour."""
    offset = find_utc_offset(interval_starts, ZONE.key)
    is_repeated_hour = (
        find_utc_offset(interval_starts - HOUR_STEP, ZONE.key) > offset
    )  # the autumn hour that occurs twice
    local_times = interval_starts + offset
    hours = np.where(is_repeated_hour, 25, (local_times - local_times.astype("datetime64[D]")) // HOUR_STEP + 1)
    intervals = np.where(
        interval_length < HOUR_STEP, (local_times - local_times.astype("datetime64[h]")) // interval_length + 1, 0
    )
    return {
        "INTERVALSTARTTIME_GMT": [
            f"{text}-00:00" for text in np.datetime_as_string(interval_starts, unit="s").tolist()
        ],
        "INTERVALENDTIME_GMT": [
            f"{text}-00:00" for text in np.datetime_as_string(interval_starts + interval_length, unit="s").tolist()
        ],
        "OPR_DT": np.datetime_as_string(local_times, unit="D").tolist(),
        "OPR_HR": [str(hour) for hour in hours.tolist()],
        "OPR_INTERVAL": [str(interval) for interval in intervals.tolist()],
    }


def _write_value(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _forecast_state(grid: Grid, middles: Times, market: str) -> GridState:
    """Returns the state of the grid as the market forecast it."""
    days = {"DAM": 0, "2DA": 1, "7DA": 6}.get(market)
    lead = 0.5 if days is None else count_day_ahead_lead(middles, ZONE.key) + 24 * days
    return grid.state_at(CODE, middles, lead)


def _make_load_series(question: Question, middles: Times, market: str) -> list[tuple[SeriesLabels, Values]]:
    """Returns the load by area, in whole MW; the load of the system is the sum of its own areas."""
    grid, actual = question.grid, market == "ACTUAL"
    state = grid.state_at(CODE, middles) if actual else _forecast_state(grid, middles, market)
    demand = (
        grid.publish_values("caiso load", state.demand, middles + HOUR_STEP // 2, question.now)
        if actual
        else state.demand
    )
    loads = {area: np.round(CALIFORNIA.zones[zone] * demand) for area, zone in LOAD_AREAS.items()}
    areas = {"CA ISO-TAC": sum(loads.values(), np.zeros(len(middles))), **loads}
    for area, relative_size in zip(
        OUTSIDE_AREAS, grid.draw_uniform("area", np.arange(len(OUTSIDE_AREAS)).astype("datetime64[s]")), strict=True
    ):
        areas[area] = np.round(
            (0.01 + 0.2 * relative_size) * demand * (0.95 + 0.1 * grid.draw_uniform(f"{area} {market}", middles))
        )
    label = "Total Actual Hourly Integrated Load" if actual else "Demand Forecast"
    data_item = "SYS_FCST_ACT_MW" if actual else f"SYS_FCST_{market}_MW"
    labels = {"LOAD_TYPE": "0", "LABEL": label, "XML_DATA_ITEM": data_item, "EXECUTION_TYPE": market}
    return [
        (labels | {"TAC_AREA_NAME": area, "POS": f"7.{number}" if number else "7"}, values)
        for number, (area, values) in enumerate(areas.items())
    ]


def _make_renewable_series(question: Question, middles: Times, market: str) -> list[tuple[SeriesLabels, Values]]:
    actual = market == "ACTUAL"
    state = question.grid.state_at(CODE, middles) if actual else _forecast_state(question.grid, middles, market)
    label, data_item = ("Actual", "RENEW_ACT_MW") if actual else ("Forecast Day Ahead", "RENEW_FCST_DA_MW")
    return [
        (
            {
                "TRADING_HUB": hub,
                "RENEWABLE_TYPE": renewable_type.capitalize(),
                "LABEL": f"Renewable {label}",
                "XML_DATA_ITEM": data_item,
                "MARKET_RUN_ID_POS": "1",
                "RENEW_POS": str(2 - number),
            },
            share * state.generation[renewable_type],
        )
        for hub, shares in HUBS.items()
        for number, (renewable_type, share) in enumerate(zip(("solar", "wind"), shares, strict=True))
    ]


def _make_schedule_series(question: Question, middles: Times, market: str) -> list[tuple[SeriesLabels, Values]]:
    state = _forecast_state(question.grid, middles, market)
    flows = np.array(list(state.exports.values()))
    totals = {
        "Export": np.maximum(flows, 0).sum(axis=0),
        "Generation": state.net_generation,
        "Import": np.maximum(-flows, 0).sum(axis=0),
        "Load": state.demand,
    }
    members: list[tuple[SeriesLabels, Values]] = []
    for position, (schedule, total) in enumerate(totals.items(), 1):
        schedule_type, data_item, position_of_part, shares = SCHEDULES[schedule]
        total_labels = {"SLRS_TYPE": "ALL", "XML_DATA_ITEM": f"ISO_{data_item}", "POS": str(position)}
        members.append((total_labels | {"TAC_ZONE_NAME": "Caiso_Totals", "SCHEDULE": schedule}, total))
        zone_labels = {
            "SLRS_TYPE": schedule_type,
            "XML_DATA_ITEM": data_item,
            "POS": str(position_of_part),
            "SCHEDULE": schedule,
        }
        members += [(zone_labels | {"TAC_ZONE_NAME": zone}, share * total) for zone, share in shares.items()]
    return members


def _make_price_series(question: Question, middles: Times, market: str) -> list[tuple[SeriesLabels, Values]]:
    """Returns the price of each node and its components; the greenhouse-gas component exists from 2025 on."""
    nodes = question.get("node").split(",") if question.get("node") else list(NODES)
    members: list[tuple[SeriesLabels, Values]] = []
    prices = question.grid.price_nodes(CODE, nodes, middles, "day_ahead" if market == "DAM" else "five_minute", 5)
    for node, price in prices.items():
        node_labels = dict.fromkeys(("NODE_ID_XML", "NODE_ID", "NODE", "PNODE_RESMRID"), node)
        components = {
            "LMP": ("LMP_PRC", price.total),
            "MCC": ("LMP_CONG_PRC", price.congestion),
            "MCE": ("LMP_ENE_PRC", price.energy),
            "MCL": ("LMP_LOSS_PRC", price.loss),
        }
        if middles[0] >= np.datetime64("2025-01-01"):
            components["MGHG"] = ("LMP_GHG_PRC", np.zeros(len(middles)))
        labels = node_labels | {"GRP_TYPE": "ALL", "POS": "1"}
        members += [
            (labels | {"LMP_TYPE": part, "XML_DATA_ITEM": data_item}, values)
            for part, (data_item, values) in components.items()
        ]
    return members


_INTERVAL = ("INTERVALSTARTTIME_GMT", "INTERVALENDTIME_GMT")


_OPERATING = ("OPR_DT", "OPR_HR", "OPR_INTERVAL")


_NODE = ("NODE_ID_XML", "NODE_ID", "NODE", "MARKET_RUN_ID", "LMP_TYPE", "XML_DATA_ITEM", "PNODE_RESMRID", "GRP_TYPE")


_HOURLY = timedelta(hours=1)


IMITATED_REPORTS = {
    "SLD_FCST": ImitatedReport(
        (
            *(*_INTERVAL, "LOAD_TYPE", *_OPERATING, "MARKET_RUN_ID", "TAC_AREA_NAME", "LABEL"),
            *("XML_DATA_ITEM", "POS", "MW", "EXECUTION_TYPE", "GROUP"),
        ),
        {"ACTUAL": _HOURLY, "DAM": _HOURLY, "2DA": _HOURLY, "7DA": _HOURLY, "RTM": timedelta(minutes=15)},
        _make_load_series,
    ),
    "SLD_REN_FCST": ImitatedReport(
        (
            *(*_OPERATING, *_INTERVAL, "TRADING_HUB", "RENEWABLE_TYPE", "LABEL", "XML_DATA_ITEM"),
            *("MARKET_RUN_ID_POS", "RENEW_POS", "MW", "MARKET_RUN_ID", "GROUP"),
        ),
        {"ACTUAL": _HOURLY, "DAM": _HOURLY},
        _make_renewable_series,
    ),
    "ENE_SLRS": ImitatedReport(
        (
            *(*_INTERVAL, "SLRS_TYPE", *_OPERATING, "MARKET_RUN_ID", "TAC_ZONE_NAME", "SCHEDULE"),
            *("XML_DATA_ITEM", "POS", "MW", "GROUP"),
        ),
        {"DAM": _HOURLY, "RTM": _HOURLY},
        _make_schedule_series,
    ),
    "PRC_LMP": ImitatedReport(
        (*_INTERVAL, *_OPERATING, *_NODE, "POS", "MW", "GROUP"), {"DAM": _HOURLY}, _make_price_series, 5
    ),
    "PRC_INTVL_LMP": ImitatedReport(
        (*_INTERVAL, *_OPERATING, *_NODE, "POS", "VALUE", "GROUP"),
        {"RTM": timedelta(minutes=5)},
        _make_price_series,
        5,
        "VALUE",
    ),
}
