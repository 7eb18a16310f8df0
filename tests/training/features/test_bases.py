"""Bases contain at each step only values that were available by its end."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.errors import TrainingError
from gridtide.observations.availability import available_at
from gridtide.observations.table import Row
from gridtide.periods import Period, microseconds
from gridtide.training.features.bases import Base, build_bases
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import TrainingSpec, load_spec
from tests.support.grids import HOUR, PATTERNS, START, every_kind, hourly, instants, tables

DAYS = 20
PLAIN = {"calendar": False}
PERIOD = Period(START + timedelta(days=5), START + timedelta(days=DAYS))


def wanted(**keys: Any) -> TrainingSpec:
    """A spec with all series of `every_kind`."""
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": PATTERNS}
    return load_spec(
        {"name": "test", "locations": [place], "seq_len": 48, "horizon": 24, "leads": [1, 24], "features": PLAIN} | keys
    )


def base(kinds: Any, **keys: Any) -> Base:
    """The base of `kinds`, which have one location."""
    grid = HourlyGrid(Period(START, START + timedelta(days=DAYS + 2)), lambda name: True)
    for rule, table in tables(kinds):
        grid.add(table, rule)
    return build_bases(wanted(**keys), grid.finish(), PERIOD, grid.names_read)[0]


def test_columns_look_at_the_freshest_hour_that_is_known() -> None:
    """A lagged series looks back by its lag, a daily report by its day, and a forecast ahead by each lead."""
    shifts = [column.name for column in base(every_kind(DAYS)).columns]
    assert shifts == [
        "eia/ISNE/demand-5h",
        "eia/ISNE/demand_forecast_day_ahead+1h",
        "eia/ISNE/demand_forecast_day_ahead+24h",
        "iso_ne/ISNE/generation_wind+1h",
        "iso_ne/ISNE/load_five_minute-1h",
        "iso_ne/ISNE/load_forecast+1h",
        "iso_ne/ISNE/load_forecast+24h",
        "iso_ne/ISNE/morning_report_peak_load_today_mw-23h",
        "open_meteo/boston/temperature_2m+1h",
    ]


EVERYTHING = {
    "calendar": True,
    "power": True,
    "prices": True,
    "weather": True,
    "lags": [1, 24],
    "rolling": [3, 100],
}


@pytest.mark.parametrize(
    ("moment", "minimum"),
    [
        (PERIOD.start + 50 * HOUR, "not_evaluated"),
        (PERIOD.start + 133 * HOUR, "good"),
        (PERIOD.end - 150 * HOUR, "not_evaluated"),
    ],
)
def test_nothing_that_is_not_yet_available_moves_a_row(moment: datetime, minimum: str) -> None:
    """Values that become available after a time change no row that ends by then, not by a bit.

    This holds for plausible, impossible, stale and missing values, with all groups of features, all default rules
    of cleaning, and where only values that the screening calls good are used. Later rows change in all columns except
    those of the calendar.
    """
    kinds = every_kind(DAYS) | priced(DAYS)
    keys = {"features": EVERYTHING, "locations": [PRICED], "quality": {"minimum": minimum}}
    before = base(kinds, **keys)
    assert len(before.columns) > 200
    later: tuple[Callable[[int, float], float | None], ...] = (
        lambda n, value: value * (1 + 0.03 * (n % 7 - 3)),
        lambda n, value: 1e7 * (-1) ** n,
        lambda n, value: 100.0,
        lambda n, value: None,
    )
    known = (moment - PERIOD.start) // HOUR
    for number, changed in enumerate(later):
        after = base(since(kinds, moment, changed), **keys)
        for one, other in ((after.values, before.values), (after.mask, before.mask), (after.quality, before.quality)):
            np.testing.assert_array_equal(one[:known], other[:known])
        if number == 0:
            moved = (np.nan_to_num(after.values[known:]) != np.nan_to_num(before.values[known:])).any(axis=0)
            still = {column.name for column, moves in zip(after.columns, moved, strict=True) if not moves}
            assert {name for name in still if not name.startswith("calendar/")} == set()


PRICED = {
    "name": "ISNE",
    "targets": ["eia/ISNE/demand"],
    "inputs": [*PATTERNS, "iso_ne/4000/*", "iso_ne/4001/*"],
}


def priced(days: int) -> dict[str, tuple[str, Available, list[Row]]]:
    """Series for all groups of features that `every_kind` lacks: fuels, interchange, prices of two locations, wind."""
    hours = days * 24

    def value(level: float) -> Callable[[float], float]:
        random = np.random.default_rng(int(level))
        return lambda hour: float(np.round(level + 3 * np.sin(hour / 4) + random.normal(), 3))

    lag, at_once = Available(lag=5 * HOUR), Available(lag=timedelta(0))
    morning = Available(day_before="13:00", timezone="America/New_York")
    fuels = [
        row
        for number, name in enumerate(("generation_wind", "generation_solar", "generation_coal", "net_generation"))
        for row in hourly(name, hours, value(20 + number))
    ]
    prices = {
        (variable, place): [
            row._replace(unit="USD/MWh") for row in hourly(variable, hours, value(level), location=place)
        ]
        for variable, place, level in (
            ("lmp_day_ahead", "4000", 50),
            ("lmp_day_ahead", "4001", 52),
            ("lmp_real_time", "4000", 54),
            ("lmp_real_time", "4001", 56),
        )
    }
    return {
        "fuels": ("eia", lag, fuels),
        "interchange": ("eia", lag, hourly("net_interchange", hours, value(5))),
        "wind": ("open_meteo", at_once, instants("wind_speed_10m", "km/h", hours, value(15), "boston")),
        **{f"{v} {p}": ("iso_ne", morning if v == "lmp_day_ahead" else lag, rows) for (v, p), rows in prices.items()},
    }


def since(kinds: Any, moment: datetime, changed: Callable[[int, float], float | None]) -> Any:
    """`kinds` with `changed(number, value)` for every value that becomes available after `moment`."""
    found = {}
    for name, (source, rule, rows) in kinds.items():
        start, end = (np.array([microseconds(row[at]) for row in rows]) for at in (0, 1))
        by_rule = available_at(rule, start, end)
        available = [
            microseconds(r.published_at) if r.published_at else int(b) for r, b in zip(rows, by_rule, strict=True)
        ]
        hidden = [at > microseconds(moment) for at in available]
        assert any(hidden), name
        found[name] = (
            source,
            rule,
            [
                r._replace(value=changed(n, r.value)) if hide else r
                for n, (r, hide) in enumerate(zip(rows, hidden, strict=True))
            ],
        )
    return found


def test_targets_are_the_truth_of_their_own_hour() -> None:
    """Row r of the targets is the value of hour r, whenever it became available."""
    kinds = every_kind(DAYS)
    values = [row.value for row in kinds["demand"][2]]
    np.testing.assert_array_equal(base(kinds).targets[:, 0], values[5 * 24 :])


def test_gaps_are_filled_forward_and_masked() -> None:
    """With a limit of two, the third missing hour stays missing, and filled hours do not count as observed."""
    kinds = every_kind(DAYS)
    source, rule, rows = kinds["demand"]
    hole = 6 * 24
    kinds["demand"] = (source, rule, [r for n, r in enumerate(rows) if not hole <= n < hole + 3])
    made = base(kinds, cleaning={"fill_limit": 2})
    first = hole - 5 * 24 + 5  # the rows in which the hole would be seen
    last_seen = np.float32(rows[hole - 1].value)
    np.testing.assert_array_equal(made.values[first - 1 : first + 3, 0], [last_seen, last_seen, last_seen, np.nan])
    assert made.mask[first - 1 : first + 4, 0].tolist() == [True, False, False, False, True]


def test_locations_share_their_columns() -> None:
    """A column that a location lacks has no values there, so that all bases have the same columns."""
    kinds = every_kind(DAYS)
    kinds["other"] = ("eia", kinds["demand"][1], [r._replace(location="NYIS") for r in kinds["demand"][2]])
    places = [
        {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]},
        {"name": "NYIS", "targets": ["eia/NYIS/demand"], "inputs": ["eia/NYIS/*"]},
    ]
    grid = HourlyGrid(Period(START, START + timedelta(days=DAYS + 2)), lambda name: True)
    for rule, table in tables(kinds):
        grid.add(table, rule)
    both = build_bases(wanted(locations=places), grid.finish(), PERIOD, grid.names_read)
    assert [c.name for c in both[1].columns] == ["eia/NYIS/demand-5h", "absent", "absent"]
    np.testing.assert_array_equal(both[0].values[:, 0], both[1].values[:, 0])
    assert not both[1].mask[:, 1:].any()


def test_a_pattern_without_a_series_says_what_there_is() -> None:
    """The error of a pattern without a series names the pattern and similar series."""
    place = {"name": "ISNE", "targets": ["eia/ISNE/demnd"], "inputs": PATTERNS}
    with pytest.raises(TrainingError, match=r'"eia/ISNE/demnd" matches no series.*such as eia/ISNE/demand'):
        base(every_kind(DAYS), locations=[place])


def test_features_of_what_is_no_input_are_refused() -> None:
    """A pattern in `of` that matches no input is refused, instead of giving no columns."""
    rule = {"calendar": False, "of": ["iso_ne/*/*", "eia/ISNE/demnd"]}
    with pytest.raises(TrainingError, match=r'features.of: "eia/ISNE/demnd" matches no input.*as eia/ISNE/demand'):
        base(every_kind(DAYS), features=rule | {"lags": [24]})
    assert base(every_kind(DAYS), features=rule).columns


def test_a_target_without_a_value_is_refused() -> None:
    """A target without any value is refused, and the message names it and the period."""
    kinds = every_kind(DAYS)
    kinds["demand"] = (*kinds["demand"][:2], [r._replace(value=None) for r in kinds["demand"][2]])
    with pytest.raises(TrainingError, match="the target eia/ISNE/demand has no value in 2024-02-06"):
        base(kinds)


def hourly_price(published: datetime, hours: range) -> list[Row]:
    """Day-ahead prices of `hours` from `START` on, all different, published together."""
    return [
        Row(START + n * HOUR, START + (n + 1) * HOUR, "4000", "lmp_day_ahead", "USD/MWh", float(n), published)
        for n in hours
    ]


def test_a_missing_hour_of_a_day_ahead_product_is_not_filled_with_another_hour() -> None:
    """The column of a lead is missing there, though an hour before and after is known."""
    missing = 24 * 10 + 13
    rows = [
        row
        for day in range(DAYS)
        for row in hourly_price(START + (24 * day - 11) * HOUR, range(24 * day, 24 * day + 24))
    ]
    kinds = {"prices": ("iso_ne", Available(lag=HOUR), [row for n, row in enumerate(rows) if n != missing])}
    place = {"name": "NE", "targets": ["iso_ne/4000/*"], "inputs": ["iso_ne/4000/*"]}
    made = base(every_kind(DAYS) | kinds, locations=[place], leads=[12])
    [column] = [number for number, column in enumerate(made.columns) if column.name.endswith("+12h")]
    step = missing - 12 - 24 * 5
    assert np.isnan(made.values[step, column])
    assert made.values[[step - 1, step + 1], column].tolist() == [missing - 1, missing + 1]


ROLES = [
    {
        "name": name,
        "targets": [f"eia/{name}/demand"],
        "inputs": {"own": [f"eia/{name}/*"], "neighbour": [f"eia/{other}/*"]},
    }
    for name, other in (("ISNE", "AAAA"), ("AAAA", "ISNE"))
]


@pytest.mark.parametrize("by_role", [True, False], ids=["roles", "order of the patterns"])
def test_a_column_means_the_same_in_all_locations(by_role: bool) -> None:
    """A location's own demand is in one column and its neighbour's in another, whatever their names."""
    source, rule, rows = every_kind(DAYS)["demand"]
    kinds = {
        "demand": (source, rule, [*rows, *(row._replace(location="AAAA", value=7.0 * n) for n, row in enumerate(rows))])
    }
    grid = HourlyGrid(Period(START, START + timedelta(days=DAYS + 2)), lambda name: True)
    for available, table in tables(kinds):
        grid.add(table, available)
    places = [
        place
        | {"inputs": place["inputs"] if by_role else [p for patterns in place["inputs"].values() for p in patterns]}
        for place in ROLES
    ]
    bases = build_bases(wanted(locations=places), grid.finish(), PERIOD, grid.names_read)
    names = {made.location: {column.key: column.series for column in made.columns} for made in bases}
    own, neighbour = ("own.0", "neighbour.0") if by_role else ("0", "1")
    for name, other in (("ISNE", "AAAA"), ("AAAA", "ISNE")):
        assert names[name] == {
            f"eia/{own}/demand-5h": f"eia/{name}/demand",
            f"eia/{neighbour}/demand-5h": f"eia/{other}/demand",
        }


def test_a_series_of_two_roles_is_refused() -> None:
    """The message names it and both."""
    place = {
        "name": "ISNE",
        "targets": ["eia/ISNE/demand"],
        "inputs": {"own": ["eia/ISNE/*"], "other": ["eia/*/demand"]},
    }
    with pytest.raises(TrainingError, match=r"eia/ISNE/demand is both own and other"):
        base(every_kind(DAYS), locations=[place])
