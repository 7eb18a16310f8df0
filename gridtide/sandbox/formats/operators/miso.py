"""MISO, imitated: the market reports and live displays, which need no key, and the Data Exchange, which does.

All times are Eastern Standard Time all year: every day has 24 hours. The price reports have a column for each hour,
numbers without leading zeros (`.6`, `-.37`), and no energy: it is LMP − MCC − MLC. The Data Exchange answers a day in
pages of fixed size; a day that is not out yet is a 404.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_midnight
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html, write_json
from gridtide.sandbox.formats.operators.gateway import refuse_key, write_gateway_error
from gridtide.sandbox.formats.operators.market_days import (
    FIVE_MINUTES,
    WHOLE_HOUR,
    cut_after,
    find_middles,
    list_day,
    mix_fuels,
    write_csv_lines,
    write_moment,
    write_times,
)
from gridtide.sandbox.formats.operators.spreadsheet import SheetCell, write_workbook
from gridtide.simulation import MIDCONTINENT, Grid, GridState, Market, Price, Times, Values, to_times

RATE_LIMITS = ((100, 60.0), (24_000, 86_400.0))
"""Requests per number of seconds, as the Data Exchange documents them."""

PATH_PREFIXES = (
    *("/marketreports/", "/pricing/v1/", "/lgi/v1/", "/MISORTWDDataBroker/"),
    *("/api/FuelMix", "/api/FuelMix/", "/api/RealTimeTotalLoad", "/api/WindSolar/", "/api/MarketPricing/"),
)
"""The paths of its four hosts."""

SECRETS = {
    "MISO_PRICING_KEY": "sandbox-miso-pricing-key",
    "MISO_LOAD_GENERATION_KEY": "sandbox-miso-load-key",
}

STANDARD_TIME, STANDARD_CLOCK = "EST", ZoneInfo("EST")

PRICE_NODES = {
    "AECI": "Interface",
    "MHEB": "Interface",
    "ONT": "Interface",
    "PJM": "Interface",
    "SPP": "Interface",
    "AECI.ALTW": "Loadzone",
    "AECI.AMMO": "Loadzone",
    "NIPS.AM": "Loadzone",
    "ARKANSAS.HUB": "Hub",
    "ILLINOIS.HUB": "Hub",
    "INDIANA.HUB": "Hub",
    "LOUISIANA.HUB": "Hub",
    "MICHIGAN.HUB": "Hub",
    "MINN.HUB": "Hub",
    "MS.HUB": "Hub",
    "TEXAS.HUB": "Hub",
}
"""The pricing nodes and their types."""

MISO_FUELS = {
    "coal": {"coal": 1.0},
    "gas": {"natural_gas": 1.0, "petroleum": 1.0},
    "nuclear": {"nuclear": 1.0},
    "water": {"hydro": 1.0},
    "wind": {"wind": 1.0},
    "solar": {"solar": 1.0},
    "other": {"other": 1.0},
    "storage": {},
}
"""The fuel types of the Data Exchange, by their shares of the simulated fuels."""

DISPLAYED_FUELS = {
    "Battery Storage": {},
    "Coal": {"coal": 1.0},
    "Natural Gas": {"natural_gas": 1.0, "petroleum": 1.0},
    "Nuclear": {"nuclear": 1.0},
    "Other": {"hydro": 1.0, "other": 1.0},
    "Solar": {"solar": 1.0},
    "Wind": {"wind": 1.0},
}
"""The categories of the live display; `Imports` comes in addition."""

REPORTED_ZONES = {
    "LRZ1": 0.17,
    "LRZ2_7": 0.24,
    "LRZ3_5": 0.14,
    "LRZ4": 0.07,
    "LRZ6": 0.15,
    "LRZ8_9_10": 0.23,
    "MISO": 1.0,
}
"""The groups of zones of the load report and their shares of the demand."""

LOAD_REPORT_OUT, REPORTED_DAYS = timedelta(hours=12), 7
"""When the load report of a day comes out, and its days: the one before with actual loads, and the forecasts of six."""

ROWS_OF_PAGE = 100
"""The rows of a page of the Data Exchange; a caller cannot change it."""

DAY_AHEAD_OUT, LOAD_OUT, DAY_AFTER_OUT, FINAL_OUT = (timedelta(hours=hours) for hours in (-10, 26, 31, 108))
"""When the results of a day come out, from its midnight on: at 14:00 on the day before; at 2:00 and 7:00 on the day
after; real-time prices become final four days later at noon."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PriceReport:
    """A price report: its title, its market, and when it comes out."""

    title: str
    market: Market
    out: timedelta
    ex_ante: bool = False


PRICE_REPORTS = {
    "da_expost_lmp": PriceReport("Day Ahead Market ExPost LMPs", "day_ahead", DAY_AHEAD_OUT),
    "da_exante_lmp": PriceReport("Day Ahead Market ExAnte LMPs", "day_ahead", DAY_AHEAD_OUT, ex_ante=True),
    "rt_lmp_prelim": PriceReport("Real Time Market Preliminary LMPs", "real_time_preliminary", DAY_AFTER_OUT),
    "rt_lmp_final": PriceReport("Real Time Market Final LMPs", "real_time", FINAL_OUT),
}


def answer_request(question: Question) -> WireAnswer:
    """Answers as the host of the path does."""
    if question.path.startswith("/marketreports/"):
        return _answer_report(question)
    if question.path.startswith(("/pricing/", "/lgi/")):
        return _answer_exchange(question)
    display = DISPLAYS.get(question.path) or DISPLAYS.get(question.get("messageType").lower())
    return write_json(display(question)) if display else write_refusal(404)


def write_refusal(status: int, window: float = 60, speed: float = 1) -> WireAnswer:
    """Returns the error of the gateway with this status; a 429 asks to wait for the window."""
    return write_gateway_error(status, window, speed)


def price_day(grid: Grid, starts: Times, market: Market, ex_ante: bool, step: timedelta) -> dict[str, Price]:
    """Returns the prices of all nodes over the intervals from `starts`, in cents; ex-ante prices are those of another
    run, whose congestion is twice as strong."""
    prices = grid.price_nodes(MIDCONTINENT.code, list(PRICE_NODES), find_middles(starts, step), market)
    if not ex_ante:
        return prices
    return {
        node: Price(np.round(price.total + price.congestion, 2), price.energy, 2 * price.congestion, price.loss)
        for node, price in prices.items()
    }


def forecast_load(grid: Grid, starts: Times) -> Values:
    """Returns the load, MW, over the hours from `starts`, as forecast at the midnight that begins their first day."""
    middles = find_middles(starts, WHOLE_HOUR)
    leads = (middles - starts[0]) / np.timedelta64(WHOLE_HOUR)
    return grid.state_at(MIDCONTINENT.code, middles, leads).demand


def _answer_report(question: Question) -> WireAnswer:
    match = re.fullmatch(r"/marketreports/(\d{8})_(\w+)\.(csv|xls)", question.path)
    report = PRICE_REPORTS.get(match[2]) if match else None
    is_load_report = match is not None and match[0].endswith("_df_al.xls")
    if match is None or (report is None and not is_load_report):
        return write_html("The resource you are looking for has been removed.", 404)
    try:
        day = datetime.strptime(match[1], "%Y%m%d").date()
    except ValueError:
        return write_html("The resource you are looking for has been removed.", 404)
    if report is None:
        return _answer_load_report(question, day)
    if local_midnight(day, STANDARD_CLOCK) + report.out > question.now:
        return write_html("The resource you are looking for has been removed.", 404)
    return WireAnswer(_write_report(question.grid, report, day).encode(), content_type="text/csv")


def _answer_load_report(question: Question, day: date) -> WireAnswer:
    if local_midnight(day, STANDARD_CLOCK) + LOAD_REPORT_OUT > question.now:
        return write_html("The resource you are looking for has been removed.", 404)
    return WireAnswer(_write_load_report(question.grid, day), content_type="application/vnd.ms-excel")


def _write_load_report(grid: Grid, day: date) -> bytes:
    """Returns the spreadsheet of forecasts and actual loads: a caption, a header and 24 rows for each day."""
    days = [day + timedelta(days=number) for number in range(-1, REPORTED_DAYS - 1)]
    starts = np.concatenate([list_day(reported, STANDARD_TIME, WHOLE_HOUR) for reported in days])
    foreseen = forecast_load(grid, starts[24:])
    before = forecast_load(grid, starts[:24])
    actual = grid.state_at(MIDCONTINENT.code, find_middles(starts[:24], WHOLE_HOUR)).demand
    forecasts = np.concatenate([before, foreseen])
    header = [f"{zone} {kind} (MWh)" for zone in REPORTED_ZONES for kind in ("MTLF", "ActualLoad")]
    rows: list[list[SheetCell]] = [["FORECASTED AND "], ["ACTUAL LOAD REPORT"], ["Published Date:", day]]
    rows.append(["Reporting Period:", days[0], "through", days[-1]])
    for number, reported in enumerate(days):
        rows += [["Market Day", "HourEnding", *header], [f"{reported:%B %d, %Y}"]]
        for hour in range(24):
            place = 24 * number + hour
            cells: list[SheetCell] = [reported, float(hour + 1)]
            for share in REPORTED_ZONES.values():
                cells.append(float(np.round(share * forecasts[place])))
                cells.append(round(share * float(actual[place]), 2) if number == 0 else None)
            rows.append(cells)
    return write_workbook("Sheet1", [*rows, ["Simulated data"]])


def _write_report(grid: Grid, report: PriceReport, day: date) -> str:
    starts = list_day(day, STANDARD_TIME, WHOLE_HOUR)
    prices = price_day(grid, starts, report.market, report.ex_ante, WHOLE_HOUR)
    parts: Mapping[str, Callable[[Price], Values]] = {
        "LMP": lambda price: price.total,
        "MCC": lambda price: price.congestion,
        "MLC": lambda price: price.loss,
    }
    rows = [
        (node, PRICE_NODES[node], part, *(_write_cents(cents) for cents in values(price).tolist()))
        for part, values in parts.items()
        for node, price in prices.items()
    ]
    above = f"{report.title}\n{day:%m/%d/%Y}\n,,,All Hours-Ending are Eastern Standard Time (EST)\n"
    return above + write_csv_lines(("Node", "Type", "Value", *(f"HE {hour}" for hour in range(1, 25))), rows)


def _write_cents(price: float) -> str:
    """Writes a price without needless zeros: `10`, `.6`, `-.37`."""
    text = f"{price + 0.0:.2f}".rstrip("0").rstrip(".")
    return re.sub(r"^(-?)0(?=\.)", r"\1", text)


def _answer_exchange(question: Question) -> WireAnswer:
    """Answers with a page of a day; the key is checked first, then the day, then whether it is out."""
    product = question.path.split("/")[1]
    refusal = refuse_key(question, SECRETS[EXCHANGE_KEYS[product]])
    if refusal is not None:
        return refusal
    match = re.fullmatch(r"/(?:pricing|lgi)/v1/([\w-]+)/([^/]+)/([\w/-]+)", question.path)
    table = EXCHANGE_TABLES.get(f"{product}/{match[1]}/{match[3]}") if match else None
    if match is None or table is None:
        return write_refusal(404)
    try:
        day = date.fromisoformat(match[2])
        number = int(question.get("pageNumber", "1"))
    except ValueError:
        return write_json({"error": "Invalid date format"}, 400)
    if local_midnight(day, STANDARD_CLOCK) + table.find_release(question) > question.now:
        return write_json({"error": "Date not found"}, 404)
    return write_json(_write_page(list(table.records(question, day)), number))


def _write_page(records: list[Record], number: int) -> Record:
    pages = max(1, -(-len(records) // ROWS_OF_PAGE))
    return {
        "data": records[(number - 1) * ROWS_OF_PAGE : number * ROWS_OF_PAGE],
        "page": {
            "pageNumber": number,
            "pageSize": ROWS_OF_PAGE,
            "totalElements": len(records),
            "totalPages": pages,
            "lastPage": number >= pages,
        },
    }


def _write_intervals(starts: Times, step: timedelta, resolution: str) -> list[tuple[str, Record]]:
    """Returns the name of each interval and its bounds."""
    bounds = [
        [f"{text}.000" for text in write_times(times, STANDARD_TIME, "%Y-%m-%d %H:%M:%S")]
        for times in (starts, starts + np.timedelta64(step))
    ]
    names = (
        [str(hour) for hour in range(1, len(starts) + 1)]
        if step == WHOLE_HOUR
        else write_times(starts, STANDARD_TIME, "%H:%M")
    )
    return [
        (name, {"resolution": resolution, "start": start, "end": end, "value": name})
        for name, start, end in zip(names, *bounds, strict=True)
    ]


def _list_prices(question: Question, day: date, market: Market, ex_ante: bool, step: timedelta) -> Iterator[Record]:
    starts = list_day(day, STANDARD_TIME, step)
    resolution = "hourly" if step == WHOLE_HOUR else "5min"
    prices = price_day(question.grid, starts, market, ex_ante, step)
    chosen_node, chosen_interval = question.get("node"), question.get("interval")
    for row_number, (name, interval) in enumerate(_write_intervals(starts, step, resolution)):
        for node, price in prices.items():
            if (chosen_node or node, chosen_interval or name) == (node, name):
                yield {
                    "interval": name,
                    "timeInterval": interval,
                    "node": node,
                    "lmp": float(price.total[row_number]),
                    "mcc": float(price.congestion[row_number]),
                    "mec": float(price.energy[row_number]),
                    "mlc": float(price.loss[row_number]),
                }


def _list_day_ahead_prices(ex_ante: bool) -> Callable[[Question, date], Iterator[Record]]:
    return lambda question, day: _list_prices(question, day, "day_ahead", ex_ante, WHOLE_HOUR)


def _list_real_time_prices(question: Question, day: date) -> Iterator[Record]:
    step = FIVE_MINUTES if question.get("timeResolution") == "5min" else WHOLE_HOUR
    hourly_market: Market = "real_time" if _wants_final(question) else "real_time_preliminary"
    return _list_prices(question, day, hourly_market if step == WHOLE_HOUR else "five_minute", False, step)


def _wants_final(question: Question) -> bool:
    return question.get("preliminaryFinal", "Final") == "Final"


def _list_loads(question: Question, day: date) -> Iterator[Record]:
    starts = list_day(day, STANDARD_TIME, WHOLE_HOUR)
    demand = question.grid.state_at(MIDCONTINENT.code, find_middles(starts, WHOLE_HOUR)).demand
    return _list_regions(question, starts, "load", demand)


def _list_load_forecast(question: Question, day: date) -> Iterator[Record]:
    starts = list_day(day, STANDARD_TIME, WHOLE_HOUR)
    for record in _list_regions(question, starts, "loadForecast", forecast_load(question.grid, starts)):
        yield {**record, "init": f"{day:%Y-%m-%d}"}


def _list_regions(question: Question, starts: Times, field: str, values: Values) -> Iterator[Record]:
    """Yields a record for each hour and region: its share of `values`, in tenths."""
    regions = {region: share for region, share in MIDCONTINENT.zones.items() if question.get("region") in ("", region)}
    for row_number, (_, interval) in enumerate(_write_intervals(starts, WHOLE_HOUR, "hourly")):
        for region, share in regions.items():
            yield {"timeInterval": interval, "region": region, field: round(share * float(values[row_number]), 1)}


def _list_fuels(state: GridState, starts: Times) -> Iterator[Record]:
    outputs = mix_fuels(state, MISO_FUELS)
    for row_number, (name, interval) in enumerate(_write_intervals(starts, WHOLE_HOUR, "hourly")):
        for region, share in MIDCONTINENT.zones.items():
            fuels = {fuel: round(share * float(output[row_number]), 1) for fuel, output in outputs.items()}
            total = round(sum(fuels.values()), 1)
            yield {"interval": name, "timeInterval": interval, "region": region, "fuelTypes": fuels, "totalMw": total}


def _list_real_time_fuels(question: Question, day: date) -> Iterator[Record]:
    starts = list_day(day, STANDARD_TIME, WHOLE_HOUR)
    return _list_fuels(question.grid.state_at(MIDCONTINENT.code, find_middles(starts, WHOLE_HOUR)), starts)


@dataclass(frozen=True, slots=True)
class ExchangeTable:
    """A table of the Data Exchange: its records of a day, and when they come out, from the day's midnight on;
    `final` if those that are asked as `Final` come out later."""

    records: Callable[[Question, date], Iterator[Record]]
    out: timedelta
    final: timedelta | None = None

    def find_release(self, question: Question) -> timedelta:
        """Returns the time from the midnight of a day to its release."""
        return self.final if self.final is not None and _wants_final(question) else self.out


EXCHANGE_KEYS = {"pricing": "MISO_PRICING_KEY", "lgi": "MISO_LOAD_GENERATION_KEY"}
"""The environment variable of each product's key."""

EXCHANGE_TABLES = {
    "pricing/day-ahead/lmp-expost": ExchangeTable(_list_day_ahead_prices(ex_ante=False), DAY_AHEAD_OUT),
    "pricing/day-ahead/lmp-exante": ExchangeTable(_list_day_ahead_prices(ex_ante=True), DAY_AHEAD_OUT),
    "pricing/real-time/lmp-expost": ExchangeTable(_list_real_time_prices, DAY_AFTER_OUT, FINAL_OUT),
    "lgi/real-time/demand/actual": ExchangeTable(_list_loads, LOAD_OUT),
    "lgi/real-time/generation/fuel-type": ExchangeTable(_list_real_time_fuels, DAY_AFTER_OUT),
    "lgi/forecast/load": ExchangeTable(_list_load_forecast, timedelta(0)),
}


def _name_moment(question: Question) -> str:
    """Returns the reference of a display: `10-Mar-2025 - Interval 04:00 EST`."""
    step = FIVE_MINUTES.total_seconds()
    moment = datetime.fromtimestamp(question.now.timestamp() // step * step, STANDARD_CLOCK)
    return moment.strftime("%d-%b-%Y - Interval %H:%M EST")


def _write_display_times(starts: Times) -> list[str]:
    """Writes times as the displays do: `2025-03-10 1:00:00 AM`."""
    texts = write_times(starts, STANDARD_TIME, "%Y-%m-%d %I:%M:%S %p")
    return [re.sub(r" 0(\d:)", r" \1", text) for text in texts]


def _display_fuel_mix(question: Question, days_before: int | None) -> Record:
    """The mix of the last five minutes (None), or of all from the midnight of so many days before."""
    today = question.now.astimezone(STANDARD_CLOCK).date()
    days = [today - timedelta(days=number) for number in range(days_before or 0, -1, -1)]
    starts = np.concatenate([list_day(day, STANDARD_TIME, FIVE_MINUTES) for day in days])
    starts = cut_after(starts, question.now)
    starts = starts[-1:] if days_before is None else starts
    state = question.grid.state_at(MIDCONTINENT.code, find_middles(starts, FIVE_MINUTES))
    outputs = {**mix_fuels(state, DISPLAYED_FUELS), "Imports": -state.net_interchange}
    rows = [
        {"INTERVALEST": stamp, "CATEGORY": category, "ACT": f"{mw:.0f}", "FUEL_CATEGORY": f"{category}  ({mw:,.0f} MW)"}
        for row_number, stamp in enumerate(_write_display_times(starts))
        for category, output in sorted(outputs.items())
        for mw in (float(np.round(output[row_number])) + 0.0,)
    ]
    total = sum(int(row["ACT"]) for row in rows[-len(outputs) :])
    return {"RefId": _name_moment(question), "TotalMW": str(total), "Fuel": {"Type": rows}}


def _display_load(question: Question) -> Record:
    today = question.now.astimezone(STANDARD_CLOCK).date()
    hours, steps = (list_day(today, STANDARD_TIME, step) for step in (WHOLE_HOUR, FIVE_MINUTES))
    steps = cut_after(steps, question.now)
    actual = question.grid.state_at(MIDCONTINENT.code, find_middles(steps, FIVE_MINUTES)).demand
    foreseen = forecast_load(question.grid, hours)
    return {
        "LoadInfo": {
            "RefId": _name_moment(question),
            "ClearedMW": [
                {"ClearedMWHourly": {"Hour": str(hour), "Value": f"{mw:.0f}"}} for hour, mw in enumerate(foreseen, 1)
            ],
            "MediumTermLoadForecast": [
                {"Forecast": {"HourEnding": str(hour), "LoadForecast": f"{mw:.0f}"}}
                for hour, mw in enumerate(foreseen, 1)
            ],
            "FiveMinTotalLoad": [
                {"Load": {"Time": stamp, "Value": f"{mw:.0f}"}}
                for stamp, mw in zip(write_times(steps, STANDARD_TIME, "%H:%M"), actual, strict=True)
            ],
        }
    }


def _display_forecast(fuel: str) -> Callable[[Question], Record]:
    """The forecast of wind or solar of today and tomorrow, by the hour."""

    def display(question: Question) -> Record:
        today = question.now.astimezone(STANDARD_CLOCK).date()
        starts = np.concatenate([list_day(today + timedelta(days=n), STANDARD_TIME, WHOLE_HOUR) for n in (0, 1)])
        middles = find_middles(starts, WHOLE_HOUR)
        leads = np.maximum((middles - to_times([question.now])) / np.timedelta64(WHOLE_HOUR), 0)
        output = question.grid.state_at(MIDCONTINENT.code, middles, leads).generation[fuel]
        rows = [
            {"DateTimeEST": stamp, "HourEndingEST": str(number % 24 + 1), "Value": f"{np.round(mw):.2f}"}
            for number, (stamp, mw) in enumerate(zip(_write_display_times(starts), output, strict=True))
        ]
        market_day = write_moment(question.now, STANDARD_TIME, "%m-%d-%Y")
        return {"MktDay": market_day, "RefId": _name_moment(question), "Forecast": rows}

    return display


def _display_prices(latest: bool) -> Callable[[Question], Record]:
    """The five-minute prices of the latest interval, or of the whole day before, as lists of texts."""

    def display(question: Question) -> Record:
        today = question.now.astimezone(STANDARD_CLOCK).date()
        starts = list_day(today if latest else today - timedelta(days=1), STANDARD_TIME, FIVE_MINUTES)
        starts = cut_after(starts, question.now)[-1:] if latest else starts
        middles = find_middles(starts, FIVE_MINUTES)
        prices = question.grid.price_nodes(MIDCONTINENT.code, list(PRICE_NODES), middles, "five_minute")
        stamps = write_times(starts, STANDARD_TIME, "%Y-%m-%dT%H:%M:%S")
        rows = [
            [stamp, node, *(f"{part[number]:.2f}" for part in (price.total, price.loss, price.congestion))]
            for number, stamp in enumerate(stamps)
            for node, price in prices.items()
        ]
        return {"data": rows, "headers": ["INTERVAL", "CPNODE", "LMP", "MLC", "MCC"]}

    return display


DISPLAYS: Mapping[str, Callable[[Question], Record]] = {
    "/api/FuelMix": lambda question: _display_fuel_mix(question, None),
    "/api/FuelMix/Today": lambda question: _display_fuel_mix(question, 0),
    "/api/FuelMix/Yesterday": lambda question: _display_fuel_mix(question, 1),
    "/api/RealTimeTotalLoad": _display_load,
    "/api/WindSolar/getwindforecast": _display_forecast("wind"),
    "/api/WindSolar/getsolarforecast": _display_forecast("solar"),
    "/api/MarketPricing/GetRealTimeFiveMinExPost/Current": _display_prices(latest=True),
    "/api/MarketPricing/GetRealTimeFiveMinExPost/Previous": _display_prices(latest=False),
    "getwindforecast": _display_forecast("wind"),
    "getsolarforecast": _display_forecast("solar"),
}
"""The live displays, by their path, or by the message type that the older address names."""
