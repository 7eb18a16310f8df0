"""`python -m gridtide.sandbox`: serves the simulated upstreams; the first output line is the URL."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
from datetime import UTC, datetime

from aiohttp import web

from gridtide.sandbox import SPEED
from gridtide.sandbox.faults import Rule, parse_rules
from gridtide.sandbox.server import Sandbox


def main() -> None:
    """Reads the command line and serves until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m gridtide.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0, the default, takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="which simulated grid")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--speed", type=float, default=SPEED, help="how much faster the upstreams' limits run")
    parser.add_argument(
        "--faults", type=_read_rules, default=[], help='JSON rules such as [{"every": 10, "fault": 503}]'
    )
    parser.add_argument("--now", type=_read_moment, help="a fixed time such as 2024-06-01T12:00Z")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input closes")
    options = parser.parse_args()
    sandbox = Sandbox(
        seed=options.seed, speed=options.speed, latency=options.latency, rules=options.faults, now=options.now
    )
    asyncio.run(serve_sandbox(sandbox, options.port, exit_with_stdin=options.exit_with_stdin))


async def serve_sandbox(sandbox: Sandbox, port: int, *, exit_with_stdin: bool) -> None:
    """Serves on 127.0.0.1 until a signal, or the end of standard input."""
    stop = asyncio.Event()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # before the URL is printed, because its reader may end this process at once
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(sandbox.application(), access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    try:
        await site.start()
    except (OSError, OverflowError) as error:
        raise SystemExit(f"port {port} cannot be served: {error}; take another, or 0 for a free one") from error
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    if exit_with_stdin:
        # A daemon thread, because no event loop can watch every kind of standard input.
        threading.Thread(target=_wait_for_stdin, args=(asyncio.get_running_loop(), stop), daemon=True).start()
    await stop.wait()
    await runner.cleanup()


def _wait_for_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _read_rules(text: str) -> list[Rule]:
    try:
        return parse_rules(json.loads(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _read_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    main()
