"""The embedded upstreams: the simulated grid in the wire formats of several upstreams.

    async with run_sandbox() as url:                 # a separate server on a free loopback port
        config = redirect(load("api_config.json"), url)

It imitates the upstreams' paging, limits, authentication, errors and quirks, so that code that works here works there.
Only the rate limits run faster, `SPEED` times.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import msgspec

from gridtide.errors import ConfigurationError

if TYPE_CHECKING:
    from gridtide.entries.auth import Auth
    from gridtide.entries.entry import Config, Entry

SPEED = 100
"""How many times faster than at the upstreams requests may follow each other."""

START_TIMEOUT_SECONDS = 10.0
"""The time that the process of a sandbox gets to exit by itself, and a running sandbox gets to answer."""

NOTICE = f"sandbox: simulated data; the upstreams' rate limits run {SPEED} times faster"


def redirect(config: Config, url: str) -> Config:
    """Returns `config` with the sandbox at `url` as the upstream of every entry: same paths, the sandbox's credentials,
    limits `SPEED` times faster, and everything else unchanged.

    An entry of any other upstream keeps its path; it alone fails, with a 404.
    """
    return msgspec.structs.replace(config, apis=tuple(_redirect_entry(entry, url) for entry in config.apis))


def _redirect_entry(entry: Entry, url: str) -> Entry:
    # Imported here, because the server itself does not need the models of the configuration.
    from gridtide.entries.field_types import Rate

    if not entry.url:
        return entry
    changes: dict[str, Any] = {"url": _move_url(entry.url, url), "auth": _redirect_auth(entry, url)}
    if entry.archive is not None:
        changes["archive"] = msgspec.structs.replace(entry.archive, url=_move_url(entry.archive.url, url))
    if entry.rate_limit is not None:
        rates = [Rate.parse(text) for text in entry.rate_limit.rates]
        faster_rates = tuple(f"{rate.count}/{rate.seconds / SPEED:g}second" for rate in rates)
        changes["rate_limit"] = msgspec.structs.replace(entry.rate_limit, rates=faster_rates)
    return msgspec.structs.replace(entry, **changes)


def _redirect_auth(entry: Entry, url: str) -> Auth | tuple[Auth, ...]:
    """Returns the credentials of `entry` if the sandbox has values for all of their names, or else those that its
    source takes by default, so that no real secret is sent to the sandbox. Logins are those of the sandbox."""
    from gridtide.entries.auth import Auth, OAuth, list_secret_names
    from gridtide.entries.structs import read_value
    from gridtide.sandbox.upstreams import list_secrets
    from gridtide.sources.registry import get_source

    secrets = list_secrets()
    if all(name in secrets for auth in entry.auths for name in list_secret_names(auth)):
        auths = entry.auths
    else:
        written = get_source(entry.source).choose_defaults(entry.url, entry.params).get("auth", {"kind": "none"})
        parts = written if isinstance(written, list | tuple) else [written]
        auths = tuple(read_value(Auth, part, "auth", []) for part in parts)
    moved = [
        msgspec.structs.replace(auth, url=_move_url(auth.url, url)) if isinstance(auth, OAuth) else auth
        for auth in auths
    ]
    return moved[0] if len(moved) == 1 else tuple(moved)


def _move_url(address: str, url: str) -> str:
    """Returns `address` with the host of `url`."""
    sandbox = urlsplit(url)
    return urlsplit(address)._replace(scheme=sandbox.scheme, netloc=sandbox.netloc).geturl()


@asynccontextmanager
async def run_sandbox(**options: Any) -> AsyncIterator[str]:
    """Runs a sandbox in a separate process; yields its URL, and ends the process afterwards.

    `options` are those of `python -m gridtide.sandbox` (`seed=7`, `latency=0.2`, `faults=[…]`, `now=datetime`). The
    sandbox also ends whenever this process ends, even if it is killed. Raises `ConfigurationError` if it does not
    start.
    """
    arguments = [text for name, value in options.items() for text in (f"--{name}", _wait_for_url(value))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gridtide.sandbox", "--exit-with-stdin", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # the same import paths as here
    )
    stdin, stdout = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    try:
        url = (await stdout.readline()).decode().strip()
        if not url:
            happened = f"did not start (exit code {await process.wait()})"
            raise ConfigurationError("sandbox", happened, "Follow its message above")
        yield url
    finally:
        stdin.close()
        try:
            await asyncio.wait_for(process.wait(), START_TIMEOUT_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def check_running(url: str) -> None:
    """Raises `ConfigurationError` if no sandbox answers at `url`."""
    import aiohttp

    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    fix = "Start one with `gridtide sandbox`, which prints its URL, or ask an embedded one with --sandbox"
    try:
        timeout = aiohttp.ClientTimeout(total=START_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.head(f"{origin}/__log") as answer:
            if not answer.ok:
                raise ConfigurationError("--sandbox-url", f"the server at {origin} is not a sandbox", fix)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConfigurationError("--sandbox-url", f"no sandbox answers at {origin}", fix) from error


def _wait_for_url(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
