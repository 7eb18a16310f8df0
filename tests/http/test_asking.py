"""Requests of an entry: credentials in any place, logins, bodies, cookies, certificates, time limits, waits."""

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, CredentialsError, FormatError, QuotaError, UpstreamError
from gridtide.http.client import Http
from gridtide.http.error_statuses import classify_status
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source
from tests.support.upstreams.http_servers import Chain, serving

KEY, PASSWORD = "planted-key-0001", "planted-password-0002"
DAY = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))


def an_entry(url: str, **keys: Any) -> Entry:
    """A generic entry at `url` without retries."""
    api = {"name": "grid", "url": url, "output_folder": "grid", "source": "generic", "retries": 1, **keys}
    return parse({"apis": [api]}).apis[0]


async def whole(answer: Response) -> Response:
    """Return the answer unchanged."""
    return answer


async def fetch(entry: Entry, secrets: dict[str, str] | None = None, period: Period | None = None) -> Response:
    """The answer to the first request of `entry`, in a new session."""
    async with Http(secrets or {}) as http:
        return await http.fetch(entry, get_source("generic").build_requests(entry, period)[0], whole)


async def show(request: web.Request) -> web.Response:
    """Answer with the contents of the request."""
    return web.json_response(
        {
            "method": request.method,
            "query": dict(request.query),
            "headers": dict(request.headers),
            "body": await request.text(),
        }
    )


async def test_a_key_travels_where_the_entry_says_and_is_hidden_there() -> None:
    """A key is sent in the query parameter or header that the entry names, and no stored answer contains it."""
    auth = [
        {"kind": "api_key", "env": "KEY", "in": "query", "name": "securityToken"},
        {"kind": "api_key", "env": "OTHER", "name": "Ocp-Apim-Subscription-Key"},
    ]
    arrived: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        arrived.append(request)
        return await show(request)

    async with serving(handler) as url:
        answer = await fetch(an_entry(f"{url}?zone=A", auth=auth), {"KEY": KEY, "OTHER": PASSWORD})
    assert arrived[0].query == {"zone": "A", "securityToken": KEY}
    assert arrived[0].headers["Ocp-Apim-Subscription-Key"] == PASSWORD
    assert KEY.encode() not in answer.body
    assert PASSWORD.encode() not in answer.body


async def test_an_empty_password_is_one() -> None:
    """A password that is set and empty is sent; one that is not set is reported as missing."""
    auth = {"kind": "basic", "username_env": "KEY", "password_env": "EMPTY"}
    arrived: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        arrived.append(request.headers["Authorization"])
        return await show(request)

    async with serving(handler) as url:
        await fetch(an_entry(url, auth=auth), {"KEY": KEY, "EMPTY": ""})
        with pytest.raises(CredentialsError, match="the environment variable EMPTY is not set"):
            await fetch(an_entry(url, auth=auth), {"KEY": KEY})
    assert arrived == [f"Basic {base64.b64encode(f'{KEY}:'.encode()).decode()}"]


async def test_a_refused_key_says_where_it_was_sent() -> None:
    """The message for a refused key names the variable and the place of the key, and the proposed fix works."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=200 if "securityToken" in request.query else 401, text="missing securityToken")

    key = {"kind": "api_key", "env": "KEY"}
    async with serving(handler) as url:
        with pytest.raises(CredentialsError, match=r"the key of KEY was sent in the header X-Api-Key; \"in\" and"):
            await fetch(an_entry(url, auth=key), {"KEY": KEY})
        with pytest.raises(CredentialsError, match='No credentials were sent: name them with "auth"'):
            await fetch(an_entry(url))
        await fetch(an_entry(url, auth=key | {"in": "query", "name": "securityToken"}), {"KEY": KEY})


@pytest.mark.parametrize("target", ["http://[bad?k={key}", "//127.0.0.1:99999/?k={key}", "file:///x?k={key}"])
async def test_no_error_repeats_a_key_in_the_url(target: str) -> None:
    """No error contains a key of the URL, neither in its message nor in its cause, also after redirects."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target.format(key=request.query["k"])})

    auth = {"kind": "api_key", "env": "KEY", "in": "query", "name": "k"}
    async with serving(handler) as url:
        with pytest.raises(ConfigurationError) as caught:
            await fetch(an_entry(url, auth=auth), {"KEY": KEY})
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__cause__)


async def test_a_key_in_the_query_stays_on_its_host() -> None:
    """A redirect to another host is followed without the key, even if the redirect repeats it."""
    arrived: list[str] = []

    async def foreign(request: web.Request) -> web.Response:
        arrived.append(request.path_qs)
        return web.Response(text="[]")

    async with serving(foreign) as elsewhere:

        async def handler(request: web.Request) -> web.Response:
            raise web.HTTPFound(f"{elsewhere}?k={request.query['k']}&zone=A")

        auth = {"kind": "api_key", "env": "KEY", "in": "query", "name": "k"}
        async with serving(handler) as url:
            await fetch(an_entry(url, auth=auth), {"KEY": KEY})
    assert arrived == ["/?zone=A"]


class LoginServer:
    """A login at `/token`, and values at every other path for clients with the newest token."""

    def __init__(self, lifetime: float | None = 3600) -> None:
        self.lifetime = lifetime
        self.forms: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        self.valid = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Handle a request."""
        if request.path == "/token":
            form = dict(await request.post())
            self.forms.append({name: str(value) for name, value in form.items()})
            self.authorizations.append(request.headers.get("Authorization"))
            if form.get("password") == "wrong":
                return web.json_response({"error": "invalid_grant", "error_description": "bad wrong"}, status=400)
            self.valid = f"planted-token-{len(self.forms)}"
            ends = {} if self.lifetime is None else {"expires_in": self.lifetime}
            return web.json_response({"access_token": self.valid, "id_token": f"id-{self.valid}", **ends})
        valid = request.headers.get("Authorization") in (f"Bearer {self.valid}", f"Bearer id-{self.valid}")
        return web.Response(status=200 if valid else 401, text=request.headers.get("Authorization", ""))


CLIENT = {"kind": "oauth", "client_id": "me", "client_secret_env": "KEY"}
PERSON = {"kind": "oauth", "grant": "password", "client_id": "me", "username_env": "USER_NAME", "password_env": "KEY"}


async def ask_often(entry: Entry, secrets: dict[str, str], count: int = 5) -> list[Response]:
    """The answers to several concurrent requests in one session."""
    async with Http(secrets) as http:
        return await asyncio.gather(*(http.fetch(entry, Request(entry.url), whole) for _ in range(count)))


async def test_a_login_yields_one_token_for_the_whole_run() -> None:
    """All requests of a run use one token of the client grant, and no stored answer contains it."""
    upstream = LoginServer()
    async with serving(upstream.answer) as url:
        answers = await ask_often(an_entry(url, auth=CLIENT | {"url": f"{url}token", "scope": "read"}), {"KEY": KEY})
    assert upstream.forms == [{"grant_type": "client_credentials", "scope": "read"}]
    assert upstream.authorizations == [f"Basic {base64.b64encode(f'me:{KEY}'.encode()).decode()}"]
    assert {answer.body for answer in answers} == {b"Bearer REDACTED"}


async def test_a_login_with_a_password_sends_it_in_the_form_alone() -> None:
    """The password grant sends the password only in the form, with `params` as further fields; `token` names the key
    of the token."""
    upstream = LoginServer()
    auth = PERSON | {"params": {"response_type": "id_token"}, "token": "id_token"}
    async with serving(upstream.answer) as url:
        await ask_often(an_entry(url, auth=auth | {"url": f"{url}token"}), {"KEY": PASSWORD, "USER_NAME": "me@x"})
    fields = {"grant_type": "password", "client_id": "me", "username": "me@x", "password": PASSWORD}
    assert upstream.forms == [fields | {"response_type": "id_token"}]
    assert upstream.authorizations == [None]


async def test_a_token_is_renewed_before_it_ends() -> None:
    """A token that expires within a minute is not used."""
    upstream = LoginServer(lifetime=0.2)
    async with serving(upstream.answer) as url, Http({"KEY": KEY}) as http:
        entry = an_entry(url, auth=CLIENT | {"url": f"{url}token"})
        await http.fetch(entry, Request(url), whole)
        await asyncio.sleep(0.25)  # the token has ended by the clock, however slow the machine
        await http.fetch(entry, Request(url), whole)
    assert len(upstream.forms) == 2


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    """A refused token is renewed once; if the new token is refused too, the request fails."""
    upstream = LoginServer(lifetime=None)
    async with serving(upstream.answer) as url, Http({"KEY": KEY}) as http:
        entry = an_entry(url, auth=CLIENT | {"url": f"{url}token"})
        await http.fetch(entry, Request(url), whole)
        upstream.valid = "ended"
        await http.fetch(entry, Request(url), whole)
    assert len(upstream.forms) == 2

    async def refuse(request: web.Request) -> web.Response:
        return await upstream.answer(request) if request.path == "/token" else web.Response(status=401)

    async with serving(refuse) as url:
        with pytest.raises(CredentialsError, match="a token was sent that the login with KEY gave"):
            await fetch(an_entry(url, auth=CLIENT | {"url": f"{url}token"}), {"KEY": KEY})
    assert len(upstream.forms) == 4


async def test_a_login_that_is_refused_says_why_without_the_password() -> None:
    """The error of a refused login has the words of OAuth and a fix; that of an answer without a token lists its
    keys."""
    upstream = LoginServer()
    async with serving(upstream.answer) as url:
        auth = PERSON | {"url": f"{url}token"}
        with pytest.raises(CredentialsError, match=r"bad REDACTED\. Check (KEY|USER_NAME) and (KEY|USER_NAME), "):
            await fetch(an_entry(url, auth=auth), {"KEY": "wrong", "USER_NAME": "me@x"})
        entry = an_entry(url, auth=auth | {"token": "jwt"})
        with pytest.raises(FormatError, match=r'no "jwt" that is a token; its keys are: access_token, id_token, exp'):
            await fetch(entry, {"KEY": PASSWORD, "USER_NAME": "me@x"})
        await fetch(an_entry(url, auth=auth | {"token": "id_token"}), {"KEY": PASSWORD, "USER_NAME": "me@x"})


@pytest.mark.parametrize(
    ("keys", "body", "kind"),
    [
        ({"body": {"from": "{start:%Y-%m-%d}", "n": 5}}, '{"from": "2024-01-01", "n": 5}', "application/json"),
        (
            {
                "body": {"from": "{start}", "to": "{end}"},
                "headers": {"content-type": "application/x-www-form-urlencoded"},
            },
            "from=2024-01-01T00%3A00%3A00Z&to=2024-01-02T00%3A00%3A00Z",
            "application/x-www-form-urlencoded",
        ),
        (
            {"body": "from={start}&to={end}"},
            "from=2024-01-01T00%3A00%3A00Z&to=2024-01-02T00%3A00%3A00Z",
            "application/x-www-form-urlencoded",
        ),
    ],
)
async def test_a_post_carries_its_body(keys: dict[str, Any], body: str, kind: str) -> None:
    """A POST sends its body as JSON or as a form, with the bounds of the period, and the headers of the entry."""
    arrived: list[tuple[str, str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        text = await request.text()
        arrived.append((request.method, text, request.headers["Content-Type"], request.headers.get("X-Zone", "")))
        return web.Response(text="[]")

    async with serving(handler) as url:
        entry = an_entry(url, method="POST", **keys | {"headers": {"X-Zone": "A", **keys.get("headers", {})}})
        assert get_source("generic").takes_period(entry)
        await fetch(entry, period=DAY)
    assert arrived == [("POST", body, kind, "A")]


async def test_cookies_stay_within_an_entry() -> None:
    """Cookies are sent with later requests of the same entry, and not with those of another entry."""
    arrived: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        arrived.append(request.cookies.get("session"))
        response = web.Response(text="[]")
        response.set_cookie("session", "1")
        return response

    async with serving(handler) as url, Http({}) as http:
        for name in ("grid", "grid", "other"):
            await http.fetch(an_entry(url, name=name), Request(url), whole)
    assert arrived == [None, "1", None]


async def test_an_incomplete_chain_is_called_so_and_its_certificates_can_be_trusted(tmp_path: Path) -> None:
    """A server without its intermediate certificate is refused with a fix, and the fix works."""
    chain = Chain(tmp_path)
    async with serving(show, chain.context()) as url:
        with pytest.raises(
            ConfigurationError, match=r"the certificate chain of 127\.0\.0\.1:\d+ is incomplete, or"
        ) as e:
            await fetch(an_entry(url))
        assert 'name that file with "tls_ca"' in e.value.fix
        for path in (chain.middle, chain.root):
            if path == chain.root:
                path.write_bytes(chain.middle.read_bytes() + chain.root.read_bytes())
            await fetch(an_entry(url, tls_ca=str(path)))
        (tmp_path / "none.pem").write_text("none")
        with pytest.raises(ConfigurationError, match=r"tls_ca: .*none\.pem cannot be used"):
            await fetch(an_entry(url, tls_ca=str(tmp_path / "none.pem")))


def trickle(pieces: int, pause: float, then: float = 0) -> Callable[[web.Request], Any]:
    """A handler that sends a byte every `pause` seconds, and then waits `then` seconds before it ends."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(b"1")
            await asyncio.sleep(pause)
        await asyncio.sleep(then)
        return response

    return handler


async def test_a_slow_steady_answer_is_waited_for() -> None:
    """`timeout` limits the time without a byte: an answer that takes longer but keeps coming is complete."""
    async with serving(trickle(30, 0.05)) as url:
        assert (await fetch(an_entry(url, timeout=0.3))).body == b"1" * 30


async def test_each_limit_of_time_is_named_when_it_is_hit() -> None:
    """The error names the limit that was reached: `timeout` or `deadline`."""
    async with serving(trickle(3, 0.01, then=30)) as url:
        with pytest.raises(UpstreamError, match=r'sent 3 bytes and then none for 0\.3 s\. .*raise "timeout"'):
            await fetch(an_entry(url, timeout=0.3))
    async with serving(trickle(1000, 0.05)) as url:
        with pytest.raises(UpstreamError, match=r'was not whole within 0:00:01, the deadline\. Raise "deadline"'):
            await fetch(an_entry(url, timeout=5, deadline="PT1S"))


@pytest.mark.parametrize(
    ("status", "keys"),
    [
        (204, {}),
        (404, {"absent": [404]}),
        (500, {"absent": [204, 500]}),
        (204, {"absent": [404]}),
        (200, {"absent": ["empty"]}),
    ],
)
async def test_what_is_absent_is_an_answer(status: int, keys: dict[str, Any]) -> None:
    """204, the statuses in `absent` and, where it says so, an empty body are answers without rows, not retried."""
    asked: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(status)
        return web.Response(status=status, text={200: "\n", 204: None}.get(status, "no content found"))

    async with serving(handler) as url:
        answer = await fetch(an_entry(url, retries=3, **keys))
    assert (answer.absent, answer.body, len(asked)) == (True, b"", 1)


async def test_a_missing_page_names_the_way_to_say_that_it_is_absent() -> None:
    """The fix that the error of a 404 proposes works."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=404, text="no content found")

    async with serving(handler) as url:
        with pytest.raises(ConfigurationError, match=r'nothing for that period, add "absent": \[404\]'):
            await fetch(an_entry(url))
        assert (await fetch(an_entry(url, absent=[404]))).absent


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"Retry-After": "3"}, "", 3),
        (429, {"Retry-After": "3.5"}, "", 3.5),
        (503, {"Retry-After": "3"}, "busy", 3),
        (202, {"Retry-After": "2"}, '{"status": "processing"}', 2),
        (429, {}, '{"statusCode": 429, "message": "Rate limit is exceeded. Try again in 3 seconds."}', 3),
        (403, {}, '{"message": "Out of call volume quota. Quota will be replenished in 00:02:05."}', 125),
        (429, {}, "Please wait 2 minutes", 120),
        (503, {}, "busy", None),
        (403, {}, '{"error": "rateLimitExceeded", "message": "please slow down"}', None),
    ],
)
def test_a_wait_is_understood_however_it_is_told(
    status: int, headers: dict[str, str], body: str, seconds: float | None
) -> None:
    """Waits are read from Retry-After, with fractions too, and from words, on 429, 503, 202 and a 403 of a quota."""
    error = classify_status(an_entry("https://grid.example/"), "page", status, headers, body.encode())
    assert isinstance(error, QuotaError if status in (429, 403) else UpstreamError)
    assert error.wait == seconds


def test_a_wait_may_be_told_as_a_date() -> None:
    """A date in Retry-After is a wait until that time."""
    after = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    error = classify_status(an_entry("https://grid.example/"), "page", 503, {"Retry-After": after}, b"")
    assert isinstance(error, UpstreamError)
    assert error.wait is not None
    assert 50 < error.wait <= 60


@pytest.mark.parametrize("status", [202, 503, 403])
async def test_a_told_wait_is_kept_before_asking_again(status: int) -> None:
    """The requested wait passes before the next attempt, after 202, 503 and a 403 of a quota."""
    moments: list[float] = []

    async def handler(request: web.Request) -> web.Response:
        moments.append(time.monotonic())
        again = len(moments) > 1
        return web.Response(
            status=200 if again else status, headers={} if again else {"Retry-After": "0.5"}, text="rate limit"
        )

    async with serving(handler) as url:
        await fetch(an_entry(url, retries=2))
    assert moments[1] - moments[0] >= 0.5


async def test_a_quota_that_does_not_end_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the longest wait the other days of the entry are tried once each, and another entry is not held up; an
    answer ends that."""
    monkeypatch.setattr("gridtide.http.attempts.LONGEST_WAIT", 0.5)
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.query["day"])
        if request.query["day"] == "good":
            return web.json_response({})
        return web.Response(status=429, headers={"Retry-After": "0.3"}, text="Rate limit is exceeded.")

    async with serving(refuse) as url, Http({}) as http:
        limited, other = an_entry(url, retries=5), an_entry(url, name="other", retries=5)
        for day in ("1", "2", "3"):
            with pytest.raises(QuotaError, match="Rate limit is exceeded"):
                await http.fetch(limited, Request(limited.url, (("day", day),)), whole)
        assert asked == ["1", "1", "2", "3"]
        with pytest.raises(QuotaError):
            await http.fetch(other, Request(other.url, (("day", "4"),)), whole)
        assert asked[4:] == ["4", "4"]
        await http.fetch(limited, Request(limited.url, (("day", "good"),)), whole)
        with pytest.raises(QuotaError):
            await http.fetch(limited, Request(limited.url, (("day", "5"),)), whole)
        assert asked[6:] == ["good", "5", "5"]
