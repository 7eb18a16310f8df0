"""PJM's Data Miner 2, imitated: /api/v1/<feed>.

Rows carry UTC and Eastern prevailing time without offsets. A filter of time is in the clock of its field, and its end
is included. Pages have at most 50,000 rows and name the next one, and every page declares `totalRows`. Older rows are
archived: they take no other filter, and a request for them may not span the archive's edge or a year's end. Some prices
were corrected: the first version is no longer current.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_json
from gridtide.sandbox.formats.operators.gateway import refuse_key, write_gateway_error
from gridtide.sandbox.formats.operators.market_days import (
    FIVE_MINUTES,
    WHOLE_HOUR,
    find_middles,
    list_day,
    mix_fuels,
)
from gridtide.simulation import (
    MID_ATLANTIC,
    Grid,
    Market,
    Times,
    Values,
    find_utc_offset,
    to_times,
)

PATH_PREFIXES = ("/api/v1/",)

RATE_LIMITS = ((6, 60.0),)
"""Requests per number of seconds without a membership."""

SECRETS = {"PJM_API_KEY": "sandbox-pjm-key"}

MOST_ROWS, USUAL_ROWS = 50_000, 25

ARCHIVED_AFTER, FIVE_MINUTES_ARCHIVED_AFTER = timedelta(days=731), timedelta(days=186)

PNODES = {
    "PJM-RTO": (1, "ZONE"),
    "AECO": (51291, "ZONE"),
    "AEP": (8445784, "ZONE"),
    "BGE": (51292, "ZONE"),
    "COMED": (33092371, "ZONE"),
    "DOM": (34964545, "ZONE"),
    "PECO": (51297, "ZONE"),
    "PEPCO": (51298, "ZONE"),
    "PPL": (51299, "ZONE"),
    "PSEG": (51301, "ZONE"),
    "RECO": (7633629, "ZONE"),
    "AEP-DAYTON HUB": (34497127, "HUB"),
    "DOMINION HUB": (35010337, "HUB"),
    "EASTERN HUB": (51217, "HUB"),
    "N ILLINOIS HUB": (33092315, "HUB"),
    "NEW JERSEY HUB": (51287, "HUB"),
    "WESTERN HUB": (51288, "HUB"),
}
"""The pricing nodes: id and type."""

METERED_AREAS = {**MID_ATLANTIC.zones, "RTO": 1.0}
"""The areas of metered load and their shares of the demand."""

FORECAST_AREAS = {
    "RTO_COMBINED": 1.0,
    "MID_ATLANTIC_REGION": 0.33,
    "WESTERN_REGION": 0.51,
    "SOUTHERN_REGION": 0.16,
}
"""The areas of load forecasts and their shares of the demand."""

PJM_FUELS = {
    "Coal": {"coal": 1.0},
    "Gas": {"natural_gas": 0.97},
    "Hydro": {"hydro": 1.0},
    "Multiple Fuels": {"natural_gas": 0.03},
    "Nuclear": {"nuclear": 1.0},
    "Oil": {"petroleum": 1.0},
    "Other Renewables": {"other": 1.0},
    "Solar": {"solar": 1.0},
    "Storage": {},
    "Wind": {"wind": 1.0},
}
"""The types of fuel, by their shares of the simulated fuels."""

CORRECTED_SHARE, CORRECTED_AFTER = 0.01, timedelta(days=5)
"""The share of prices that were corrected, and the time after which."""

FeedColumns = dict[str, NDArray[Any]]
"""The columns of rows, each of shape (N,); times are `datetime64[s]`, UTC."""


@dataclass(frozen=True, slots=True)
class Span:
    """The times, UTC, that a request asks for: from `start` up to and including `end`, of the field `name`."""

    name: str
    start: np.datetime64
    end: np.datetime64


FeedRows = Callable[["Question", "Span | None"], FeedColumns]
"""Returns the rows of a feed for the time asked for; of the last day if the request names none."""


@dataclass(frozen=True, slots=True)
class ImitatedFeed:
    """A feed: its columns in their order, its rows for the time asked for, and the age from which rows are archived."""

    columns: tuple[str, ...]
    rows: FeedRows
    archived_after: timedelta | None = None


class FilterError(ValueError):
    """A filter that the upstream refuses."""


def answer_request(question: Question) -> WireAnswer:
    """Answers with a page of the feed, or refuses the key or a filter."""
    refusal = refuse_key(question, SECRETS["PJM_API_KEY"])
    if refusal is not None:
        return refusal
    feed = IMITATED_FEEDS.get(question.path.removeprefix(PATH_PREFIXES[0]))
    if feed is None:
        return write_refusal(404)
    try:
        rows = _filter_rows(question, feed)
        return _write_page(question, feed, rows)
    except ValueError as error:
        return write_json({"errors": [{"message": str(error)}]}, 400)


def write_refusal(status: int, window: float = 60, speed: float = 1) -> WireAnswer:
    """Returns the error of the gateway with this status; a 429 asks to wait for the window."""
    return write_gateway_error(status, window, speed)


CONTROLS = (
    *("rowcount", "startrow", "fields", "sort", "order", "download", "format", "isactivemetadata"),
    "subscription-key",
)
"""The parameters that are no filters, in lower case."""


def _filter_rows(question: Question, feed: ImitatedFeed) -> FeedColumns:
    """Returns the rows that all filters let through."""
    filters = {name: text for name, text in question.query if name.lower() not in CONTROLS}
    unknown_names = sorted(set(filters) - set(feed.columns))
    if unknown_names:
        raise FilterError(f"{unknown_names[0]} is not a filter of this feed")
    spans = [_read_span(question, name, text) for name, text in filters.items() if name.endswith(("_ept", "_utc"))]
    if feed.archived_after is not None:
        _check_archive(question, feed.archived_after, spans, filters)
    rows = feed.rows(question, spans[0] if spans else None)
    passed = np.ones(len(next(iter(rows.values()))), bool)
    for span in spans:
        moments = rows[re.sub(r"_(ept|utc)$", "", span.name)]
        if span.name.endswith("_ept"):
            moments = moments + find_utc_offset(moments, MID_ATLANTIC.zone)
        passed &= (moments >= span.start) & (moments <= span.end)
    for name, text in filters.items():
        if not name.endswith(("_ept", "_utc")):
            passed &= np.isin(np.char.lower(rows[name].astype(str)), [part.lower() for part in text.split(";")])
    return {name: column[passed] for name, column in rows.items()}


def _read_span(question: Question, name: str, text: str) -> Span:
    """Returns the span of `MM/DD/YYYY HH:MMtoMM/DD/YYYY HH:MM` or of a single time, in the clock of the field."""
    bounds = [_read_bound(end_name.strip()) for end_name in re.split(r"to(?=\d)", text)]
    if len(bounds) > 2:
        raise FilterError(f"{name}: {text} is not a time nor a range")
    return Span(name, np.datetime64(bounds[0], "s"), np.datetime64(bounds[-1], "s"))


def _read_bound(text: str) -> datetime:
    for pattern in ("%m/%d/%Y %H:%M", "%m/%d/%Y", "%m-%d-%Y %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"):
        try:
            return datetime.strptime(re.sub(r"\.\d+$", "", text), pattern)
        except ValueError:
            continue
    raise FilterError(f"{text} is not a time such as 11/05/2023 00:00")


def _check_archive(question: Question, age: timedelta, spans: Sequence[Span], filters: Mapping[str, str]) -> None:
    """Raises `FilterError` where a request for archived rows asks for what they cannot answer."""
    edge = to_times([question.now - age])[0].astype("datetime64[D]").astype("datetime64[s]")
    for span in spans:
        if span.start >= edge:
            continue
        if span.end > edge:
            raise FilterError("Cannot query archived and standard data in one request")
        if span.start.astype("datetime64[Y]") != (span.end - np.timedelta64(1, "s")).astype("datetime64[Y]"):
            raise FilterError("Archived data can only be requested within one calendar year")
        further_names = [name for name in filters if name != span.name]
        if further_names:
            raise FilterError(f"{further_names[0]} is not a filter of archived data")


def _write_page(question: Question, feed: ImitatedFeed, rows: FeedColumns) -> WireAnswer:
    settings = {name.lower(): text for name, text in question.query}
    count = int(settings.get("rowcount", USUAL_ROWS))
    start = int(settings.get("startrow", 1))
    if not 1 <= count <= MOST_ROWS or start < 1:
        raise FilterError(f"rowCount must be from 1 to {MOST_ROWS} and startRow at least 1")
    fields = [name for name in feed.columns if name in settings.get("fields", ",".join(feed.columns)).split(",")]
    total = len(next(iter(rows.values())))
    items = _write_items({name: column[start - 1 : start - 1 + count] for name, column in rows.items()}, fields)
    if settings.get("download", "").lower() == "true":
        return write_json(items)
    links = [{"rel": "self", "href": _write_link(question, fields, count, start)}]
    if start - 1 + count < total:
        links.append({"rel": "next", "href": _write_link(question, fields, count, start + count)})
    links.append({"rel": "metadata", "href": f"{_write_address(question)}/metadata"})
    filters = [{name: text} for name, text in question.query if name.lower() not in CONTROLS]
    specification = {"rowCount": count, "order": "Asc", "startRow": start, "isActiveMetadata": True}
    return write_json(
        {
            "links": links,
            "items": items,
            "searchSpecification": {**specification, "fields": fields, "filters": filters},
            "totalRows": total,
        }
    )


def _write_address(question: Question) -> str:
    return f"http://{question.headers.get('Host', 'api.pjm.com')}{question.path}"


def _write_link(question: Question, fields: Sequence[str], count: int, start: int) -> str:
    filters = [(name, text) for name, text in question.query if name.lower() not in CONTROLS]
    settings = [("RowCount", str(count)), ("Order", "Asc"), ("StartRow", str(start)), ("IsActiveMetadata", "True")]
    return f"{_write_address(question)}?{urlencode([*settings, ('Fields', ','.join(fields)), *filters])}"


def _write_items(rows: FeedColumns, fields: Sequence[str]) -> list[dict[str, Any]]:
    cells = [_write_column(rows, name) for name in fields]
    return [dict(zip(fields, row, strict=True)) for row in zip(*cells, strict=True)]


def _write_column(rows: FeedColumns, name: str) -> list[Any]:
    if name in rows:
        return list(rows[name].tolist())
    moments = rows[name.removesuffix("_utc").removesuffix("_ept")]
    if name.endswith("_ept"):
        moments = moments + find_utc_offset(moments, MID_ATLANTIC.zone)
    return list(np.datetime_as_string(moments.astype("datetime64[s]"), unit="s").tolist())


def _list_starts(question: Question, span: Span | None, step: timedelta, released: datetime) -> Times:
    """Returns the interval starts that a request may concern, up to `released`; of the last day if it names no time."""
    end = np.datetime64(released.replace(tzinfo=None), "s")
    first, last = (end - np.timedelta64(86_400, "s"), end) if span is None else (span.start, span.end)
    margin = np.timedelta64(6, "h")  # the offset of the clock from UTC; the filter cuts exactly
    bounds = [moment.astype("datetime64[s]") for moment in (first - margin, min(last + margin, end))]
    numbers = [int(end_name.astype(np.int64)) for end_name in bounds]
    seconds = int(step.total_seconds())
    starts = np.arange(-(-numbers[0] // seconds), numbers[1] // seconds + 1) * seconds
    return starts.astype("datetime64[s]")


def _cross(starts: Times, values: Mapping[str, Values]) -> tuple[Times, NDArray[Any], Values]:
    """Returns a row for each start and key: starts, keys and values, each of shape (N,)."""
    keys = np.array(list(values))
    table = np.array(list(values.values())).reshape(len(keys), len(starts))
    return np.repeat(starts, len(keys)), np.tile(keys, len(starts)), table.T.ravel()


def _list_load(
    area: str, field: str, step: timedelta, areas: Mapping[str, float], decimals: int, **constants: Any
) -> FeedRows:
    def rows(question: Question, span: Span | None) -> FeedColumns:
        starts = _list_starts(question, span, step, question.now - step)
        demand = question.grid.state_at(MID_ATLANTIC.code, find_middles(starts, step)).demand
        loads = {name: np.round(share * demand, decimals) for name, share in areas.items()}
        begins, names, values = _cross(starts, loads)
        constant = {name: np.full(len(begins), text) for name, text in constants.items()}
        columns = {"datetime_beginning": begins, "datetime_ending": begins + np.timedelta64(step), area: names}
        return {**columns, **constant, "zone": names, field: values}

    return rows


def _list_fuels(question: Question, span: Span | None) -> FeedColumns:
    starts = _list_starts(question, span, WHOLE_HOUR, question.now - WHOLE_HOUR)
    state = question.grid.state_at(MID_ATLANTIC.code, find_middles(starts, WHOLE_HOUR))
    outputs = {fuel: np.round(output) + 0.0 for fuel, output in mix_fuels(state, PJM_FUELS).items()}
    total = np.asarray(sum(outputs.values()))
    begins, fuels, values = _cross(starts, outputs)
    renewable = np.isin(fuels, ("Hydro", "Other Renewables", "Solar", "Wind"))
    share = np.round(values / np.repeat(total, len(outputs)), 2)
    columns = {"datetime_beginning": begins, "fuel_type": fuels, "mw": values}
    return {**columns, "fuel_percentage_of_total": share, "is_renewable": renewable}


def _list_output(fuel: str) -> FeedRows:
    def rows(question: Question, span: Span | None) -> FeedColumns:
        starts = _list_starts(question, span, WHOLE_HOUR, question.now - WHOLE_HOUR)
        output = question.grid.state_at(MID_ATLANTIC.code, find_middles(starts, WHOLE_HOUR)).generation[fuel]
        parts = {"RTO": np.round(output, 3), "MIDATL": np.round(0.3 * output, 3), "WEST": np.round(0.6 * output, 3)}
        begins, areas, values = _cross(starts, parts)
        return {"datetime_beginning": begins, "area": areas, f"{fuel}_generation_mw": values}

    return rows


def list_prices(grid: Grid, starts: Times, market: Market, step: timedelta, nodes: Sequence[str]) -> FeedColumns:
    """Returns the first version of the prices at `nodes` over the intervals from `starts`: total, energy, congestion
    and loss, in the feed's six decimals."""
    prices = grid.price_nodes(MID_ATLANTIC.code, nodes, find_middles(starts, step), market, 6)
    begins, names, total = _cross(starts, {node: price.total for node, price in prices.items()})
    parts = {
        part: _cross(starts, {node: getattr(price, part) for node, price in prices.items()})[2]
        for part in ("energy", "congestion", "loss")
    }
    return {"datetime_beginning": begins, "pnode_name": names, "total": total, **parts}


def _list_price_feed(market: Market, ending: str, step: timedelta) -> FeedRows:
    def rows(question: Question, span: Span | None) -> FeedColumns:
        now = question.now
        released = _find_day_ahead_release(now) if market == "day_ahead" else now - step
        starts = _list_starts(question, span, step, released)
        prices = list_prices(question.grid, starts, market, step, list(PNODES))
        names = prices["pnode_name"]
        ids, types = (np.array([PNODES[name][place] for name in names.tolist()]) for place in (0, 1))
        columns = {
            "datetime_beginning": prices["datetime_beginning"],
            "pnode_id": ids.astype(np.int64),
            "pnode_name": names,
            "type": types,
            **{name: np.full(len(names), "") for name in ("voltage", "equipment")},
            "zone": np.where(types == "ZONE", names, ""),
            f"system_energy_price_{ending}": prices["energy"],
            f"total_lmp_{ending}": prices["total"],
            f"congestion_price_{ending}": prices["congestion"],
            f"marginal_loss_price_{ending}": prices["loss"],
        }
        return _add_versions(question, columns, (f"total_lmp_{ending}", f"system_energy_price_{ending}"))

    return rows


def _add_versions(question: Question, columns: FeedColumns, corrected_fields: Sequence[str]) -> FeedColumns:
    """Returns `columns` with version numbers; a corrected price has a second row, one dollar higher, which is the
    current one."""
    begins = columns["datetime_beginning"]
    moments = (begins + columns["pnode_id"] % 3600 * np.timedelta64(1, "s")).astype("datetime64[s]")
    draws = question.grid.draw_uniform("pjm corrected", moments)
    is_old = begins < to_times([question.now - CORRECTED_AFTER])[0]
    corrected = np.flatnonzero((draws < CORRECTED_SHARE) & is_old)
    order = np.argsort(np.concatenate([np.arange(len(begins)), corrected]), kind="stable")
    doubled = {name: np.concatenate([column, column[corrected]])[order] for name, column in columns.items()}
    second = np.concatenate([np.zeros(len(begins), bool), np.ones(len(corrected), bool)])[order]
    for field in corrected_fields:
        doubled[field] = np.round(doubled[field] + second, 6)
    outdated = np.zeros(len(second), bool)
    outdated[:-1] = second[1:]
    return {**doubled, "row_is_current": ~outdated, "version_nbr": np.where(second, 2, 1)}


def _find_day_ahead_release(now: datetime) -> datetime:
    """Returns the end of the day-ahead prices that are out: from 13:30 Eastern on those of the next day."""
    stamp = to_times([now])
    local = (stamp + find_utc_offset(stamp, MID_ATLANTIC.zone))[0].astype("datetime64[s]").item()
    days = 2 if (local.hour, local.minute) >= (13, 30) else 1
    last = list_day(local.date() + timedelta(days=days - 1), MID_ATLANTIC.zone, WHOLE_HOUR)[-1]
    return datetime.fromisoformat(f"{last}+00:00")


@dataclass(frozen=True, slots=True)
class ForecastFeed:
    """When forecasts are issued and what they cover: from `delay` after the issue on, `horizon` long."""

    issued: str
    target: str
    every: timedelta
    step: timedelta
    horizon: timedelta

    def list_vintages(self, question: Question, span: Span | None) -> tuple[Times, Times]:
        """Returns the issue and the target of each value that a request may concern, in order of their issues."""
        now = np.datetime64(question.now.replace(tzinfo=None), "s")
        first, last = (now - np.timedelta64(86_400, "s"), now) if span is None else (span.start, span.end)
        margin = np.timedelta64(6, "h")
        if span is not None and not span.name.startswith(self.issued):
            margin = margin + np.timedelta64(self.horizon)
        bounds = [max(np.datetime64(0, "s"), first - margin), min(last + np.timedelta64(6, "h"), now)]
        seconds = int(self.every.total_seconds())
        low, high = (int(end_name.astype("datetime64[s]").astype(np.int64)) for end_name in bounds)
        issues = (np.arange(-(-low // seconds), high // seconds + 1) * seconds).astype("datetime64[s]")
        steps = np.arange(self.horizon // self.step) * np.timedelta64(self.step)
        first_targets = issues - (issues - np.datetime64(0, "s")) % np.timedelta64(self.step)
        targets = (first_targets[:, None] + steps[None, :]).astype("datetime64[s]")
        return np.repeat(issues, len(steps)), targets.ravel()


def forecast_values(grid: Grid, issues: Times, targets: Times, step: timedelta, of: str) -> Values:
    """Returns the values of `of` (`demand`, `rooftop` or a fuel) over the intervals from `targets` as forecast at
    `issues`, all of shape (N,)."""
    middles = find_middles(targets, step)
    leads = np.maximum((middles - issues) / np.timedelta64(WHOLE_HOUR), 0)
    state = grid.state_at(MID_ATLANTIC.code, middles, leads)
    values: Values = getattr(state, of) if of in ("demand", "rooftop") else state.generation[of]
    return values


def _list_load_forecasts(forecast: ForecastFeed) -> FeedRows:
    def rows(question: Question, span: Span | None) -> FeedColumns:
        issues, targets = forecast.list_vintages(question, span)
        return _spread_areas(question, issues, targets, forecast)

    return rows


def _spread_areas(question: Question, issues: Times, targets: Times, forecast: ForecastFeed) -> FeedColumns:
    demand = forecast_values(question.grid, issues, targets, forecast.step, "demand")
    begins, areas, values = _cross(targets, {area: np.round(share * demand) for area, share in FORECAST_AREAS.items()})
    ending = forecast.target.replace("beginning", "ending")
    return {
        forecast.issued: np.repeat(issues, len(FORECAST_AREAS)),
        forecast.target: begins,
        ending: begins + np.timedelta64(forecast.step),
        "forecast_area": areas,
        "forecast_load_mw": values.astype(np.int64),
    }


def _list_current_forecast(question: Question, span: Span | None) -> FeedColumns:
    """The forecast of the last half hour, from the midnight of its day on."""
    stamp = np.datetime64(question.now.replace(tzinfo=None), "s")
    issue = stamp - (stamp - np.datetime64(0, "s")) % np.timedelta64(1800, "s")
    local = (to_times([question.now]) + find_utc_offset(to_times([question.now]), MID_ATLANTIC.zone))[0]
    midnight = list_day(local.astype("datetime64[D]").item(), MID_ATLANTIC.zone, WHOLE_HOUR)[0]
    targets = (midnight + np.arange(7 * 24) * np.timedelta64(WHOLE_HOUR)).astype("datetime64[s]")
    return _spread_areas(question, np.full(len(targets), issue), targets, CURRENT_FORECAST)


def _list_output_forecasts(forecast: ForecastFeed, fields: Mapping[str, str]) -> FeedRows:
    def rows(question: Question, span: Span | None) -> FeedColumns:
        issues, targets = forecast.list_vintages(question, span)
        outputs = {
            field: np.round(forecast_values(question.grid, issues, targets, forecast.step, of), 3)
            for field, of in fields.items()
        }
        ends = targets + np.timedelta64(forecast.step)
        return {forecast.issued: issues, forecast.target: targets, "datetime_ending": ends, **outputs}

    return rows


def _on_clocks(*names: str) -> tuple[str, ...]:
    """Returns each time with its two clocks."""
    return tuple(f"{name}_{clock}" for name in names for clock in ("utc", "ept"))


CURRENT_FORECAST = ForecastFeed(
    "evaluated_at_datetime", "forecast_datetime_beginning", timedelta(minutes=30), WHOLE_HOUR, timedelta(days=7)
)
PAST_FORECASTS = ForecastFeed(
    "evaluated_at", "forecast_hour_beginning", timedelta(hours=6), WHOLE_HOUR, timedelta(hours=48)
)
NEAR_FORECASTS = ForecastFeed(
    "evaluated_at", "forecast_datetime_beginning", FIVE_MINUTES, FIVE_MINUTES, timedelta(hours=2)
)
HOURLY_FORECASTS = ForecastFeed("evaluated_at", "datetime_beginning", WHOLE_HOUR, WHOLE_HOUR, timedelta(hours=48))
SOLAR_FORECASTS = ForecastFeed(
    "evaluated_at", "datetime_beginning", timedelta(minutes=10), FIVE_MINUTES, timedelta(hours=6)
)

BEGINNING = _on_clocks("datetime_beginning")
INTERVAL = _on_clocks("datetime_beginning", "datetime_ending")
SOLAR_FIELDS = {"solar_forecast_mwh": "solar", "solar_forecast_btm_mwh": "rooftop"}


def _describe_prices(market: Market, ending: str, step: timedelta, archived_after: timedelta) -> ImitatedFeed:
    columns = (
        *BEGINNING,
        *("pnode_id", "pnode_name", "voltage", "equipment", "type", "zone"),
        *(f"{name}_{ending}" for name in ("system_energy_price", "total_lmp", "congestion_price")),
        *(f"marginal_loss_price_{ending}", "row_is_current", "version_nbr"),
    )
    return ImitatedFeed(columns, _list_price_feed(market, ending, step), archived_after)


IMITATED_FEEDS = {
    "hrl_load_metered": ImitatedFeed(
        (*BEGINNING, "nerc_region", "mkt_region", "zone", "load_area", "mw", "is_verified"),
        _list_load(
            *("load_area", "mw", WHOLE_HOUR, METERED_AREAS, 3), nerc_region="RFC", mkt_region="MIDATL", is_verified=True
        ),
    ),
    "hrl_load_prelim": ImitatedFeed(
        (*INTERVAL, "load_area", "prelim_load_avg_hourly"),
        _list_load("load_area", "prelim_load_avg_hourly", WHOLE_HOUR, METERED_AREAS, 3),
    ),
    "inst_load": ImitatedFeed(
        (*BEGINNING, "area", "instantaneous_load"),
        _list_load("area", "instantaneous_load", FIVE_MINUTES, {"PJM RTO": 1.0, "PJM SOUTHERN REGION": 0.16}, 3),
    ),
    "gen_by_fuel": ImitatedFeed(
        (*BEGINNING, "fuel_type", "mw", "fuel_percentage_of_total", "is_renewable"), _list_fuels
    ),
    "solar_gen": ImitatedFeed((*BEGINNING, "area", "solar_generation_mw"), _list_output("solar")),
    "wind_gen": ImitatedFeed((*BEGINNING, "area", "wind_generation_mw"), _list_output("wind")),
    "da_hrl_lmps": _describe_prices("day_ahead", "da", WHOLE_HOUR, ARCHIVED_AFTER),
    "rt_hrl_lmps": _describe_prices("real_time", "rt", WHOLE_HOUR, ARCHIVED_AFTER),
    "rt_fivemin_hrl_lmps": _describe_prices("five_minute", "rt", FIVE_MINUTES, FIVE_MINUTES_ARCHIVED_AFTER),
    "load_frcstd_7_day": ImitatedFeed(
        (
            *_on_clocks("evaluated_at_datetime", "forecast_datetime_beginning", "forecast_datetime_ending"),
            *("forecast_area", "forecast_load_mw"),
        ),
        _list_current_forecast,
    ),
    "load_frcstd_hist": ImitatedFeed(
        (*_on_clocks("evaluated_at", "forecast_hour_beginning"), "forecast_area", "forecast_load_mw"),
        _list_load_forecasts(PAST_FORECASTS),
    ),
    "very_short_load_frcst": ImitatedFeed(
        (*_on_clocks("evaluated_at", "forecast_datetime_beginning"), "forecast_area", "forecast_load_mw"),
        _list_load_forecasts(NEAR_FORECASTS),
    ),
    "hourly_solar_power_forecast": ImitatedFeed(
        (*_on_clocks("evaluated_at"), *INTERVAL, *SOLAR_FIELDS),
        _list_output_forecasts(HOURLY_FORECASTS, SOLAR_FIELDS),
    ),
    "hourly_wind_power_forecast": ImitatedFeed(
        (*_on_clocks("evaluated_at"), *INTERVAL, "wind_forecast_mwh"),
        _list_output_forecasts(HOURLY_FORECASTS, {"wind_forecast_mwh": "wind"}),
    ),
    "five_min_solar_power_forecast": ImitatedFeed(
        (*_on_clocks("evaluated_at"), *INTERVAL, *SOLAR_FIELDS),
        _list_output_forecasts(SOLAR_FORECASTS, SOLAR_FIELDS),
    ),
}
"""The feeds by their names."""
