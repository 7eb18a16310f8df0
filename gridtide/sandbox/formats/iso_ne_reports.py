"""The daily reports of ISO New England as the sandbox writes them: morning report and seven-day forecast.

Numbers hang together as the upstream's do (capacity less outages plus imports is what is available,
that less load and reserves the surplus), and fields and types drift over the years as they did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_day, local_midnight
from gridtide.simulation import NEW_ENGLAND, Grid, list_interval_starts, to_times

CODE, ZONE = NEW_ENGLAND.code, ZoneInfo(NEW_ENGLAND.zone)


ONE_HOUR = timedelta(hours=1)


INSTALLED = int(sum(NEW_ENGLAND.capacity.values()))


RESERVE = 2048


DRIFT = 2020
"""The year in which the reports' fields and types are taken to have changed."""


ReportRecord = dict[str, Any]


def write_stamp(moment: datetime) -> str:
    """Eastern time with milliseconds and offset: `2024-11-25T15:31:41.000-05:00`."""
    return moment.astimezone(ZONE).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class _PeakDay:
    """The highest demand of an operating day as foreseen some hours ahead, and the grid then, whole MW."""

    moment: datetime
    load: int
    exports: Mapping[str, int]

    @classmethod
    def of(cls, grid: Grid, day: date, lead: float) -> _PeakDay:
        period = local_day(day, ZONE)
        begins = list_interval_starts(period.start, period.end, ONE_HOUR)
        state = grid.state_at(CODE, begins + np.timedelta64(1800, "s"), lead).whole()
        top = int(np.argmax(state.demand))
        exports = {to: int(flow[top]) for to, flow in state.exports.items()}
        return cls(period.start + top * ONE_HOUR, int(state.demand[top]), exports)


def _estimate_ties(exports: Mapping[str, int]) -> dict[str, int]:
    """Flows by tie line, exports positive."""
    quebec, york = exports["HQT"], exports["NYIS"]
    return {
        "Highgate": round(0.15 * quebec),
        "NB": exports["NBSO"],
        "NYISO AC": york - round(0.3 * york),
        "NYISO CSC": round(0.2 * york),
        "NYISO NNC": round(0.3 * york) - round(0.2 * york),
        "Phase 2": quebec - round(0.15 * quebec),
    }


def _find_high(grid: Grid, city: str, day: date, lead: float) -> tuple[int, int]:
    """The day's highest temperature and dew point in a load centre, °F."""
    place = next(place for place in NEW_ENGLAND.places if place.name == city.lower())
    period = local_day(day, ZONE)
    sky = grid.weather_at(
        [place.latitude], [place.longitude], list_interval_starts(period.start, period.end, ONE_HOUR), lead
    )
    return round(float(sky.temperature.max()) * 1.8 + 32), round(float(sky.dew_point.max()) * 1.8 + 32)


def _draw_outages(grid: Grid, day: date) -> int:
    return int(900 + 2600 * grid.draw_uniform("outages", to_times([local_midnight(day, ZONE)]))[0])


def make_morning_report(grid: Grid, day: date) -> ReportRecord:
    """The operating day as foreseen on its morning; types and fields are those of its year."""
    today, yesterday = _PeakDay.of(grid, day, 10.0), _PeakDay.of(grid, day - timedelta(days=1), 0.0)
    outages, imports = _draw_outages(grid, day), -sum(today.exports.values())
    available = INSTALLED - outages + imports
    early = day.year < DRIFT
    ties = _estimate_ties(today.exports)
    return {
        "BeginDate": write_stamp(local_midnight(day, ZONE)),
        "ReportType": "Final" if early else "Operational Capacity Update Report",
        "PeakLoadTodayHour": write_stamp(today.moment),
        "PeakLoadTodayMw": today.load,
        "PeakLoadYesterdayHour": write_stamp(yesterday.moment),
        "PeakLoadYesterdayMw": yesterday.load,
        "CsoMw": INSTALLED,
        "CapAdditionsMw": 1038,
        "GenOutagesReductionMW": outages,
        "NetCapDeliveryMw": -imports,
        "TotAvailCapMw": available,
        "TotalOperReserveReqMw": RESERVE,
        "ReplReserveRequiredMw": 160,
        "CapRequiredMw": today.load + RESERVE,
        "SurplusDeficiencyMw": available - today.load - RESERVE,
        "LargestFirstContMw": 1249,
        "TenMinReserveReqMw": 1436,
        "TenMinReserveEstMw": 1436,
        "ThirtyMinReserveReqMw": 612,
        "AddlCapAvailOp4ActMw": 0,
        "UnitCommMinOrrCount": 0,
        "UnitCommMinOrrMw": 0,
        **(
            {"ExpActOp4Mw": 0, "NonCommUnitsCapMw": 0, "NyIsoSarAvail": "Y", "GeoMagDistIsoAction": "None"}
            if early
            else {"ExpActOp4Mw": "0", "UncommitedAvailDRRMw": 14, "DRRCapacityMw": 199}
        ),
        "CityForecastDetail": [
            {
                "CityName": city,
                "HighTemperature": _find_high(grid, city, day, 10.0)[0],
                "WeatherConditions": "Partly Cloudy",
                "WindDirSpeed": "SE-11",
            }
            for city in ("Boston", "Hartford")
        ],
        "TieDelivery": [{"TieName": name, "TieFlowMw": flow} for name, flow in ties.items()],
        "InterchangeDetail": [
            {"TieName": name, "ScheduledMw": flow, "ImportLimitInMw": -1400, "ExportLimitOutMw": 1200}
            for name, flow in ties.items()
        ],
    }


def make_seven_day_forecast(grid: Grid, day: date) -> ReportRecord:
    """The six operating days after `day` as foreseen on it, called days 2 to 7."""
    return {
        "BeginDate": write_stamp(local_midnight(day + timedelta(days=1), ZONE)),
        "MarketDay": [_make_market_day(grid, day, number) for number in range(2, 8)],
    }


def _make_market_day(grid: Grid, issued: date, number: int) -> ReportRecord:
    day = issued + timedelta(days=number - 1)
    lead = 24.0 * (number - 1) + 10
    peak = _PeakDay.of(grid, day, lead)
    outages, imports = _draw_outages(grid, issued), -sum(peak.exports.values())
    early = issued.year < DRIFT
    required = peak.load + RESERVE + 160
    cities = {city: _find_high(grid, city, day, lead) for city in ("Boston", "Hartford")}
    return {
        **({"@Day": str(number)} if early else {"Day": number}),
        "MarketDate": write_stamp(local_midnight(day, ZONE)),
        "CsoMw": INSTALLED,
        "DelistMw": 971,
        "OtherGenOutagesMw": outages,
        "ColdWeatherOutagesMw": 0,
        "TotAvailGenMw": INSTALLED - outages,
        "PeakImportMw": imports,
        "TotAvailGenImportMw": INSTALLED - outages + imports,
        "PeakLoadMw": round(peak.load, -1),
        "ReplReserveReqMw": 160,
        "ReqdReserveMw": RESERVE,
        "ReqdReserveInclReplMw": RESERVE + 160,
        "TotLoadPlusReqdReserveMw": required,
        "SurplusDeficiencyMw": INSTALLED - outages + imports - required,
        **({"RtdrMw": 145, "RtegMw": 1, "EnergyEmergency": "N"} if early else {"DrrMw": 245}),
        "PowerWatch": "N",
        "PowerWarn": "N",
        **{f"ColdWeather{kind}": "N" if number < 4 else "-" for kind in ("Watch", "Warn", "Event")},
        "Weather": {
            "CityWeather": [
                {"CityName": city, "HighTempF": high, "DewPointF": dew} for city, (high, dew) in cities.items()
            ]
        },
    }
