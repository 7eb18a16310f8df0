"""The sandbox's server: faults, quotas, latency, log, its process and its configuration."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest

from gridtide.config.loading import load as load_config
from gridtide.config.loading import parse as parse_config
from gridtide.entries.auth import BasicAuth, KeyAuth, NoAuth, OAuth, list_secret_names
from gridtide.errors import ConfigurationError
from gridtide.sandbox import SPEED, redirect, run_sandbox
from gridtide.sandbox.faults import KINDS, parse_rules
from gridtide.sandbox.quota import Quota
from gridtide.sandbox.server import redact_path
from gridtide.sandbox.upstreams import list_secrets
from tests.support.upstreams.sandbox_server import BASIC, KEY, serving

EIA = (
    "/v2/electricity/rto/region-data/data/?data[0]=value&start=2024-01-01T00&end=2024-01-02T23"
    "&facets[respondent][]=ISNE&facets[type][]=D"
)
METEO = "/v1/forecast?latitude=42&longitude=-71&hourly=rain"
OASIS = "/oasisapi/SingleZip?queryname=SLD_FCST"


async def status(client, path=EIA, headers=KEY):
    async with client.get(path, headers=headers) as response:
        await response.read()
        return response.status


async def test_a_rule_strikes_each_nth_request_of_its_path_alone():
    """A rule with `every`, `nth` and `path` counts only requests of its path; the first matching rule applies."""
    rules = parse_rules(
        [{"path": "region-data", "every": 3, "fault": 503}, {"path": "/v1/", "nth": [1, 2], "fault": 500}]
    )
    async with serving(rules=rules) as client:
        assert [await status(client) for _ in range(6)] == [200, 200, 503, 200, 200, 503]
        assert [await status(client, METEO) for _ in range(4)] == [500, 500, 200, 200]
        assert await status(client) == 200


async def test_without_condition_a_rule_always_strikes():
    """{"fault": 503} fails all requests except those to the sandbox's own paths."""
    async with serving(rules=parse_rules({"fault": 503})) as client:
        assert [await status(client) for _ in range(3)] == [503] * 3
        assert await status(client, "/__log") == 200


async def test_status_faults_have_the_upstreams_shape():
    """429 and 403 have the format of each upstream; a redirect leads back to the same path."""
    async with serving() as client:
        for fault, path, words in (
            (429, EIA, "OVER_RATE_LIMIT"),
            (429, OASIS, "Please retry your request after"),
            (429, METEO, "Minutely API request limit exceeded"),
            (403, EIA, "API_KEY_INVALID"),
            (401, "/api/v1.1/genfuelmix/current", "<html>"),
            (503, METEO, '"error":true'),
        ):
            await client.post("/__faults", json=[{"fault": fault}])
            async with client.get(path) as response:
                assert (response.status, words in await response.text()) == (fault, True), path
        await client.post("/__faults", json=[{"fault": 302}])
        async with client.get(OASIS, allow_redirects=False) as response:
            assert response.status == 302
            assert response.headers["Location"] == OASIS


async def test_a_cut_body_is_shorter_than_it_promises():
    """The length is that of the whole body, and the connection closes after half of it."""
    async with serving(rules=parse_rules({"fault": "cut", "nth": [1]})) as client:
        async with client.get(EIA, headers=KEY) as response:
            promised = int(response.headers["Content-Length"])
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        async with client.get(EIA, headers=KEY) as response:
            assert len(await response.read()) == promised


async def test_a_reset_gives_no_answer():
    """The connection ends before any header."""
    async with serving(rules=parse_rules({"fault": "reset"})) as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await status(client)


async def test_a_hang_lasts_until_the_client_gives_up():
    """The client gets no answer before its timeout, and the server continues."""
    async with serving(rules=parse_rules({"fault": "hang", "nth": [1]})) as client:
        with pytest.raises(TimeoutError):
            async with client.get(EIA, headers=KEY, timeout=aiohttp.ClientTimeout(total=0.3)):
                pass
        assert await status(client) == 200


async def test_html_bad_json_and_wrong_totals_come_under_200():
    """With HTTP 200 there are a web page, half a document, and a total that is one too high."""
    async with serving() as client:
        async with client.get(EIA, headers=KEY) as response:
            total = int((await response.json())["response"]["total"])
        await client.post("/__faults", json={"fault": "html"})
        async with client.get(EIA, headers=KEY) as response:
            assert (response.status, response.content_type) == (200, "text/html")
        await client.post("/__faults", json={"fault": "badjson"})
        async with client.get(EIA, headers=KEY) as response:
            with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
                await response.json()
        await client.post("/__faults", json={"fault": "wrong_total"})
        async with client.get(EIA, headers=KEY) as response:
            answer = (await response.json())["response"]
            assert int(answer["total"]) == total + 1 == len(answer["data"]) + 1


async def test_a_slow_body_is_complete():
    """A slow body takes its seconds and is complete."""
    async with serving(rules=parse_rules({"fault": "slow", "seconds": 0.2, "nth": [1]})) as client:
        started = time.monotonic()
        async with client.get(EIA, headers=KEY) as response:
            slow = await response.read()
        assert time.monotonic() - started >= 0.2
        async with client.get(EIA, headers=KEY) as response:
            assert await response.read() == slow


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"fault": "fire"},
        {"fault": 200},
        {"fault": 503, "every": 0},
        {"fault": 503, "nth": [0]},
        {"fault": 503, "when": 1},
        7,
    ],
)
async def test_a_wrong_rule_is_refused_and_changes_nothing(rule):
    """A wrong rule is a 400 with the reason, and the earlier rules stay."""
    async with serving(rules=parse_rules({"fault": 503})) as client:
        async with client.post("/__faults", json=rule) as response:
            assert response.status == 400
            assert (await response.json())["error"]
        assert await status(client) == 503


def test_every_kind_of_fault_is_known():
    """All documented kinds of faults are accepted."""
    assert set(KINDS) == {"cut", "reset", "hang", "html", "badjson", "wrong_total", "slow"}
    assert [rule.fault for rule in parse_rules([{"fault": kind} for kind in KINDS])] == list(KINDS)


async def test_the_log_tells_what_was_asked_without_secrets():
    """The log has number, path, query and status of each request, without keys and credentials."""
    async with serving() as client:
        await status(client, f"{EIA}&api_key={list_secrets()['EIA_API_KEY']}", {})
        await status(client, "/api/v1.1/genfuelmix/current", BASIC)
        await status(client, f"{METEO}&note={list_secrets()['ISO_NE_PASSWORD']}")
        async with client.get("/__log") as response:
            text, log = await response.text(), await response.json()
    assert not [secret for secret in list_secrets().values() if secret in text]
    assert (log["requests"], log["refused"], log["peak"]) == (3, 0, 1)
    assert [entry["path"] for entry in log["log"]] == [
        "/v2/electricity/rto/region-data/data/",
        "/api/v1.1/genfuelmix/current",
        "/v1/forecast",
    ]
    assert log["log"][0]["query"].endswith("api_key=REDACTED")
    assert {entry["status"] for entry in log["log"]} == {200}


def test_redaction_knows_the_names_of_secrets():
    """Values of parameters named key, token, secret or password are removed, others stay."""
    assert redact_path("a=1&api_key=x&b=2&Access_Token=y") == "a=1&api_key=REDACTED&b=2&Access_Token=REDACTED"


async def test_reset_forgets_counts_and_keeps_rules():
    """A reset empties the log and the counts of rules, and keeps the rules."""
    async with serving(rules=parse_rules({"fault": 503, "nth": [1]})) as client:
        assert [await status(client) for _ in range(2)] == [503, 200]
        await client.post("/__reset")
        async with client.get("/__log") as response:
            assert await response.json() == {"requests": 0, "refused": 0, "peak": 0, "log": []}
        assert await status(client) == 503


async def test_peak_is_how_many_were_asked_at_once():
    """Five concurrent requests give a peak of five."""
    async with serving(latency=0.2) as client:
        await asyncio.gather(*(status(client) for _ in range(5)))
        async with client.get("/__log") as response:
            assert (await response.json())["peak"] == 5


def quota(limits, speed=1.0):
    clock = [0.0]
    return Quota(limits, speed, clock=lambda: clock[0]), clock


def test_a_quota_lets_through_its_rate_and_no_more():
    """With 5 in 1 second, six requests pass at once, then one per fifth of a second."""
    bucket, clock = quota([(5, 1.0)])
    assert [bucket.take() for _ in range(7)] == [None] * 6 + [1.0]
    clock[0] = 0.21
    assert [bucket.take() for _ in range(2)] == [None, 1.0]


def test_a_caller_who_keeps_the_limit_is_never_refused():
    """One request in five seconds, each up to a second early or late, is never refused in an hour."""
    bucket, clock = quota([(1, 5.0)])
    for number in range(720):
        clock[0] = 5.0 * number + (0.9 if number % 2 else -0.9)
        assert bucket.take() is None


def test_a_stall_does_not_refuse_what_came_evenly_spaced():
    """At speed 100, five requests a twentieth of a second apart all pass, even if they are handled at once."""
    bucket, clock = quota([(1, 5.0)], speed=100.0)
    clock[0] = 0.2
    assert [bucket.take() for _ in range(5)] == [None] * 5


def test_the_limit_that_refuses_is_named_and_speed_shortens_it():
    """The hourly limit refuses requests that the limit per minute allows; at speed 100 it refills in 36 s."""
    bucket, clock = quota([(10, 60.0), (12, 3600.0)], speed=100.0)
    assert [bucket.take(5) for _ in range(4)] == [None, None, None, 60.0]
    clock[0] = 0.6
    assert bucket.take() == 3600.0
    clock[0] = 36.6
    assert bucket.take() is None


async def test_quotas_answer_as_each_upstream_does():
    """Refusals of CAISO give scaled seconds, those of Open-Meteo the period; the log counts them."""
    async with serving(speed=1.0) as client:
        for _ in range(2):
            assert await status(client, OASIS) == 200
        async with client.get(OASIS) as response:
            assert response.status == 429
            assert "Please retry your request after 5 seconds." in await response.text()
        async with client.get("/__log") as response:
            assert (await response.json())["refused"] == 1
    async with serving(speed=0.1) as client:
        assert (await asyncio.gather(*(status(client) for _ in range(20)))).count(429) >= 5
        wide = f"{METEO}&forecast_days=16&hourly={','.join(['rain'] * 900)}"  # counts as a hundred calls
        assert [await status(client, wide) for _ in range(7)].count(200) == 6
        async with client.get(METEO) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "600")
            assert "Minutely API request limit exceeded" in await response.text()


async def test_another_upstreams_path_is_a_404_that_says_so():
    """Paths of no simulated upstream are a 404 with a message."""
    async with serving() as client, client.get("/api/other") as response:
        assert response.status == 404
        assert "none of them has /api/other" in await response.text()


def test_redirect_changes_where_and_how_fast_and_nothing_else():
    """Redirected entries have another host, credentials and limits; all other keys and synthetic entries stay the
    same."""
    config = load_config(Path(__file__).parents[2] / "api_config.json")
    moved = redirect(config, "http://127.0.0.1:8123")
    assert [entry.name for entry in moved.apis] == [entry.name for entry in config.apis]
    for before, after in zip(config.apis, moved.apis, strict=True):
        if before.source == "synthetic":
            assert after == before
            continue
        assert after.url.startswith("http://127.0.0.1:8123/")
        assert after.url.split("/", 3)[3] == before.url.split("/", 3)[3]
        same = {"url", "auth", "rate_limit", "archive"}
        assert msgspec.structs.replace(after, **{key: getattr(before, key) for key in same}) == before
    limits = {entry.rate_limit.name: entry.rate_limit.rates for entry in moved.apis if entry.rate_limit}
    assert limits["caiso"] == (f"1/{5 / SPEED:g}second",)
    assert limits["caiso_outlook"] == (f"1/{1 / SPEED:g}second",)
    assert limits["eia"] == (f"5/{1 / SPEED:g}second", f"9000/{3600 / SPEED:g}second")
    kinds = {entry.source: type(entry.auth) for entry in moved.apis}
    expected = {"iso_ne": BasicAuth, "eia": KeyAuth, "caiso": NoAuth, "open_meteo": NoAuth, "synthetic": NoAuth}
    assert {name: kinds[name] for name in expected} == expected
    for entry in moved.apis:
        assert {name for auth in entry.auths for name in list_secret_names(auth)} <= set(list_secrets()), entry.name
        logins = [auth.url for auth in entry.auths if isinstance(auth, OAuth)]
        assert all(url.startswith("http://127.0.0.1:8123/") for url in logins)
        assert entry.archive is None or entry.archive.url.startswith("http://127.0.0.1:8123/")


def test_redirect_gives_an_unknown_upstream_no_credentials():
    """A generic entry keeps its path and loses its key, so that no real secret is sent to the sandbox."""
    entry = {
        "name": "x",
        "url": "https://example.org/a/b?c=1",
        "output_folder": "x",
        "auth": {"kind": "bearer", "env": "X"},
    }
    [moved] = redirect(parse_config({"apis": [entry]}), "http://127.0.0.1:8123").apis
    assert (moved.url, moved.auth) == ("http://127.0.0.1:8123/a/b?c=1", NoAuth())


async def test_it_runs_in_a_process_of_its_own_with_its_options():
    """The process starts on a free port with its options, and ends at the end."""
    rules = [{"path": "/v1/", "fault": 503}]
    async with run_sandbox(seed=3, now=datetime(2024, 5, 1, tzinfo=UTC), faults=rules) as url:
        assert url.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession(url) as session:
            assert await status(session, METEO) == 503
            async with session.get("/api/v1.1/hourlysysload/current", headers=BASIC) as response:
                record = (await response.json())["HourlySystemLoads"]["HourlySystemLoad"]
        assert record["BeginDate"] == "2024-04-30T18:00:00.000-04:00"
    async with aiohttp.ClientSession(url) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(session)


async def test_wrong_options_say_so_and_do_not_start(capfd):
    """A wrong rule ends the process with a message, and the start fails with it."""
    with pytest.raises(ConfigurationError, match="did not start"):
        async with run_sandbox(faults=[{"fault": "fire"}]):
            pass
    assert "neither an HTTP status" in capfd.readouterr().err


PARENT = """
import asyncio
from gridtide.sandbox import run_sandbox

async def main():
    async with run_sandbox() as url:
        print(url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_dies_with_its_parent_even_when_that_is_killed():
    """If the parent process is killed, the sandbox ends too."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    url = (await parent.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession(url) as session:
        assert await status(session) == 200
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        with contextlib.suppress(aiohttp.ClientError):
            while datetime.now(UTC) < deadline:
                await status(session)
                await asyncio.sleep(0.05)
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(session)
