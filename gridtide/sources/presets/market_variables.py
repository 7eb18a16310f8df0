"""The variables of electricity markets: one name for one quantity, whatever operator publishes it.

A preset lists the names of its rows here; `docs/variables.md` shows the same table. Products that differ in kind differ
in name: prices of five minutes from those of an hour, forecasts with several vintages from one made on the day before.
"""

from __future__ import annotations

from collections.abc import Mapping

from gridtide.variables import Quantity, Variable


def _describe_price(name: str, meaning: str, quantity: Quantity | None = None) -> Variable:
    """Returns the row of a locational price and its components."""
    return Variable(f"{name}(_energy|_congestion|_loss)?", "USD/MWh", "mean", meaning, quantity=quantity)


def _describe_power(pattern: str, meaning: str, quantity: Quantity | None = None) -> Variable:
    return Variable(pattern, "MW", "mean", meaning, quantity=quantity)


MARKET_VARIABLES: Mapping[str, Variable] = {
    "load": _describe_power("load", "Load of an hour"),
    "load_five_minute": _describe_power("load_five_minute", "Load of five minutes"),
    "load_forecast": _describe_power("load_forecast", "Load forecast, a vintage per publication"),
    "load_forecast_day_ahead": _describe_power("load_forecast_day_ahead", "Load forecast of the day before"),
    "generation_wind_forecast": _describe_power(
        "generation_wind_forecast", "Wind forecast, a vintage per publication", Quantity("generation_forecast", "wind")
    ),
    "generation_solar_forecast": _describe_power(
        "generation_solar_forecast",
        "Solar forecast, a vintage per publication",
        Quantity("generation_forecast", "solar"),
    ),
    "generation_forecast_day_ahead": _describe_power(
        r"generation_\w+_forecast_day_ahead", "Wind and solar forecast of the day before"
    ),
    "generation_wind": _describe_power(
        "generation_wind_(on|off)shore", "Wind generation on land and at sea", Quantity("generation", "wind")
    ),
    "generation": _describe_power(r"generation_\w+", "Generation by fuel"),
    "net_imports": _describe_power("net_imports", "Imports less exports"),
    "net_generation": _describe_power("net_generation", "Generation of all fuels"),
    "consumption": _describe_power(r"consumption_\w+", "Consumption of storage and of power stations, by fuel"),
    "btm_solar": _describe_power("btm_solar", "Solar behind the meter, estimated"),
    "btm_solar_forecast": _describe_power("btm_solar_forecast", "Solar behind the meter, a vintage per publication"),
    "btm_solar_forecast_day_ahead": _describe_power(
        "btm_solar_forecast_day_ahead", "Solar behind the meter, forecast on the day before"
    ),
    "solar_forecast_five_minute": Variable(
        "(btm_)?solar_forecast_five_minute", "MWh", "sum", "Solar forecast of five minutes, as energy"
    ),
    "lmp_day_ahead": _describe_price("lmp_day_ahead", "Day-ahead price and its components"),
    "lmp_day_ahead_ex_ante": _describe_price("lmp_day_ahead_ex_ante", "Day-ahead price without extended pricing"),
    "lmp_real_time": _describe_price("lmp_real_time", "Real-time price of an hour and its components"),
    "lmp_real_time_preliminary": _describe_price("lmp_real_time_preliminary", "The same, before it is settled"),
    "lmp_fifteen_minute": _describe_price(
        "lmp_fifteen_minute", "Real-time price of fifteen minutes", Quantity("real_time_price")
    ),
    "lmp_five_minute": _describe_price("lmp_five_minute", "Real-time price of five minutes and its components"),
    "price_day_ahead": Variable(
        "price_day_ahead", "EUR/MWh", "mean", "Day-ahead price of a bidding zone", quantity=Quantity("day_ahead_price")
    ),
}
"""The rows by name; the pattern of a row matches the variables that it describes, the earlier row has precedence."""
