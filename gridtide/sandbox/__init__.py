"""The embedded upstream: the simulated grid in the wire formats of EIA, ISO-NE, CAISO and Open-Meteo.

    async with run_sandbox() as url:                 # a server of its own on a free loopback port
        config = redirect(load("api_config.json"), url)

It keeps the upstreams' paging, limits, authentication, errors and quirks, so that what works here
works there. Only the clock of politeness runs faster, `SPEED` times.
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
    from gridtide.entries.entry import Config, Entry

SECRETS = {
    "EIA_API_KEY": "sandbox-eia-key",
    "ISO_NE_USERNAME": "sandbox@example.com",
    "ISO_NE_PASSWORD": "sandbox-password",
}
"""The credentials that the sandbox accepts, by the environment variables that usually hold them."""

SPEED = 100
"""How many times faster than at the upstreams requests may follow each other."""

START_TIMEOUT_SECONDS = 10.0
"""Seconds the process of a sandbox gets to end by itself, and one that runs to answer."""

NOTICE = f"sandbox: simulated data; the upstreams' politeness limits run {SPEED} times faster"


def redirect(config: Config, url: str) -> Config:
    """`config` with every entry asking the sandbox at `url`: same paths, its credentials, limits
    `SPEED` times faster, all else as it was.

    An entry of another upstream than the four keeps its path and fails there, alone, with a 404.
    """
    return msgspec.structs.replace(config, apis=tuple(_redirect_entry(entry, url) for entry in config.apis))


def _redirect_entry(entry: Entry, url: str) -> Entry:
    # Imported here, as the server itself starts without the configuration's models.
    from gridtide.entries.auth import Auth
    from gridtide.entries.field_types import Rate
    from gridtide.entries.structs import read_value
    from gridtide.sources.registry import source

    if not entry.url:
        return entry
    defaults = source(entry.source).defaults(entry.url, entry.params)
    sandbox = urlsplit(url)
    update: dict[str, Any] = {
        "url": urlsplit(entry.url)._replace(scheme=sandbox.scheme, netloc=sandbox.netloc).geturl(),
        "auth": read_value(Auth, defaults.get("auth", {"kind": "none"}), "auth", []),
    }
    if entry.rate_limit is not None:
        rates = [Rate.parse(text) for text in entry.rate_limit.rates]
        faster = tuple(f"{rate.count}/{rate.seconds / SPEED:g}second" for rate in rates)
        update["rate_limit"] = msgspec.structs.replace(entry.rate_limit, rates=faster)
    return msgspec.structs.replace(entry, **update)


@asynccontextmanager
async def run_sandbox(**options: Any) -> AsyncIterator[str]:
    """A sandbox in a process of its own; yields its URL and ends it.

    `options` are those of `python -m gridtide.sandbox` (`seed=7`, `latency=0.2`, `faults=[…]`,
    `now=datetime`). It also ends when this process does, however that comes about. Raises
    `ConfigurationError` where they keep it from starting.
    """
    arguments = [text for name, value in options.items() for text in (f"--{name}", _wait_for_url(value))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gridtide.sandbox", "--exit-with-stdin", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # it finds what we found
    )
    stdin, stdout = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    try:
        url = (await stdout.readline()).decode().strip()
        if not url:
            happened = f"did not start (exit code {await process.wait()})"
            raise ConfigurationError("sandbox", happened, "Do as its message above says")
        yield url
    finally:
        stdin.close()
        try:
            await asyncio.wait_for(process.wait(), START_TIMEOUT_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def check_running(url: str) -> None:
    """Raises `ConfigurationError` where no sandbox answers at `url`."""
    import aiohttp

    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}"
    fix = "Start one with `gridtide sandbox`, which prints its URL, or ask an embedded one with --sandbox"
    try:
        timeout = aiohttp.ClientTimeout(total=START_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.head(f"{place}/__log") as answer:
            if not answer.ok:
                raise ConfigurationError("--sandbox-url", f"what answers at {place} is no sandbox", fix)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConfigurationError("--sandbox-url", f"no sandbox answers at {place}", fix) from error


def _wait_for_url(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
