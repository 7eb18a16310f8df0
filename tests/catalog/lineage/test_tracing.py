"""Lineage: from a training set back to its files and bodies, and from a body or file to all that used it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from deployments.cli.lineage import write_lineage
from gridtide import curated
from gridtide.catalog.lineage.tracing import FileLineage, Lineage, trace_lineage
from gridtide.catalog.lineage.training_sets import read_sets
from gridtide.collect.collection import collect
from gridtide.curated.months import list_months
from gridtide.entries.entry import Entry
from gridtide.entries.shifts import Shift
from gridtide.errors import StorageError, TrainingError, UpstreamError
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.training import preparation
from tests.support.grids import configuration, every_kind, fill
from tests.support.upstreams.eia_upstream import HOURS, JANUARY, StartUpstream

STAMP = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WHOLE = Period(JANUARY, JANUARY + timedelta(hours=HOURS))


async def gather(entry: Entry, lake: Lake, stamp: datetime = STAMP, **options: Any) -> str:
    """The path of the file of a collection of all hours of `entry`."""
    async with Http({"EIA_API_KEY": "s3cret-key"}) as http:
        collected = await collect(entry, lake=lake, http=http, stamp=stamp, period=WHOLE, **options)
    assert collected.file
    return collected.file


def manifest(name: str, **hashes: str) -> bytes:
    """A manifest of the set `name`, made from the files with these content hashes by path."""
    inputs = [{"entry": "demand", "path": path, "content_hash": content} for path, content in hashes.items()]
    return json.dumps(
        {
            "spec": {"name": name},
            "fingerprint": "f" * 64,
            "period": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"],
            "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"]}],
            "versions": {"gridtide": "0.1.0"},
            "inputs": inputs,
        }
    ).encode()


async def only_file(lake: Lake, subject: str) -> FileLineage:
    """The only file in the lineage of `subject`."""
    (file,) = (await trace_lineage(lake, subject)).files
    return file


async def test_a_file_names_its_bodies_with_their_hashes(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """The lineage of a file lists every kept body of its collection, with the SHA-256 of its bytes and its request."""
    _, entry = await eia_upstream(HOURS)
    lake = Lake.open(str(tmp_path))
    path = await gather(entry, lake)
    await gather(entry, lake, STAMP + timedelta(days=3))  # another collection of the same period
    lineage = await only_file(lake, path)
    own = [file for file in (tmp_path / "raw").rglob("*.zst") if f"{STAMP:%Y%m%d_%H%M%S}" in str(file)]
    assert len(own) == 4
    assert {body.path: body.sha256 for body in lineage.bodies} == {
        str(file.relative_to(tmp_path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in own
    }
    assert {body.url for body in lineage.bodies} == {entry.url}
    assert (lineage.state, lineage.rows, lineage.entry) == ("present", HOURS, "demand")


async def test_a_resumed_collection_has_the_bodies_of_both_attempts(
    eia_upstream: StartUpstream, tmp_path: Path
) -> None:
    """A file of a run that resumed an earlier one was made from the bodies of both attempts."""
    upstream, entry = await eia_upstream(HOURS, concurrency=1, retries=1)
    lake = Lake.open(str(tmp_path))
    upstream.fault = lambda ordinal, request: web.Response(status=503) if ordinal > 3 else None
    with pytest.raises(UpstreamError):
        await gather(entry, lake)
    upstream.fault = lambda ordinal, request: None
    path = await gather(entry, lake, STAMP + timedelta(hours=1), resume=True)
    bodies = (await only_file(lake, path)).bodies
    assert sorted(f"{STAMP:%Y%m%d_%H%M%S}" in body.folder for body in bodies) == [False, True, True, True]
    anew = await gather(entry, lake, STAMP + timedelta(hours=2))
    assert {body.folder for body in (await only_file(lake, anew)).bodies} == {
        f"raw/{entry.output_folder}/{'_'.join(anew.rpartition('/')[2].removesuffix('.parquet').split('_')[-2:])}/"
        f"{anew.rpartition('/')[2].removesuffix('.parquet')}"
    }


async def test_a_body_leads_to_all_that_used_it(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """From a body to its file, from there to its months and sets; from a month back to its files."""
    _, entry = await eia_upstream(HOURS)
    lake = Lake.open(str(tmp_path))
    path = await gather(entry, lake)
    (pinned,) = await curated.list_inputs(lake, [entry], WHOLE)
    await lake.store.put("features/first/manifest.json", manifest("first", **{path: pinned.content_hash}))
    await lake.store.put("features/other/manifest.json", manifest("other"))
    await curated.compact(lake, entry)
    body = next((tmp_path / "raw").rglob("*.zst")).relative_to(tmp_path)
    traced = await trace_lineage(lake, str(body))
    assert (traced.kind, [file.path for file in traced.files]) == ("body", [path])
    (file,) = traced.files
    assert (file.sets, file.months) == (["first"], list_months(WHOLE))
    month = await trace_lineage(lake, f"processed/{entry.output_folder}/{entry.file_prefix}/2024/2024-01.parquet")
    assert (month.kind, [file.path for file in month.files]) == ("month", [path])


async def test_a_set_tells_which_of_its_files_are_no_longer_as_they_were(
    eia_upstream: StartUpstream, tmp_path: Path
) -> None:
    """A file of a set is present, changed or missing; a superseded one says so."""
    _, entry = await eia_upstream(HOURS)
    lake = Lake.open(str(tmp_path))
    paths = [await gather(entry, lake, STAMP + timedelta(days=number)) for number in range(3)]
    hashes = {pinned.path: pinned.content_hash for pinned in await curated.list_inputs(lake, [entry], WHOLE)}
    hashes[paths[1]] = "0" * 64
    await lake.supersede(paths[2])
    gone = f"{entry.output_folder}/{entry.file_prefix}_20200101_000000.parquet"
    await lake.store.put("features/mixed/manifest.json", manifest("mixed", **hashes, **{gone: "1" * 64}))
    lineage = await trace_lineage(lake, "mixed")
    states = {file.path: file.state for file in lineage.files}
    assert states == {paths[0]: "present", paths[1]: "changed", paths[2]: "superseded", gone: "missing"}
    assert lineage.training_set is not None
    assert lineage.training_set.targets == ("eia/ISNE/demand",)
    assert (await only_file(lake, gone)).sets == ["mixed"]


async def test_a_pruned_file_is_known_from_its_months(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A file that was removed after it was compacted keeps its hash, bodies and months."""
    _, entry = await eia_upstream(HOURS)
    lake = Lake.open(str(tmp_path))
    path = await gather(entry, lake)
    before = await only_file(lake, path)
    await curated.compact(lake, entry)
    await curated.prune(lake, entry, datetime.now(UTC) + timedelta(days=90))
    after = await only_file(lake, path)
    assert after.state == "removed"
    assert (after.content_hash, after.bodies, after.months) == (before.content_hash, before.bodies, list_months(WHOLE))


async def test_a_prepared_set_leads_to_its_files(tmp_path: Path) -> None:
    """The lineage of a set that was prepared names exactly the files of its manifest, all as they were."""
    kinds = every_kind(30)
    lake, config = Lake.open(str(tmp_path)), configuration(kinds)
    await fill(lake, kinds)
    spec = {
        "name": "small",
        "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}],
        "seq_len": 48,
        "horizon": 24,
        "leads": [1, 24],
        "pictures": False,
    }
    await preparation.prepare(spec, config, lake)
    for subject in ("small", "features/small/manifest.json"):
        lineage: Lineage = await trace_lineage(lake, subject)
        stored = json.loads(await lake.store.read("features/small/manifest.json"))
        assert {file.path: file.content_hash for file in lineage.files} == {
            file["path"]: file["content_hash"] for file in stored["inputs"]
        }
        assert {file.state for file in lineage.files} == {"present"}
        assert {tuple(file.sets) for file in lineage.files} == {("small",)}


async def test_a_set_tells_what_was_corrected_as_it_was_read(tmp_path: Path) -> None:
    """The lineage of a set names its shifted series with the bounds, as JSON and as text."""
    kinds = {"demand": every_kind(30)["demand"]}
    lake, config = Lake.open(str(tmp_path)), configuration(kinds)
    await fill(lake, kinds)
    shift = Shift(by=timedelta(hours=-1), since="2024-01-01", series="eia/ISNE/*")
    shifted = tuple(msgspec.structs.replace(entry, shift=shift) for entry in config.apis)
    spec = {
        "name": "shifted",
        "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}],
        "seq_len": 48,
        "horizon": 24,
        "pictures": False,
    }
    await preparation.prepare(spec, msgspec.structs.replace(config, apis=shifted), lake)
    lineage = await trace_lineage(lake, "shifted")
    (record,) = lineage.as_dict()["set"]["corrections"]["shifts"]
    assert (record["series"], record["by"], record["from"]) == ("eia/ISNE/demand", "-PT1H", "2024-01-01")
    assert "  corrected: eia/ISNE/demand, read PT1H earlier from 2024-01-01" in write_lineage(lineage).splitlines()


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        ("nothing", TrainingError),
        ("eia_demand/demand_20260102_030405.parquet", StorageError),
        ("raw/eia_demand/demand_20260102_030405/0011223344556677.zst", StorageError),
        ("processed/eia_demand/demand/2024/2024-01.parquet", StorageError),
    ],
)
def test_what_is_not_there_is_an_error_with_a_fix(subject: str, error: type[Exception], tmp_path: Path) -> None:
    """A subject that the lake does not have is refused."""
    with pytest.raises(error) as caught:
        asyncio.run(trace_lineage(Lake.open(str(tmp_path)), subject))
    assert caught.value.fix  # type: ignore[attr-defined]


async def test_a_damaged_manifest_hides_no_other_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A manifest that cannot be read is left out with a warning."""
    lake = Lake.open(str(tmp_path))
    await lake.store.put("features/good/manifest.json", manifest("good"))
    await lake.store.put("features/bad/manifest.json", b'{"spec": {}}')
    await lake.store.put("features/worse/manifest.json", b"{")
    await lake.store.put("features/parts/a.txt", b"")
    assert [record.name for record in await read_sets(lake)] == ["good"]
    assert "features/worse/manifest.json" in caplog.text
