"""The daily reports of ISO New England, imitated: morning report and seven-day forecast.

The numbers are consistent as the upstream's are (capacity less outages plus imports is the available capacity; less
load and reserves it is the surplus), and fields and types change over the years as they did.
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
"""The operating reserve that a report requires, in MW."""


DRIFT = 2020
"""The year in which the reports' fields and types change here."""


ReportRecord = dict[str, Any]


def write_stamp(moment: datetime) -> str:
    """Returns Eastern time with milliseconds and offset: `2024-11-25T15:31:41.000-05:00`."""
    return moment.astimezone(ZONE).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class _PeakDay:
    """The highest demand of an operating day, as forecast some hours ahead, and the exports at that time, in whole
    MW."""

    moment: datetime
    load: int
    exports: Mapping[str, int]

    @classmethod
    def of(cls, grid: Grid, day: date, lead: float) -> _PeakDay:
        period = local_day(day, ZONE)
        begins = list_interval_starts(period.start, period.end, ONE_HOUR)
        state = grid.state_at(CODE, begins + np.timedelta64(1800, "s"), lead).whole()
        peak_index = int(np.argmax(state.demand))
        exports = {neighbour: int(flow[peak_index]) for neighbour, flow in state.exports.items()}
        return cls(period.start + peak_index * ONE_HOUR, int(state.demand[peak_index]), exports)


def _estimate_ties(exports: Mapping[str, int]) -> dict[str, int]:
    """Returns the flows by tie line, exports positive."""
    quebec, new_york = exports["HQT"], exports["NYIS"]
    return {
        "Highgate": round(0.15 * quebec),
        "NB": exports["NBSO"],
        "NYISO AC": new_york - round(0.3 * new_york),
        "NYISO CSC": round(0.2 * new_york),
        "NYISO NNC": round(0.3 * new_york) - round(0.2 * new_york),
        "Phase 2": quebec - round(0.15 * quebec),
    }


def _find_high(grid: Grid, city: str, day: date, lead_hours: float) -> tuple[int, int]:
    """Returns the day's highest temperature and dew point in a load centre, in °F."""
    load_centre = next(load_centre for load_centre in NEW_ENGLAND.places if load_centre.name == city.lower())
    period = local_day(day, ZONE)
    weather = grid.weather_at(
        [load_centre.latitude],
        [load_centre.longitude],
        list_interval_starts(period.start, period.end, ONE_HOUR),
        lead_hours,
    )
    return round(float(weather.temperature.max()) * 1.8 + 32), round(float(weather.dew_point.max()) * 1.8 + 32)


def _draw_outages(grid: Grid, day: date) -> int:
    return int(900 + 2600 * grid.draw_uniform("outages", to_times([local_midnight(day, ZONE)]))[0])


def make_morning_report(grid: Grid, day: date) -> ReportRecord:
    """Returns the report on the operating day as forecast on its morning; types and fields are those of its year."""
    today, yesterday = _PeakDay.of(grid, day, 10.0), _PeakDay.of(grid, day - timedelta(days=1), 0.0)
    outages, imports = _draw_outages(grid, day), -sum(today.exports.values())
    available = INSTALLED - outages + imports
    is_early = day.year < DRIFT
    ties = _estimate_ties(today.exports)
    return {
        "BeginDate": write_stamp(local_midnight(day, ZONE)),
        "ReportType": "Final" if is_early else "Operational Capacity Update Report",
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
            if is_early
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
    """Returns the forecast, made on `day`, for the six operating days after it, which are called days 2 to 7."""
    return {
        "BeginDate": write_stamp(local_midnight(day + timedelta(days=1), ZONE)),
        "MarketDay": [_make_market_day(grid, day, number) for number in range(2, 8)],
    }


def _make_market_day(grid: Grid, issued: date, number: int) -> ReportRecord:
    day = issued + timedelta(days=number - 1)
    lead_hours = 24.0 * (number - 1) + 10
    peak_day = _PeakDay.of(grid, day, lead_hours)
    outages, imports = _draw_outages(grid, issued), -sum(peak_day.exports.values())
    is_early = issued.year < DRIFT
    required = peak_day.load + RESERVE + 160
    cities = {city: _find_high(grid, city, day, lead_hours) for city in ("Boston", "Hartford")}
    return {
        **({"@Day": str(number)} if is_early else {"Day": number}),
        "MarketDate": write_stamp(local_midnight(day, ZONE)),
        "CsoMw": INSTALLED,
        "DelistMw": 971,
        "OtherGenOutagesMw": outages,
        "ColdWeatherOutagesMw": 0,
        "TotAvailGenMw": INSTALLED - outages,
        "PeakImportMw": imports,
        "TotAvailGenImportMw": INSTALLED - outages + imports,
        "PeakLoadMw": round(peak_day.load, -1),
        "ReplReserveReqMw": 160,
        "ReqdReserveMw": RESERVE,
        "ReqdReserveInclReplMw": RESERVE + 160,
        "TotLoadPlusReqdReserveMw": required,
        "SurplusDeficiencyMw": INSTALLED - outages + imports - required,
        **({"RtdrMw": 145, "RtegMw": 1, "EnergyEmergency": "N"} if is_early else {"DrrMw": 245}),
        "PowerWatch": "N",
        "PowerWarn": "N",
        **{f"ColdWeather{kind}": "N" if number < 4 else "-" for kind in ("Watch", "Warn", "Event")},
        "Weather": {
            "CityWeather": [
                {"CityName": city, "HighTempF": high, "DewPointF": dew_point}
                for city, (high, dew_point) in cities.items()
            ]
        },
    }
