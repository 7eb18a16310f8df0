"""The clocks of stores other than S3, whose client does not give the headers of answers."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from obstore.store import AzureStore, GCSStore, MemoryStore, from_url

from gridtide.lake.connect import connect_store, find_clock_address, read_http_clock
from tests.support.upstreams.http_servers import serving

HOUR = timedelta(hours=1)


async def refuse(request: web.Request) -> web.Response:
    """Refuse a request without credentials, with a `Date` of three hours ago, as stores do."""
    late = format_datetime(datetime.now(UTC) - 3 * HOUR, usegmt=True)
    return web.Response(status=403, headers={"Date": late})


async def test_the_clock_of_azure_is_read_from_an_answer_of_any_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake of an `az://` address tells how far this clock is ahead of its store."""
    async with serving(refuse) as url:
        for name, text in (("ACCOUNT_NAME", "grid"), ("ACCOUNT_KEY", "a2V5"), ("ENDPOINT", url)):
            monkeypatch.setenv(f"AZURE_STORAGE_{name}", text)
        store = connect_store("az://lake/prefix", None, None, make=True)
        host, offset = await store.measure_clock(lambda: datetime.now(UTC)) or ("", timedelta())
    assert (host, round(offset / HOUR)) == ("127.0.0.1", 3)


def test_a_store_that_cannot_be_reached_has_no_clock() -> None:
    """That is no error: the run reports it at its first write."""
    assert read_http_clock("http://127.0.0.1:9/") == ("127.0.0.1", None)


def test_stores_are_asked_at_their_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google has one for all buckets, Azure one for each account, and other stores none that is known."""
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.delenv("AZURE_STORAGE_ENDPOINT", raising=False)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    google = from_url("gs://lake/prefix")
    assert isinstance(google, GCSStore)
    azure = AzureStore("lake", config={"azure_storage_account_name": "grid", "azure_storage_account_key": "a2V5"})
    assert [find_clock_address(client) for client in (google, azure, MemoryStore())] == [
        "https://storage.googleapis.com/",
        "https://grid.blob.core.windows.net/",
        None,
    ]
