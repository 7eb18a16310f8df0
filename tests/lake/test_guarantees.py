"""Stores that do not keep what a lake relies on are refused, by a probe and by the first file that is created."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from aiohttp import web

from gridtide.errors import StorageError
from gridtide.lake import Lake
from gridtide.lake.guarantees import verify_once
from tests.support.processes.s3_servers import S3RVER_KEY, serve_s3rver
from tests.support.upstreams.http_servers import serving

Spoil = Callable[["Asked"], "Asked | web.Response"]
"""What is wrong with a store: it changes a request, or answers it itself."""


@dataclass
class Asked:
    """A request to a store; `parts` are the paths of the files that were stored in parts before."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    parts: set[str] = field(default_factory=set)


@dataclass
class Front:
    """A server in front of S3 that passes requests on, `spoilt`, and counts them."""

    store: str
    spoil: Spoil = lambda asked: asked
    requests: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        """Pass the request on to the store."""
        body = await request.read()
        self.requests.append(f"{request.method} {request.path.rpartition('/')[2]}")
        query = dict(parse_qsl(request.query_string, keep_blank_values=True))
        headers = {name.lower(): text for name, text in request.headers.items()}
        if "uploads" in query:
            self.parts.add(request.path)
        changed = self.spoil(Asked(request.method, request.raw_path.partition("?")[0], query, headers, self.parts))
        if isinstance(changed, web.Response):
            return changed
        url = f"{self.store}{changed.path}?{urlencode(changed.query)}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(changed.method, url, data=body, headers=changed.headers) as reply,
        ):
            passed = {name: text for name, text in reply.headers.items() if name.lower() not in HOP_HEADERS}
            return web.Response(status=reply.status, body=await reply.read(), headers=passed)


HOP_HEADERS = ("transfer-encoding", "connection", "date", "server", "content-encoding")


def ignore_condition(asked: Asked) -> Asked:
    """As s3rver: a file is replaced although it is to be created."""
    asked.headers.pop("if-none-match", None)
    return asked


def ignore_condition_of_parts(asked: Asked) -> Asked:
    """Only a file that was stored in parts is replaced."""
    return ignore_condition(asked) if asked.path in asked.parts else asked


def find_every_name_taken(asked: Asked) -> Asked | web.Response:
    """Nothing can be created."""
    return web.Response(status=412) if "if-none-match" in asked.headers else asked


def ignore_range(asked: Asked) -> Asked:
    """The whole file is returned for every range."""
    asked.headers.pop("range", None)
    return asked


def shift_range(asked: Asked) -> Asked:
    """A range of the requested length from elsewhere is returned."""
    if asked.headers.get("range", "").startswith("bytes=5"):
        asked.headers["range"] = "bytes=0-1023"
    return asked


def return_beginning(asked: Asked) -> Asked:
    """The beginning of a file is returned for its end."""
    if asked.headers.get("range") == "bytes=-2048":
        asked.headers["range"] = "bytes=0-2047"
    return asked


def list_nothing(asked: Asked) -> Asked:
    """Listings do not have what was just stored."""
    if asked.query.get("prefix"):
        asked.query["prefix"] = "elsewhere/"
    return asked


def forget_pages(asked: Asked) -> Asked:
    """Every page of a listing is the first one."""
    asked.query.pop("continuation-token", None)
    return asked


def keep_deleted(asked: Asked) -> Asked | web.Response:
    """Nothing is deleted, and no error is returned."""
    if asked.method == "POST" and "delete" in asked.query:
        deleted = "<DeleteResult><Deleted><Key>any</Key></Deleted></DeleteResult>"
        return web.Response(text=deleted, content_type="application/xml")
    return web.Response(status=204) if asked.method == "DELETE" else asked


SPOILS: dict[Spoil, str] = {
    ignore_condition: "replaces a file that it was asked to create only if there is none",
    ignore_condition_of_parts: "replaces a file that it was asked to create only if there is none",
    find_every_name_taken: "states that a file exists that was never stored",
    ignore_range: "does not return the requested range of a file: Received non-partial response",
    shift_range: "does not return the requested range of a file: Requested .*, got 0..1024",
    return_beginning: "does not return the requested range of a file: Requested .*, got 0..2048",
    list_nothing: "does not list the files that were just stored",
    forget_pages: "does not list a folder in several answers: .*The same next token",
    keep_deleted: "still lists 3 of 3 files after they were deleted",
}


@pytest.fixture
async def front(bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Front]:
    """A server in front of the S3 of the session, which the environment names as the endpoint."""
    server = Front(s3_url)
    async with serving(server.answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield server


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
async def test_a_probe_refuses_a_store_that_does_not_do_what_a_lake_needs(
    front: Front, bucket: str, spoil: Spoil
) -> None:
    """Conditions, parts, ranges, listings, their pages and deletions are tested; the error names the store, what it
    does and a fix."""
    front.spoil = spoil
    lake = Lake.open(f"s3://{bucket}/lake")
    with pytest.raises(StorageError, match=SPOILS[spoil]) as refused:
        await lake.store.probe()
    assert str(refused.value).startswith(f"s3://{bucket}/lake")
    assert refused.value.fix


async def test_a_probe_of_a_store_that_does_leaves_nothing(front: Front, bucket: str) -> None:
    """The same requests pass where the store answers as S3 does, and all files of the probe are deleted."""
    lake = Lake.open(f"s3://{bucket}/lake")
    await lake.store.probe()
    assert await lake.store.list_objects("") == []


async def test_the_first_file_is_refused_by_a_store_that_replaces_files(front: Front, bucket: str) -> None:
    """No file is stored, however many are created at once, and each error names the store, what it does and a fix; the
    store is asked again when another file is to be created."""
    front.spoil = ignore_condition
    lake = Lake.open(f"s3://{bucket}/lake")
    for _ in range(2):
        errors = await asyncio.gather(
            *(lake.store.create(f"eia/{number}", b"1", "demand") for number in range(20)), return_exceptions=True
        )
        assert {str(error) for error in errors} == {
            f"{lake.store.name}: replaces a file that it was asked to create only if there is none "
            "(If-None-Match: *), so files would be lost. Use a store that keeps this promise, such as Amazon S3, "
            "MinIO, Cloudflare R2 or OpenStack Swift, or a newer version of this one"
        }
        assert await lake.store.list_objects("") == []
    front.spoil = lambda asked: asked
    assert await lake.store.create("eia/1", b"1", "demand")


async def test_a_store_is_asked_once_in_a_process(front: Front, bucket: str) -> None:
    """However many files are created at once, by however many clients, three requests are added to those for the
    files."""
    lakes = [Lake.open(f"s3://{bucket}/lake") for _ in range(2)]
    await asyncio.gather(*(lakes[number % 2].store.create(f"eia/{number}", b"1", "demand") for number in range(20)))
    assert len(front.requests) == 23
    await Lake.open(f"s3://{bucket}/lake").store.create("other/1", b"1", "demand")
    assert len(front.requests) == 24
    assert len(await lakes[0].store.list_objects("")) == 21


async def test_a_store_is_asked_again_by_a_process_that_was_interrupted(front: Front, bucket: str) -> None:
    """A file that a killed process left answers with one request, and no reader takes it for a file of the lake."""
    lake = Lake.open(f"s3://{bucket}/lake")
    await lake.store.put("eia/.create-only", b"", replace=True)
    await lake.store.create("eia/1", b"1", "demand")
    assert front.requests[-2:] == ["PUT .create-only", "PUT 1"]
    assert await lake.list_files("eia", "demand") == []


async def test_files_that_may_not_be_deleted_do_not_stop_a_collection(front: Front, bucket: str) -> None:
    """Credentials that may not delete can create files as before."""

    def forbid(asked: Asked) -> Asked | web.Response:
        if asked.method == "DELETE" or "delete" in asked.query:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        return asked

    front.spoil = forbid
    lake = Lake.open(f"s3://{bucket}/lake")
    assert await lake.store.create("eia/1", b"1", "demand")


async def test_a_folder_is_probed_and_left_as_it_was(tmp_path: Path) -> None:
    """On a local disk the probe passes, and neither it nor the first file leaves anything else."""
    lake = Lake.open(str(tmp_path / "lake"))
    await lake.store.probe()
    assert list((tmp_path / "lake").rglob("*")) == []
    await lake.store.create("eia/1", b"1", "demand")
    assert [path.name for path in (tmp_path / "lake").rglob("*")] == ["eia", "1"]


def test_threads_share_a_verification_and_its_error() -> None:
    """Of threads that need it at once, one verifies and all get its error; after it passed, nobody verifies."""
    begun, release, calls = threading.Event(), threading.Event(), []

    def refuse() -> None:
        calls.append(1)
        begun.set()
        release.wait()
        raise StorageError("store", "refused")

    errors: list[StorageError] = []

    def attempt() -> None:
        try:
            verify_once("a store of this test", refuse)
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(5)]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()
    assert len(errors) == 5
    verify_once("a store of this test", lambda: calls.append(2))
    verify_once("a store of this test", lambda: calls.append(3))
    assert calls[-1] == 2


@pytest.mark.slow
async def test_s3rver_is_refused(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """s3rver replaces files in silence: the probe and the first file say so, and nothing is stored."""
    import boto3

    with serve_s3rver(tmp_path / "s3rver") as url:
        for name, value in (("ENDPOINT_URL", url), ("ACCESS_KEY_ID", S3RVER_KEY), ("SECRET_ACCESS_KEY", S3RVER_KEY)):
            monkeypatch.setenv(f"AWS_{name}", value)
        boto3.Session(region_name="us-east-1").client("s3").create_bucket(Bucket=bucket)
        lake = Lake.open(f"s3://{bucket}/lake")
        for attempt in (lake.store.probe(), lake.store.create("eia/1", b"1", "demand")):
            with pytest.raises(StorageError, match=rf"^s3://{bucket}/lake at {url}: replaces a file .* Use a store"):
                await attempt
        assert await lake.store.list_objects("") == []
