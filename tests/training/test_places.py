"""Training sets of lakes that may only be read, that cannot be written, or that were copied."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import numpy as np
import pytest
from aiohttp import web

from deployments.cli.status import read_status
from gridtide import curated, mlx_store
from gridtide.errors import StorageError
from gridtide.lake import Lake
from gridtide.training import preparation
from tests.support.grids import START, configuration, every_kind, fill
from tests.support.upstreams.http_servers import serving

DAYS = 30
KINDS = {name: kind for name, kind in every_kind(DAYS).items() if name in ("demand", "day_ahead")}
CONFIG = configuration(KINDS)
SPEC: dict[str, Any] = {
    "name": "small",
    "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}],
    "seq_len": 48,
    "horizon": 24,
    "pictures": False,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lake with CSV and Parquet files."""
    asyncio.run(fill(Lake.open(str(tmp_path / "lake")), KINDS))
    return tmp_path / "lake"


def contents(folder: Path) -> dict[str, bytes]:
    """All files in `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_may_be_written_elsewhere_than_it_is_read(folder: Path, tmp_path: Path) -> None:
    """The lake stays as it was, with no file or folder more; the set is the same to the byte as one in the lake."""
    before = sorted(folder.rglob("*"))
    out = Lake.open(str(tmp_path / "out"))
    report = asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(str(folder), make=False), out=out))
    assert sorted(folder.rglob("*")) == before
    assert report == asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(str(folder))))
    assert contents(tmp_path / "out") == {
        name: body for name, body in contents(folder).items() if name.startswith("features/")
    }


def test_what_cannot_be_written_is_refused_before_the_series_are_read(folder: Path) -> None:
    """The error names the folder, and `--out` as the way around."""
    (folder / "features").symlink_to("/proc/nowhere")  # where not even root makes a folder

    async def make(*_: object) -> list[Any]:
        raise AssertionError("the series are read")

    with pytest.raises(StorageError, match=r"features/small: cannot be written in .* gridtide prepare --out FOLDER"):
        asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(str(folder)), make=make))


def test_a_copy_whose_times_changed_is_the_same_lake(folder: Path, tmp_path: Path) -> None:
    """Compacted and copied, with all times moved to the past: status and training set are those of the original."""
    original = Lake.open(str(folder))
    for entry in CONFIG.apis:
        asyncio.run(curated.compact(original, entry))
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (0, 0))
    copied = Lake.open(str(tmp_path / "copy"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    status_of_copy, status = (asyncio.run(read_status(CONFIG.apis, lake, now)) for lake in (copied, original))
    assert status_of_copy == status
    report_of_copy, report = (asyncio.run(preparation.prepare(SPEC, CONFIG, lake)) for lake in (copied, original))
    assert report_of_copy == report
    assert contents(tmp_path / "copy") == contents(folder)


async def test_a_lake_that_is_synced_to_a_bucket_is_the_same_lake(bucket: str, folder: Path, tmp_path: Path) -> None:
    """A copy by another tool, object by object in any order, with months, state and index: what it covers and the set
    that is made from it are those of the folder, and a pinned set of the folder is made from the bucket."""
    original, synced = Lake.open(str(folder)), Lake.open(f"s3://{bucket}/lake")
    for entry in CONFIG.apis:
        await curated.compact(original, entry)
    report = await preparation.prepare(SPEC, CONFIG, original)
    for name, body in sorted(contents(folder).items(), reverse=True):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"lake/{name}", Body=body)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert await read_status(CONFIG.apis, synced, now) == await read_status(CONFIG.apis, original, now)
    out = Lake.open(str(tmp_path / "out"))
    assert await preparation.prepare(SPEC, CONFIG, synced, out=out) == report
    features = {name: body for name, body in contents(folder).items() if name.startswith("features/")}
    assert contents(tmp_path / "out") == features


async def test_a_bucket_that_may_only_be_read_serves_everything_but_writing(
    bucket: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With credentials that S3 lets list and get only: status, reading, a set elsewhere, the newest hours."""
    await fill(Lake.open(f"s3://{bucket}"), KINDS)

    async def answer(request: web.Request) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>Denied</Message></Error>")
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, f"{s3_url}{request.raw_path}", headers=headers) as answered,
        ):
            body = await answered.read()
            hidden = {"transfer-encoding", "connection", "server", "date"}
            copied = {name: value for name, value in answered.headers.items() if name.lower() not in hidden}
            return web.Response(status=answered.status, body=body, headers=copied)

    async with serving(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url.rstrip("/"))
        lake = Lake.open(f"s3://{bucket}")
        (status, *_) = await read_status(CONFIG.apis, lake, datetime(2026, 1, 1, tzinfo=UTC))
        assert (status.files, status.problems) == (3, ())
        rows = await curated.read(lake, CONFIG.apis, START, START + timedelta(days=1))
        assert rows.num_rows == 48
        with pytest.raises(StorageError, match=r"Denied \(AccessDenied\).*--out FOLDER"):
            await preparation.prepare(SPEC, CONFIG, lake)
        report = await preparation.prepare(SPEC, CONFIG, lake, out=Lake.open(str(tmp_path)))
        until = START + timedelta(days=DAYS)
        context = await asyncio.to_thread(
            mlx_store.get_real_time_context, tmp_path / report["path"], 24, config=CONFIG, lake=lake, until=until
        )
    assert np.array(context["mask"]).any()
