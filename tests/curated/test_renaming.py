"""Series that were renamed are read as one, from files and from months alike; what is stored keeps its name."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide import curated, mlx_store
from gridtide.config.loading import parse
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from gridtide.training import preparation, tensors

START = datetime(2024, 3, 1, tzinfo=UTC)
RENAMED = datetime(2024, 3, 21, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALIAS = {"from": "generic/A/load", "to": "generic/A/load_mw", "before": "2024-03-21T00:00Z"}


def configuration(*aliases: dict[str, str]) -> Config:
    """A generic entry of two columns, with `aliases`."""
    entry: dict[str, Any] = {"name": "load", "url": "https://example.com/load.csv", "output_folder": "load"}
    return parse({"apis": [entry | {"time": "t", "value": ["load", "load_mw"], "aliases": list(aliases)}]})


async def fill(lake: Lake, names: dict[str, tuple[datetime, int]], unit: str = "MW", factor: float = 1.0) -> None:
    """For each name a file of so many hours from its start; values are `factor` times 100 and the hour."""
    (entry,) = configuration().apis
    for name, (start, hours) in names.items():
        starts = [start + hour * HOUR for hour in range(hours)]
        location, variable = name.split("/")
        rows = [Row(at, at + HOUR, location, variable, unit, factor * (100 + (at - START) // HOUR)) for at in starts]
        period = Period(start, start + hours * HOUR)
        with Draft("parquet", Provenance("load", period, entry.fingerprint)) as draft:
            draft.append(from_rows("generic", rows, START + timedelta(days=60)))
            await lake.put_draft(draft, "load", "load", START + timedelta(days=60))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A series that is called `load` for 20 days and `load_mw` for 20 more, and another at B."""
    lake = Lake.open(str(tmp_path_factory.mktemp("lake")))
    asyncio.run(fill(lake, {"A/load": (START, 480), "A/load_mw": (RENAMED, 480), "B/load": (START, 24)}))
    return lake


def read_names(lake: Lake, *aliases: dict[str, str]) -> dict[str, int]:
    """How many hours are read of each series."""
    table = asyncio.run(curated.read(lake, configuration(*aliases).apis, START, START + timedelta(days=40)))
    labels = zip(table["location"].to_pylist(), table["variable"].to_pylist(), strict=True)
    counts: dict[str, int] = {}
    for location, variable in labels:
        counts[f"{location}/{variable}"] = counts.get(f"{location}/{variable}", 0) + 1
    return counts


@pytest.mark.parametrize(
    ("aliases", "counts"),
    [
        ([], {"A/load": 480, "A/load_mw": 480, "B/load": 24}),
        ([ALIAS], {"A/load_mw": 960, "B/load": 24}),
        ([ALIAS | {"before": "2024-03-11T00:00Z"}], {"A/load": 240, "A/load_mw": 720, "B/load": 24}),
        ([{"from": "generic/*/load", "to": "generic/*/load_mw"}], {"A/load_mw": 960, "B/load_mw": 24}),
        ([{"from": "generic/B/load", "to": "generic/C/load"}], {"A/load": 480, "A/load_mw": 480, "C/load": 24}),
        ([ALIAS, {"from": "generic/A/load_mw", "to": "generic/A/demand"}], {"A/demand": 960, "B/load": 24}),
    ],
)
def test_a_renamed_series_is_read_as_one(lake: Lake, aliases: list[dict[str, str]], counts: dict[str, int]) -> None:
    """Dated, with any location, in turn; before and after compaction."""
    assert read_names(lake, *aliases) == counts


def test_compaction_changes_nothing_and_stores_the_old_name(tmp_path: Path) -> None:
    """An alias can be added, changed and taken away later."""
    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake, {"A/load": (START, 480), "A/load_mw": (RENAMED, 480)}))
    asyncio.run(curated.compact(lake, configuration(ALIAS).apis[0]))
    assert read_names(lake, ALIAS) == {"A/load_mw": 960}
    assert read_names(lake) == {"A/load": 480, "A/load_mw": 480}


SPEC: dict[str, Any] = {
    "name": "joined",
    "locations": [{"name": "A", "targets": ["generic/A/load_mw"], "inputs": ["generic/A/load_mw"]}],
    "seq_len": 24,
    "horizon": 12,
    "pictures": False,
}


def test_a_training_set_has_one_column_of_both_names(lake: Lake) -> None:
    """The hours of both names, as targets and as inputs, also where the location alone is read."""
    report = asyncio.run(preparation.prepare(SPEC, configuration(ALIAS), lake))
    assert report["shape"]["steps"] == 960
    mapped, _ = tensors.open_mapped(Path(lake.uri) / report["path"])
    truth = mapped["targets"][0, :, 0] * mapped["target_deviation"][0] + mapped["target_mean"][0]
    np.testing.assert_allclose(truth, np.arange(100, 1060), atol=0.01)


def test_a_model_in_service_keeps_its_column(tmp_path: Path) -> None:
    """Trained before the series was renamed: with the alias, it sees the hours of the new name in its old column."""
    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake, {"A/load": (START, 480)}))
    place = {"name": "A", "targets": ["generic/A/load"], "inputs": ["generic/A/load"]}
    report = asyncio.run(preparation.prepare(SPEC | {"locations": [place]}, configuration(), lake))
    asyncio.run(fill(lake, {"A/load_mw": (RENAMED, 48)}))
    until = RENAMED + timedelta(days=2)
    context = mlx_store.get_real_time_context(
        tmp_path / report["path"], 72, config=configuration(ALIAS), lake=lake, until=until
    )
    mapped, _ = tensors.open_mapped(tmp_path / report["path"])
    load = np.array(context["x"])[0, :, 0] * mapped["deviation"][0, 0] + mapped["mean"][0, 0]
    assert np.array(context["mask"])[0, :, 0].all()
    np.testing.assert_allclose(np.diff(load), 1.0, atol=0.01)


@pytest.mark.parametrize(
    ("alias", "problem"),
    [
        ({"from": "generic/A/load"}, "aliases[0].to: is missing"),
        ({"from": "load", "to": "generic/A/load_mw"}, '"load" is not a series'),
        ({"from": "eia/A/load", "to": "generic/A/load"}, "are of two sources"),
        ({"from": "eia/A/load", "to": "eia/A/b"}, "of another source than the entry"),
        ({"from": "generic/A/load", "to": "generic/A/load"}, "is read as itself"),
        ({"from": "generic/*/load", "to": "generic/A/b"}, 'only one of the two has the location "*"'),
        ({"from": "generic/A/lo*", "to": "generic/A/b"}, "has wildcards"),
        (ALIAS | {"before": "2024-03-21"}, "aliases[0].before: "),
        (ALIAS | {"since": "2024-04-01T00:00Z"}, '"since" is not earlier than "before"'),
    ],
)
def test_an_alias_that_joins_nothing_is_refused(alias: dict[str, str], problem: str) -> None:
    """With the key, and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        configuration(alias)
    assert problem in str(caught.value)


async def test_a_change_of_unit_is_converted_whatever_is_compacted(tmp_path: Path) -> None:
    """MW for 20 days, GW for 20 more: one column in MW, the same set from files, from months and from both."""
    lake = Lake.open(str(tmp_path))
    entry = configuration().apis[0]
    place = {"name": "A", "targets": ["generic/A/load"], "inputs": ["generic/A/load"]}
    spec = SPEC | {"locations": [place], "end": "2024-04-09T00:00Z", "start": "2024-03-02T00:00Z"}
    await fill(lake, {"A/load": (START, 480)})
    await curated.compact(lake, entry)
    await fill(lake, {"A/load": (RENAMED, 480)}, unit="GW", factor=0.001)
    mixed = await preparation.prepare(spec, configuration(), lake)
    mapped, metadata = tensors.open_mapped(tmp_path / mixed["path"])
    truth = mapped["targets"][0, :, 0] * mapped["target_deviation"][0] + mapped["target_mean"][0]
    np.testing.assert_allclose(truth, np.arange(124, 1036), atol=0.01)
    assert '"unit": "MW"' in metadata["manifest"]
    await curated.compact(lake, entry)
    assert await preparation.prepare(spec, configuration(), lake) == mixed


async def test_hours_in_another_dimension_are_told_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two days of MWh among MW: 48 hours are missing, in a warning and in the report."""
    lake = Lake.open(str(tmp_path))
    place = {"name": "A", "targets": ["generic/A/load"], "inputs": ["generic/A/load"]}
    await fill(lake, {"A/load": (START, 432)})
    await fill(lake, {"A/load": (RENAMED - timedelta(days=2), 48)}, unit="MWh")
    await fill(lake, {"A/load": (RENAMED, 480)})
    report = await preparation.prepare(SPEC | {"locations": [place]}, configuration(), lake)
    assert report["shape"]["steps"] == 960
    assert report["locations"]["A"]["rejected"]["target generic/A/load"]["unit"] == 48
    assert "48 hours of generic/A/load from 2024-03-19T00:00Z to 2024-03-20T23:00Z are left out" in caplog.text
