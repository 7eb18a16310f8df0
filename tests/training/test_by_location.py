"""Locations that are prepared separately give the same set as together."""

import asyncio
from typing import Any

import pytest

from gridtide.errors import TrainingError
from gridtide.lake import Lake
from gridtide.training import preparation
from gridtide.training.by_location import LocationExchange
from gridtide.training.features.bases import Base
from gridtide.training.reading import ReadingPlan
from gridtide.training.series.matching import common_shifts
from tests.support.grids import PATTERNS, configuration, every_kind, fill

KINDS = every_kind(30)
source, rule, rows = KINDS["demand"]
other = [row._replace(location="NYIS", value=row.value and row.value * 1.1) for row in rows]
KINDS["demand"] = (source, rule, [*rows, *other])
CONFIG = configuration(KINDS)
SPEC: dict[str, Any] = {
    "name": "two",
    "locations": [
        {"name": "NYIS", "targets": ["eia/NYIS/demand"], "inputs": ["eia/NYIS/*"]},
        {
            "name": "ISNE",
            "targets": ["eia/ISNE/demand"],
            "inputs": PATTERNS,
            "future": ["iso_ne/ISNE/load_forecast", "eia/ISNE/demand_forecast_day_ahead"],
            "holidays": None,
        },
    ],
    "future_calendar": True,
    "seq_len": 48,
    "horizon": 24,
    "leads": [1, 24],
    "features": {"power": True, "prices": True, "weather": True, "lags": [24], "rolling": [3, 24]},
    "cleaning": {"outliers": "isolation_forest_fitted_on_train"},
    "pictures": False,
    "export": ["npz"],
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with every kind of interval for one location, and the demand of another."""
    lake = Lake.open(str(tmp_path_factory.mktemp("lake")))
    asyncio.run(fill(lake, KINDS))
    return lake


async def make_apart(plan: ReadingPlan, lake: Lake) -> list[Base]:
    """A `BaseMaker` that exchanges all data through the lake, the last location first."""
    exchange = await LocationExchange.begin(plan, lake, "features/two/parts")
    numbers = range(len(plan.spec.locations))
    inputs = {number: await exchange.gather(lake, lake, number) for number in reversed(numbers)}
    shifts = common_shifts(plan.spec, [inputs[number] for number in numbers])
    for number in reversed(numbers):
        await exchange.derive(lake, number, shifts)
    bases = await exchange.read(lake)
    await exchange.clear(lake)
    return bases


async def written(lake: Lake) -> dict[str, bytes]:
    """The bytes of the set."""
    return {one.path: await lake.store.read(one.path) for one in await lake.store.list_objects("features/two")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys", [{}, {"start": "2024-02-03T00:00Z", "end": "2024-02-28T05:00Z", "scaling": "none"}], ids=["open", "given"]
)
async def test_the_set_is_the_same_to_the_byte(lake: Lake, keys: dict[str, Any]) -> None:
    """Missing columns, vintages, rejected values and fitted cleaning give the same bytes, and no intermediate file
    is left."""
    report = await preparation.prepare(SPEC | keys, CONFIG, lake, replace=True)
    together = await written(lake)
    assert await preparation.prepare(SPEC | keys, CONFIG, lake, make=make_apart) == report
    assert await written(lake) == together
    assert sorted(together) == [
        f"features/two/{name}"
        for name in ("README.md", "croissant.json", "manifest.json", "sequences.npz", "sequences.safetensors")
    ]


async def test_different_targets_are_refused(lake: Lake) -> None:
    """Different targets are refused, as if prepared together."""
    first, second = SPEC["locations"]
    spec = SPEC | {"locations": [first, second | {"targets": ["iso_ne/ISNE/generation_wind"]}]}
    messages = []
    for make in (preparation.make_bases, make_apart):
        with pytest.raises(TrainingError) as caught:
            await preparation.prepare(spec, CONFIG, lake, make=make, replace=True)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "the locations have different targets" in messages[0]
