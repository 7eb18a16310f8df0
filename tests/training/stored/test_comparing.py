"""What differs between two training sets, and why."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from deployments.cli.commands import app
from gridtide.errors import StorageError
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import from_rows
from gridtide.periods import Period
from gridtide.training import preparation
from gridtide.training.stored.comparing import UNEXPLAINED, compare_sets, write_comparison
from gridtide.training.stored.opening import open_set
from tests.support.grids import HOUR, START, configuration, every_kind, fill

DAYS = 30
KINDS = {name: every_kind(DAYS)[name] for name in ("demand", "day_ahead")}
CONFIG = configuration(KINDS)
SPEC: dict[str, Any] = {
    "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}],
    "seq_len": 48,
    "horizon": 24,
    "leads": [1],
    "pictures": False,
    "features": {"calendar": False},
    "cleaning": {"screening": "off", "spike": 0, "fill_limit": 0},
}
REVISED = range(500, 510)
"""The hours whose demand a later file changes."""


def prepare(folder: Path, name: str, **keys: Any) -> None:
    """Prepare the set `name` of `SPEC` and `keys`."""
    asyncio.run(preparation.prepare(SPEC | {"name": name} | keys, CONFIG, Lake.open(str(folder))))


async def revise(lake: Lake) -> None:
    """Store a later file with other demand in the hours `REVISED`."""
    source, _, rows = KINDS["demand"]
    later = START + timedelta(days=500)
    entry = CONFIG.entry("demand")
    period = Period(START + REVISED.start * HOUR, START + REVISED.stop * HOUR)
    with Draft("parquet", Provenance(entry.name, period, entry.fingerprint)) as draft:
        draft.append(from_rows(source, [rows[hour]._replace(value=rows[hour].value + 3) for hour in REVISED], later))
        await lake.put_draft(draft, entry.output_folder, entry.file_prefix, later)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with sets of one spec, before and after a revision, and of other specs."""
    path = tmp_path_factory.mktemp("lake")
    asyncio.run(fill(Lake.open(str(path)), KINDS))
    prepare(path, "before")
    prepare(path, "again", description="the same")
    prepare(path, "shorter", splits={"train_end": "2024-02-10T00:00Z", "validation_end": "2024-02-20T00:00Z"})
    prepare(path, "ahead", leads=[1, 2], stride=12)
    asyncio.run(revise(Lake.open(str(path))))
    prepare(path, "after")
    return path


def compare(folder: Path, first: str, second: str) -> dict[str, Any]:
    """What differs between two sets of the lake."""

    async def both() -> dict[str, Any]:
        lake = Lake.open(str(folder))
        return compare_sets(await open_set(first, lake), await open_set(second, lake))

    return asyncio.run(both())


def test_sets_of_the_same_spec_and_files_are_equal(folder: Path) -> None:
    """Another name and description make no difference."""
    assert compare(folder, "before", "again") == {"equal": True, "reasons": []}


def test_a_revision_is_named_with_its_file_and_its_cells(folder: Path) -> None:
    """A file with other values for ten hours changes ten cells of the target, and of the input in the rows that show
    them; the comparison names the file, the hours and the reason."""
    comparison = compare(folder, "before", "after")
    (path,) = comparison["files"]["only_in_second"]
    assert path.startswith("demand/demand_")
    cells = comparison["locations"]["ISNE"]["cells"]
    begin = START + REVISED.start * HOUR
    assert cells["target eia/ISNE/demand"] == {
        "cells": 10,
        "of": DAYS * 24,
        "from": begin.isoformat(),
        "to": (begin + 9 * HOUR).isoformat(),
    }
    assert cells["eia/ISNE/demand-5h"]["cells"] == 10
    assert cells["eia/ISNE/demand-5h"]["from"] == (begin + 5 * HOUR).isoformat()
    assert set(cells) == {"target eia/ISNE/demand", "eia/ISNE/demand-5h"}
    assert "windows" not in comparison
    assert comparison["reasons"][0] == "Cells differ because they were made from other files (1 only in the second)"


def test_other_splits_change_scales_and_windows_but_no_cell(folder: Path) -> None:
    """Values are compared in their units: with other train hours, scales and windows differ, and no cell does."""
    comparison = compare(folder, "before", "shorter")
    location = comparison["locations"]["ISNE"]
    assert "cells" not in location
    assert location["scales"] == ["eia/ISNE/demand-5h", "eia/ISNE/demand_forecast_day_ahead+1h"]
    assert comparison["reasons"] == [
        "Scales differ because the specs differ in splits",
        "Windows differ because the specs differ in splits",
    ]


def test_columns_and_windows_of_one_set_only_are_listed(folder: Path) -> None:
    """Another lead is a column that one set lacks; windows of half the stride are counted by split, as in the files."""
    comparison = compare(folder, "before", "ahead")
    assert comparison["locations"]["ISNE"] == {"only_in_second": ["eia/ISNE/demand_forecast_day_ahead+2h"]}

    async def read() -> list[Any]:
        return [await open_set(name, Lake.open(str(folder))) for name in ("before", "ahead")]

    views = asyncio.run(read())
    for split in ("train", "test"):
        counts = [len(view.mapped[f"windows.{split}"]) for view in views]
        windows = comparison["windows"][split]
        assert windows["both"] + windows["only_in_first"] == counts[0]
        assert windows["both"] + windows["only_in_second"] == counts[1]
    assert comparison["windows"]["train"]["only_in_first"] == 0
    assert comparison["reasons"] == ["Windows differ because the specs differ in stride"]


def test_a_cell_that_was_changed_by_hand_is_found(folder: Path) -> None:
    """One altered value in the arrays of a set is found, and said to be unexplained."""

    async def read() -> dict[str, Any]:
        view = await open_set("before", Lake.open(str(folder)))
        values = np.array(view.mapped["values"])
        values[0, 77, 0] += 0.5
        return compare_sets(view, view._replace(mapped={**view.mapped, "values": values}))

    comparison = asyncio.run(read())
    ((name, counts),) = comparison["locations"]["ISNE"]["cells"].items()
    assert (name, counts["cells"]) == ("eia/ISNE/demand-5h", 1)
    assert comparison["reasons"] == [f"Cells differ because {UNEXPLAINED}"]


def test_the_command_prints_what_differs(folder: Path, tmp_path: Path) -> None:
    """`gridtide compare` ends with 0 for equal sets and with 1 for others; it prints text or JSON, and reads a set by
    its name or its folder."""
    config = tmp_path / "api_config.json"
    config.write_text(
        json.dumps({"lake": str(folder), "apis": [{"name": "a", "source": "synthetic", "output_folder": "a"}]})
    )
    run, options = CliRunner(), ["--config", str(config)]
    equal = run.invoke(app, ["compare", "before", str(folder / "features" / "again"), *options])
    assert (equal.exit_code, equal.stdout.splitlines()[0].endswith("are equal")) == (0, True)
    printed = run.invoke(app, ["compare", "before", "after", *options])
    assert printed.exit_code == 1
    assert printed.stdout == write_comparison(compare(folder, "before", "after"), ("before", "after")) + "\n"
    as_json = run.invoke(app, ["compare", "before", "after", "--json", *options])
    assert json.loads(as_json.stdout) == compare(folder, "before", "after")
    assert run.invoke(app, ["compare", "before", "none", *options]).exit_code == 1


def test_a_set_that_is_not_there_is_named(folder: Path) -> None:
    """A name without a set raises an error with it."""
    with pytest.raises(StorageError, match="nowhere"):
        compare(folder, "before", "nowhere")
