"""Answers whose `Date` differs from this machine's clock."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from gridtide.clock import read_date
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ClockError
from gridtide.http.client import Http
from gridtide.http.clocks import UpstreamClocks, is_this_machine
from gridtide.periods import EPOCH, HOUR
from gridtide.sources.contract import Request, Response
from tests.support.upstreams.http_servers import serving

DAY = timedelta(days=1)


def entry_at(url: str, **keys: object) -> Entry:
    """A generic entry at `url`, asked twice at most."""
    api = {"name": "grid", "url": url, "output_folder": "grid", "source": "generic", "retries": 2, **keys}
    return parse({"apis": [api]}).apis[0]


async def shifted(request: web.Request) -> web.Response:
    """Answer with a `Date` shifted by the seconds in the path; `/silent` has no `Date`."""
    path = request.match_info["path"]
    answer = web.Response(text="rows")
    if path == "silent":
        answer.headers["Date"] = "soon"  # without one, the server would add its own
    else:
        answer.headers["Date"] = format_datetime(datetime.now(UTC) + float(path) * HOUR, usegmt=True)
    return answer


async def read_body(answer: Response) -> bytes:
    """Return the body of the answer."""
    return answer.body


@pytest.mark.parametrize(("hours", "words"), [(-480, "20 days ahead of"), (-0.5, "ahead of"), (3, "behind")])
async def test_a_run_with_a_wrong_clock_reads_nothing(hours: float, words: str) -> None:
    """The error names both clocks; what a host without a `Date` answers in that run is not read either."""
    answers: list[Response] = []

    async def keep(answer: Response) -> None:
        answers.append(answer)

    async with serving(shifted) as url, Http({}) as http:
        entry = entry_at(url)
        with pytest.raises(
            ClockError, match=f"grid: the clock of this machine is .*{words} that of 127.0.0.1"
        ) as error:
            await http.fetch(entry, Request(f"{url}{hours}"), keep)
        with pytest.raises(ClockError):
            await http.fetch(entry, Request(f"{url}silent"), keep)
    assert "timedatectl" in error.value.fix
    assert answers == []


async def test_seconds_no_date_and_a_clock_that_is_not_compared_are_no_error() -> None:
    """`compare_clock` is for upstreams whose own clock is wrong."""
    async with serving(shifted) as url, Http({}) as http:
        for path in ("0", "0.05", "-0.05", "silent"):
            assert await http.fetch(entry_at(url), Request(f"{url}{path}"), read_body) == b"rows"
        lenient = entry_at(url, compare_clock=False)
        assert await http.fetch(lenient, Request(f"{url}-480"), read_body) == b"rows"


def test_a_clock_that_agrees_proves_this_one_right(caplog: pytest.LogCaptureFixture) -> None:
    """If one host agrees with this clock, a host that differs is named in one warning; this machine itself does not
    count."""
    clocks = UpstreamClocks()
    wrong = {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
    right = {"Date": "Fri, 02 Jan 1970 00:00:01 GMT"}
    moments = (EPOCH + DAY, EPOCH + DAY + timedelta(seconds=2))
    clocks.compare("wrong.example", wrong, *moments)
    clocks.compare("localhost", right, *moments)
    with pytest.raises(ClockError):
        clocks.check("grid")
    clocks.compare("right.example", right, *moments)
    with caplog.at_level(logging.WARNING):
        clocks.check("grid")
        clocks.check("grid")
    assert [record.message for record in caplog.records] == [
        "the clock of wrong.example is wrong: this clock is 1 day ahead of it, and agrees with right.example"
    ]


def test_an_answer_from_a_cache_is_as_old_as_its_age_says() -> None:
    """`Date` is compared after adding `Age`; a `Date` that cannot be read is ignored."""
    assert read_date({"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "Age": "7200"}) == EPOCH + 2 * HOUR
    assert read_date({"Date": "Thu, 01 Jan 1970 00:00:00 -0000"}) == EPOCH
    for headers in ({}, {"Date": "soon"}, {"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "Age": "old"}):
        assert read_date(headers) is None


def test_which_hosts_are_this_machine() -> None:
    """The hosts of this machine are recognised by address and by name."""
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "127.1.2.3", "[::1]", "::1")))
    assert not any(map(is_this_machine, ("10.0.0.1", "api.eia.gov", "")))
