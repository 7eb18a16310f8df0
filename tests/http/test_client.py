"""The HTTP client, against a real local server."""

import asyncio
import html
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry, RateLimit
from gridtide.errors import (
    ConfigurationError,
    CredentialsError,
    GridtideError,
    QuotaError,
    StorageError,
    UpstreamError,
)
from gridtide.http.client import Http
from gridtide.http.credentials import build_credentials
from gridtide.http.error_statuses import classify_status
from gridtide.http.limits import LocalLimiter
from gridtide.sources.contract import Request, Response

URL = "https://grid.example/"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers every path with a handler; returns its URL."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/"))

    yield start
    for server in servers:
        await server.close()


def an_entry(url: str, **keys: Any) -> Entry:
    """A generic entry at `url`."""
    api = {"name": "grid", "url": url, "output_folder": "grid", "source": "generic", **keys}
    return parse({"apis": [api]}).apis[0]


async def body_of(answer: Response) -> bytes:
    """Return the body of the answer."""
    return answer.body


async def fetch(entry: Entry, secrets: dict[str, str] | None = None, url: str | None = None) -> bytes:
    """Send one request of `entry` in a new session."""
    async with Http(secrets or {}) as http:
        return await http.fetch(entry, Request(url or entry.url, label="page"), body_of)


def answers(*responses: Callable[[], web.StreamResponse]) -> tuple[Handler, list[web.Request]]:
    """A handler that returns `responses` in turn (the last one again and again), and the list of its requests."""
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return responses[min(len(asked), len(responses)) - 1]()

    return handler, asked


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
async def test_what_may_pass_is_retried(serve: Serve, status: int) -> None:
    """A temporary error costs one more request, and the answer is complete."""
    handler, asked = answers(lambda: web.Response(status=status), lambda: web.Response(text="rows"))
    assert await fetch(an_entry(await serve(handler))) == b"rows"
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, "<html>401</html>", CredentialsError),
        (
            403,
            '{"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied."}}',
            CredentialsError,
        ),
        (400, '{"error": true, "reason": "Parameter out of range"}', ConfigurationError),
        (404, '{"error": "Not found.", "code": 404}', ConfigurationError),
        (500, '{"error": "Not found.", "code": 404}', ConfigurationError),
    ],
)
async def test_what_cannot_pass_is_not_retried(
    serve: Serve, status: int, body: str, expected: type[GridtideError]
) -> None:
    """401, 403, 400, 404 and EIA's 500 that means 404 are requested once; the error contains the upstream's message."""
    handler, asked = answers(lambda: web.Response(status=status, text=body))
    with pytest.raises(expected, match=rf"grid: page: HTTP {status}, the upstream says: \w+") as caught:
        await fetch(an_entry(await serve(handler), source="eia", auth={"kind": "none"}))
    assert ".." not in str(caught.value)
    assert len(asked) == 1


async def test_the_number_of_attempts_is_bounded(serve: Serve) -> None:
    """`retries` is the number of HTTP attempts; the last error is raised."""
    handler, asked = answers(lambda: web.Response(status=503, text="down"))
    with pytest.raises(UpstreamError, match="HTTP 503, the upstream says: down"):
        await fetch(an_entry(await serve(handler), retries=3))
    assert len(asked) == 3


async def test_a_cut_body_is_asked_again(serve: Serve) -> None:
    """A body shorter than its Content-Length is requested again."""
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked > 1:
            return web.Response(text="whole")
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    assert await fetch(an_entry(await serve(handler))) == b"whole"
    assert asked == 2


async def test_a_reset_connection_is_asked_again(serve: Serve) -> None:
    """A connection that breaks before the answer is a temporary error."""
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked < 3:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="rows")

    assert await fetch(an_entry(await serve(handler))) == b"rows"
    assert asked >= 3


async def test_silence_ends_in_a_timeout(serve: Serve) -> None:
    """An upstream that never answers is given up after `timeout`, and the error says so."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    with pytest.raises(UpstreamError, match=r"grid: page: no answer from 127\.0\.0\.1 within 0\.2 s"):
        await fetch(an_entry(await serve(handler), timeout=0.2, retries=1))


async def test_an_unreachable_host_is_named() -> None:
    """A closed port is an upstream error that names host and port."""
    with pytest.raises(UpstreamError, match=r"grid: 127\.0\.0\.1:1 cannot be reached"):
        await fetch(an_entry("http://127.0.0.1:1/x", retries=1))


async def test_an_unreadable_body_is_asked_again(serve: Serve) -> None:
    """An `UpstreamError` of the reader counts as a failed attempt."""
    handler, asked = answers(lambda: web.Response(text="<html>maintenance"), lambda: web.Response(text="[]"))
    entry = an_entry(await serve(handler))

    async def read(answer: Response) -> bytes:
        if answer.body.startswith(b"<"):
            raise UpstreamError("grid", "no JSON")
        return answer.body

    async with Http({}) as http:
        assert await http.fetch(entry, Request(entry.url), read) == b"[]"
    assert len(asked) == 2


async def test_a_told_wait_is_kept(serve: Serve) -> None:
    """The wait of Retry-After passes before the next attempt."""
    handler, _ = answers(
        lambda: web.Response(status=429, headers={"Retry-After": "1"}), lambda: web.Response(text="rows")
    )
    started = time.monotonic()
    assert await fetch(an_entry(await serve(handler))) == b"rows"
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        ("<html><body><p>Acceptable Use Policy Violation. Please retry your request after 5 seconds.</p>", 5, 5),
        ('{"reason":"Minutely API request limit exceeded. Please try again in one minute.","error":true}', 60, 60),
        ('{"reason":"Hourly API request limit exceeded. Please try again in the next hour.","error":true}', 0, 3600),
        ('{"reason":"Daily API request limit exceeded. Please try again tomorrow.","error":true}', 0, 86400),
    ],
)
def test_the_upstreams_words_for_waiting_are_understood(body: str, low: float, high: float) -> None:
    """The waits that CAISO and Open-Meteo give in words are respected."""
    entry = an_entry(URL, source="caiso" if body.startswith("<") else "open_meteo")
    error = classify_status(entry, "page", 429, {}, body.encode())
    assert isinstance(error, QuotaError)
    assert error.wait is not None
    assert low <= error.wait <= high


def test_an_error_body_nested_without_end_is_told_as_text() -> None:
    """An error body nested too deeply to be parsed is shown as text, with the error of its status."""
    assert isinstance(classify_status(an_entry(URL), "page", 503, {}, b"[" * 10_000), UpstreamError)


def test_a_used_up_key_is_a_quota_even_in_the_shape_of_a_403() -> None:
    """EIA's OVER_RATE_LIMIT under 403 is a quota error, not one of credentials."""
    body = b'{"error": {"code": "OVER_RATE_LIMIT", "message": "too many"}}'
    assert isinstance(classify_status(an_entry(URL, source="eia"), "page", 403, {}, body), QuotaError)


async def test_a_long_wait_is_left_to_the_caller(serve: Serve) -> None:
    """A request does not wait until tomorrow; it raises an error with the wait."""
    handler, asked = answers(lambda: web.Response(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(QuotaError):
        await fetch(an_entry(await serve(handler)))
    assert len(asked) == 1


KEY = {"auth": {"kind": "api_key", "env": "GRID_KEY"}}


async def test_the_key_travels_in_a_header(serve: Serve) -> None:
    """An API key is sent in X-Api-Key, never in the URL."""
    handler, asked = answers(lambda: web.Response(text="rows"))
    await fetch(an_entry(await serve(handler), **KEY), {"GRID_KEY": "s3cret"})
    assert asked[0].headers["X-Api-Key"] == "s3cret"
    assert "s3cret" not in str(asked[0].url)


@pytest.mark.parametrize("key", ["s3cret\n", "s3cret\udce9", "s3\x00cret"])
async def test_credentials_that_are_no_text_say_which(serve: Serve, key: str) -> None:
    """A key with a line break is refused before any request, and the message does not contain the key."""
    handler, asked = answers(lambda: web.Response(text="rows"))
    with pytest.raises(CredentialsError, match="the environment variable GRID_KEY holds a line break") as caught:
        await fetch(an_entry(await serve(handler), **KEY), {"GRID_KEY": key})
    assert "s3" not in str(caught.value)
    assert not asked


async def test_missing_credentials_say_what_to_set(serve: Serve) -> None:
    """Without the variable no request is sent, and the message names the variable."""
    handler, asked = answers(lambda: web.Response(text="rows"))
    with pytest.raises(CredentialsError, match="grid: the environment variable GRID_KEY is not set"):
        await fetch(an_entry(await serve(handler), **KEY))
    assert not asked


async def test_an_echoed_key_is_cut_out_of_the_body(serve: Serve) -> None:
    """A key that the upstream repeats in its answer is removed from the body."""
    handler, _ = answers(lambda: web.Response(text='{"api_key":"s3c\\/ret","x":"s3c/ret"}'))
    body = await fetch(an_entry(await serve(handler), **KEY), {"GRID_KEY": "s3c/ret"})
    assert body == b'{"api_key":"REDACTED","x":"REDACTED"}'


async def test_an_error_message_holds_no_secret(serve: Serve) -> None:
    """The upstream's message about a refused key is shown without the key."""
    handler, _ = answers(lambda: web.Response(status=403, text='{"error":"key s3cret-key is unknown"}'))
    with pytest.raises(CredentialsError, match="key REDACTED is unknown") as caught:
        await fetch(an_entry(await serve(handler), **KEY), {"GRID_KEY": "s3cret-key"})
    assert "s3cret" not in repr(caught.value.args)


async def test_headers_that_tell_of_pages_are_kept(serve: Serve) -> None:
    """In lower case, several links together; others, such as of quotas and cookies, are not."""
    kept = {"X-Total-Count": "480", "X-WP-TotalPages": "3", "X-Has-More": "true", "Content-Range": "items 0-1/480"}
    others_sent = {"X-RateLimit-Remaining": "7", "Set-Cookie": "a=b", "X-Request-Id": "17"}
    links = [("Link", '</first>; rel="first"'), ("Link", '</next>; rel="next"')]
    handler, _ = answers(lambda: web.Response(text="rows", headers=[*(kept | others_sent).items(), *links]))

    async def headers_of(answer: Response) -> dict[str, str]:
        return dict(answer.headers)

    async with Http({}) as http:
        entry = an_entry(await serve(handler))
        headers = await http.fetch(entry, Request(entry.url, label="page"), headers_of)
    usual = {"content-type", "content-length", "date"}
    assert {name: text for name, text in headers.items() if name not in usual} == {
        **{name.lower(): text for name, text in kept.items()},
        "link": '</first>; rel="first", </next>; rel="next"',
    }


async def test_redirects_keep_credentials_on_their_host(serve: Serve) -> None:
    """A redirect within the host sends the key again; one to another host or port does not."""
    foreign, foreign_asked = answers(lambda: web.Response(text="foreign"))
    there = await serve(foreign)

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/start":
            raise web.HTTPFound("/moved")
        assert request.headers["X-Api-Key"] == "s3cret"
        raise web.HTTPTemporaryRedirect(there)

    entry = an_entry(await serve(handler) + "start", **KEY)
    assert await fetch(entry, {"GRID_KEY": "s3cret"}) == b"foreign"
    assert "X-Api-Key" not in foreign_asked[0].headers


@pytest.mark.parametrize("target", ["http://host:99999/", "http://[::1", "file:///etc/passwd"])
async def test_a_redirect_to_nowhere_is_refused(serve: Serve, target: str) -> None:
    """A redirect to an invalid URL is an error that is not retried."""
    handler, asked = answers(lambda: web.Response(status=302, headers={"Location": target}))
    with pytest.raises(ConfigurationError, match="cannot be asked"):
        await fetch(an_entry(await serve(handler)))
    assert len(asked) == 1


async def test_a_host_that_is_none_is_named() -> None:
    """A host name that cannot be resolved is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match=r"grid: a\.\.b cannot be asked"):
        await fetch(an_entry("http://a..b/"))


async def test_an_endless_redirect_ends(serve: Serve) -> None:
    """A circle of redirects is an error."""
    handler, asked = answers(lambda: web.Response(status=302, headers={"Location": "/again"}))
    with pytest.raises(UpstreamError, match="redirects in circles"):
        await fetch(an_entry(await serve(handler), retries=1))
    assert len(asked) == 6


async def test_a_body_over_the_limit_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is refused as soon as its decompressed size exceeds the limit."""
    monkeypatch.setattr("gridtide.http.client.BODY_LIMIT", 1000)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"0" * 100_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    with pytest.raises(ConfigurationError, match="larger than"):
        await fetch(an_entry(await serve(handler)))


@pytest.mark.parametrize("line_length", [40, 10_000])
async def test_a_large_body_is_a_file_without_credentials(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, line_length: int
) -> None:
    """Of a source that reads files, a large body is the same bytes in a file, in which no credential is, wherever the
    pieces end that it comes in; and it is read from the start by several readers at once."""
    monkeypatch.setattr("gridtide.http.client.RECEIVED_IN_MEMORY", 1000)
    secret = "abcdef-0123456789"
    lines = [f"{number:09},{secret},".ljust(line_length, "x") for number in range(2000)]

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        body = "\n".join(lines).encode()
        for start in range(0, len(body), 997):
            await response.write(body[start : start + 997])
        return response

    async def read_twice(answer: Response) -> tuple[bytes, bytes, bytes]:
        with answer.open() as first, answer.open() as second:
            beginning = first.read(100)
            return answer.body, beginning + first.read(), second.read()

    entry = an_entry(await serve(handler), **KEY)
    async with Http({"GRID_KEY": secret}) as http:
        body, first, second = await http.fetch(entry, Request(entry.url), read_twice)
    assert body == b""
    assert first == second == "\n".join(lines).replace(secret, "REDACTED").encode()


async def test_a_full_disk_is_named_where_a_large_body_is_received(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for the draft of a file, the error names the entry, the folder and the variable."""
    monkeypatch.setattr("gridtide.http.client.RECEIVED_IN_MEMORY", 1000)
    (tmp_path / "file").touch()  # in which nobody can make a folder
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file" / "missing"))
    handler, _ = answers(lambda: web.Response(body=b"row\n" * 1000))
    with pytest.raises(StorageError, match=r"grid: .*/missing.*set TMPDIR"):
        await fetch(an_entry(await serve(handler)))


async def test_repeated_parameters_all_arrive(serve: Serve) -> None:
    """A parameter with two values is sent twice, in addition to those in the URL."""
    handler, asked = answers(lambda: web.Response(text="rows"))
    url = await serve(handler) + "data?frequency=hourly"
    async with Http({}) as http:
        facets = (("facets[respondent][]", "ISNE"), ("facets[respondent][]", "CISO"))
        await http.fetch(an_entry(url), Request(url, facets), body_of)
    assert asked[0].query.getall("facets[respondent][]") == ["ISNE", "CISO"]
    assert asked[0].query["frequency"] == "hourly"


async def test_a_short_window_is_kept_by_spacing() -> None:
    """With 50 per second, any two requests are 20 ms apart, also concurrent ones."""
    limiter, limit = LocalLimiter(), RateLimit(name="grid", rates=("50/second",))
    moments: list[float] = []

    async def one() -> None:
        await limiter.acquire(limit)
        moments.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(one() for _ in range(10)))
    assert min(b - a for a, b in itertools.pairwise(moments)) > 0.015
    assert moments[-1] - moments[0] >= 9 * 0.02 - 0.005


async def test_a_long_window_is_kept_by_counting() -> None:
    """The requests of an hourly limit may be sent at once, but not more than the limit."""
    limiter, limit = LocalLimiter(), RateLimit(name="grid", rates=("3/hour",))
    for _ in range(3):
        await limiter.acquire(limit)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(limiter.acquire(limit), 0.05)


@pytest.mark.parametrize(
    "spell",
    [
        str,
        json.dumps,
        lambda text: json.dumps(json.dumps(text)),
        lambda text: json.dumps(text).replace("/", "\\/").replace("&", "\\u0026").replace("<", "\\u003C"),
        lambda text: quote(text, safe=""),
        quote_plus,
        lambda text: quote(text, safe="").replace("%2F", "%2f"),
        html.escape,
        lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    ],
)
def test_a_secret_is_cut_out_however_it_is_spelled(spell: Callable[[str], str]) -> None:
    """A secret is removed if it is encoded in JSON, JSON within JSON, a URL or HTML; the text around it stays."""
    basic = {"kind": "basic", "username": "me@example.com"}
    secret = "pass/word+5 é&'\"<%="
    credentials = build_credentials(an_entry(URL, auth=basic), {"ISO_NE_PASSWORD": secret}, {})
    said = f"not {spell(secret)} but pass/word"
    assert credentials.redacted_text(said) == said.replace(spell(secret).strip('"\\'), "REDACTED")
    assert credentials.redacted(said.encode()).decode() == credentials.redacted_text(said)


def test_a_short_secret_is_cut_out_without_cutting_into_data() -> None:
    """A password such as 2024 is removed where it is repeated, but dates and values that contain it stay."""
    basic = {"kind": "basic", "username": "me@example.com"}
    credentials = build_credentials(an_entry(URL, auth=basic), {"ISO_NE_PASSWORD": "2024"}, {})
    body = b'{"BeginDate":"2024-01-01","Load":2024,"password":"2024","url":"/x?pw=2024&a=1"}'
    hidden = b'{"BeginDate":"2024-01-01","Load":2024,"password":"REDACTED","url":"/x?pw=REDACTED&a=1"}'
    assert credentials.redacted(body) == hidden
    assert credentials.redacted_text("it said 2024") == "it said REDACTED"
