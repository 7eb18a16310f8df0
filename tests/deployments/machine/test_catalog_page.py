"""The page of the catalogue over HTTP, from the lake."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import aiohttp
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from deployments.machine.catalog_page import CATALOG_ADDRESS, read_page_address, serving_page
from gridtide.catalog.page.rendering import render_pages
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from tests.support.pages.pictures import picture
from tests.support.processes.browsers import started_browser
from tests.support.processes.s3_servers import free_port


def write_page(folder: Path) -> Lake:
    """A lake that has the page, a secret file above it, and a file of another kind beside it."""
    for name, body in render_pages(picture()).items():
        (folder / "catalog" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "catalog" / name).write_bytes(body)
    (folder / "catalog/quality.parquet").write_bytes(b"PAR1")
    (folder / "private.json").write_text("{}")
    return Lake.open(str(folder))


async def fetch(url: str) -> tuple[int, str, bytes]:
    """Status, media type and body at `url`, which is sent as it is."""
    from yarl import URL

    async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True)) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_the_page_and_what_it_loads_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/` leads to the page, all that it loads is served as it is in the lake, and nothing else of the lake is."""
    monkeypatch.setenv(CATALOG_ADDRESS, str(free_port()))
    lake = write_page(tmp_path)
    scripts = await asyncio.to_thread(lambda: list((tmp_path / "catalog").rglob("*.js")))
    assert len(scripts) > 2
    async with serving_page(lake) as url:
        assert url is not None
        assert await fetch(url) == (200, "text/html", (tmp_path / "catalog/index.html").read_bytes())
        for path in scripts:
            answer = await fetch(f"{url}{path.relative_to(tmp_path).as_posix()}")
            assert answer == (200, "text/javascript", path.read_bytes())
        for name in (
            "catalog/quality.parquet",
            "catalog/../private.json",
            "catalog/%2e%2e/private.json",
            "private.json",
        ):
            assert (await fetch(url + name))[0] == 404, name


async def test_a_lake_without_a_page_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first run of the flow `catalog` the answer names the command."""
    monkeypatch.setenv(CATALOG_ADDRESS, str(free_port()))
    async with serving_page(Lake.open(str(tmp_path))) as url:
        status, _, body = await fetch(str(url))
    assert status == 404
    assert b'"gridtide catalog" makes it now' in body


async def test_an_address_in_use_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Runs are served also if the port of the page is taken; `off` serves none, and what is no address is refused."""
    with socket.create_server(("127.0.0.1", 0)) as server, caplog.at_level(logging.WARNING, "gridtide"):
        monkeypatch.setenv(CATALOG_ADDRESS, str(server.getsockname()[1]))
        async with serving_page(Lake.open(str(tmp_path))) as url:
            assert url is None
    assert [f"set {CATALOG_ADDRESS} to another port" in record.message for record in caplog.records] == [True]
    monkeypatch.setenv(CATALOG_ADDRESS, "off")
    async with serving_page(Lake.open(str(tmp_path))) as url:
        assert url is None
    monkeypatch.setenv(CATALOG_ADDRESS, "here")
    with pytest.raises(ConfigurationError, match=f"{CATALOG_ADDRESS}: 'here' is no address"):
        read_page_address()


@pytest.mark.slow
async def test_the_served_page_works_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP a series opens with its plot, and the browser logs no error."""
    monkeypatch.setenv(CATALOG_ADDRESS, str(free_port()))

    def look(url: str) -> tuple[str, list[str]]:
        with started_browser() as chrome:
            chrome.get(f"{url}catalog/index.html#/series/demand_0/eia%2FB0001%2Fdemand")
            ready = "return document.querySelector('main svg') && !document.querySelector('[aria-busy]')"
            WebDriverWait(chrome, 20).until(lambda opened: opened.execute_script(ready))
            severe = [entry["message"] for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
            return chrome.find_element(By.CSS_SELECTOR, "main").text, severe

    async with serving_page(write_page(tmp_path)) as url:
        text, errors = await asyncio.to_thread(look, str(url))
    assert "eia/B0001/demand" in text
    assert [message for message in errors if "favicon" not in message] == []
