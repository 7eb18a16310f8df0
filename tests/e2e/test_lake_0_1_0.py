"""A lake that version 0.1.0 wrote can be read, resumed, compacted and used for training sets, with the values
written here."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from gridtide import curated, mlx_store, sandbox
from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.coverage.failed_periods import recall_failures
from gridtide.coverage.plan import plan_chunks
from gridtide.coverage.scopes import NOT_NOTED
from gridtide.entries.entry import Entry
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.sandbox.upstreams import list_secrets
from gridtide.training.preparation import prepare

FIXTURE = Path(__file__).parents[1] / "fixtures" / "lake_0_1_0"
CONFIG = parse(json.loads((FIXTURE / "api_config.json").read_text()))
SPEC = json.loads((FIXTURE / "spec.json").read_text())
DEMAND, WEATHER, LOAD = CONFIG.apis

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2024, 1, 25, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
INTERRUPTED = Period(datetime(2024, 3, 1, 12, tzinfo=UTC), datetime(2024, 3, 3, 4, tzinfo=UTC))

PORT = 18731
"""Where the sandbox stood that answered the page under raw/: its address is part of the name of the page."""

DEMAND_HEAD = [1000.0, 1001.0, 1002.0, 1003.0, 1004.0, 1005.0, 12378.0, 12303.0]
"""Six hours that were corrected, then what was collected."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the lake, with new modification times."""
    return shutil.copytree(FIXTURE / "lake", tmp_path / "lake", copy_function=shutil.copyfile)


async def values(lake: Lake, entry: Entry) -> list[float]:
    """All values of an entry in January and February."""
    table = await curated.read(lake, [entry], START, START + 30 * DAY)
    values: list[float] = table["value"].to_pylist()
    return values


def pinned_inputs(folder: Path) -> list[curated.Input]:
    """The inputs in the manifest of the training set."""
    manifest = json.loads((folder / "features" / "small" / "manifest.json").read_text())
    return [curated.Input(**fields) for fields in manifest["inputs"]]


async def assert_values(lake: Lake) -> None:
    """Check that the stored values are read."""
    demand, weather = await values(lake, DEMAND), await values(lake, WEATHER)
    assert (len(demand), demand[:8], demand[-3:], sum(demand)) == (
        *(312, DEMAND_HEAD),
        *([18312.0, 18972.0, 18954.0], 4684210.0),
    )
    assert (len(weather), weather[:3], weather[-3:]) == (48, [3.7, 2.6, 1.3], [2.9, 2.1, 1.0])
    assert sum(weather) == pytest.approx(74.9)


async def test_it_is_read(folder: Path) -> None:
    """Months, newer files and CSV files give the stored values; the superseded file does not count."""
    await assert_values(Lake.open(str(folder)))


async def test_its_files_cover_what_they_covered(folder: Path) -> None:
    """Nothing is asked for again; once an entry asks for more, a warning says that its files do not tell."""
    lake = Lake.open(str(folder))
    covered = Period(START, START + 13 * DAY)
    wider = msgspec.structs.replace(DEMAND, params={**DEMAND.params, "authority": ("ISNE", "CISO")})
    plan, wider_plan = [await plan_chunks(entry, covered, NOW + DAY, lake) for entry in (DEMAND, wider)]
    assert (plan.chunks, plan.warnings) == ([], [])
    assert wider_plan.chunks == []
    assert [warning.partition("; ")[0] for warning in wider_plan.warnings] == [
        f"5 files of 2024-01-25T00:00/2024-02-07T00:00 {NOT_NOTED}"
    ]
    again = await plan_chunks(wider, covered, NOW + DAY, lake, refresh=True)
    assert again.chunks == [(wider, covered)]


async def test_it_is_compacted(folder: Path) -> None:
    """A compaction adds only new files to months, and all values stay the same."""
    lake = Lake.open(str(folder))
    demand, weather = await curated.compact(lake, DEMAND), await curated.compact(lake, WEATHER)
    assert (demand.files, demand.rows, demand.months, demand.problems) == (1, 24, ["2024-02"], [])
    assert (weather.files, weather.rows, weather.months, weather.problems) == (2, 48, ["2024-01"], [])
    await assert_values(lake)
    assert (await curated.compact(lake, DEMAND)).files == 0


@pytest.mark.parametrize("compacting", [False, True])
async def test_a_set_is_prepared_from_it(folder: Path, compacting: bool) -> None:
    """From the current files and from those of the manifest, arrays and inputs equal the set of that version.

    Inputs that are known ahead are no longer filled forward from another hour: those cells are missing now.
    """
    before, inputs = load_file(folder / "features" / "small" / "sequences.safetensors"), pinned_inputs(folder)
    assert len(inputs) == 7
    lake = Lake.open(str(folder))
    if compacting:
        for entry in (DEMAND, WEATHER):
            await curated.compact(lake, entry)
    for given in (None, inputs):
        await prepare(SPEC, CONFIG, lake, inputs=given)
        after = load_file(folder / "features" / "small" / "sequences.safetensors")
        assert pinned_inputs(folder) == inputs
        assert after.keys() == before.keys()
        filled = before["quality"] != after["quality"]
        assert (int(filled.sum()), {*before["quality"][filled]}, {*after["quality"][filled]}) == (6, {2}, {0})
        for name in ("values", "quality"):
            np.copyto(after[name][..., : filled.shape[2]], before[name][..., : filled.shape[2]], where=filled)
        for name, array in before.items():
            np.testing.assert_allclose(after[name], array, rtol=1e-6, err_msg=name)


async def test_an_interrupted_collection_is_resumed(folder: Path) -> None:
    """The stored page is not requested again, and the failed period is read."""
    lake = Lake.open(str(folder))
    [failure] = await recall_failures(lake, LOAD)
    assert (failure.period, failure.attempts, failure.last) == (INTERRUPTED, 1, NOW)
    async with sandbox.run_sandbox(port=PORT) as url, Http(list_secrets()) as http:
        entry = sandbox.redirect(CONFIG, url).apis[2]
        done = await collect(entry, lake=lake, http=http, stamp=NOW + HOUR, period=INTERRUPTED, resume=True)
    assert (done.requests, done.reused, done.rows) == (1, 1, 144)
    assert done.file == "load/load_20240601_010000_20240301T1200_20240303T0400.parquet"
    table = await lake.read_table(done.file)
    assert table["value"].to_pylist()[:2] == [11994.747, 11967.178]


def test_its_training_set_is_read(folder: Path) -> None:
    """Batches hold the windows of its file, as that version wrote them."""
    path = folder / "features" / "small"
    arrays = load_file(path / "sequences.safetensors")
    batches = list(mlx_store.get_training_sequences(path, "train", batch_size=4, shuffle=False))
    starts = arrays["windows.train"][:, 1]
    assert sum(int((np.array(batch["start"]) >= 0).sum()) for batch in batches) == len(starts)
    first = starts[0]
    np.testing.assert_array_equal(np.array(batches[0]["x"])[0], arrays["values"][0, first : first + 24])
    np.testing.assert_array_equal(np.array(batches[0]["y"])[0], arrays["targets"][0, first + 24 : first + 30])
    np.testing.assert_array_equal(np.array(batches[0]["mask"])[0], arrays["mask"][0, first : first + 24])


def test_a_model_of_its_training_set_stays_in_service(folder: Path) -> None:
    """The hours of the set, made again from the lake in the columns and scales of that version."""
    path = folder / "features" / "small"
    arrays = load_file(path / "sequences.safetensors")
    context = mlx_store.get_real_time_context(
        path, 48, config=CONFIG, lake=str(folder), until=datetime(2024, 2, 5, tzinfo=UTC)
    )
    rows = slice(9 * 24, 11 * 24)  # of a set from January 25 on
    np.testing.assert_array_equal(np.array(context["mask"]), arrays["mask"][:, rows])
    np.testing.assert_allclose(np.array(context["x"]), arrays["values"][:, rows], rtol=1e-6)
