"""Serves the metrics of this machine's last runs to Prometheus, in a process that ends with its parent.

`python -m deployments.machine.metrics_endpoint HOST PORT FOLDER` ends when its standard input does, which its parent
holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from flows.run.metrics.exporting import ADDRESS, SampleCollector, load_samples
from gridtide.errors import ConfigurationError

LOCALHOST = "127.0.0.1"


def read_address() -> tuple[str, int] | None:
    """The host and the port at which the environment says that metrics are served; None if it does not.

    Raises `ConfigurationError` if that is no address, or prometheus-client is not installed.
    """
    text = os.environ.get(ADDRESS)
    if not text:
        return None
    address = parse_address(ADDRESS, text)
    if find_spec("prometheus_client") is None:
        raise ConfigurationError(ADDRESS, "prometheus-client is not installed", 'pip install "gridtide[metrics]"')
    return address


def parse_address(variable: str, text: str) -> tuple[str, int]:
    """The host and the port in the `text` of an environment variable, this machine without a host; raises
    `ConfigurationError` if that is no address."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigurationError(variable, f"{text!r} is no address", 'Give a port such as "9105", or "0.0.0.0:9105"')
    return host or LOCALHOST, int(port)


def start_endpoint(folder: Path) -> subprocess.Popen[bytes] | None:
    """Start a process that serves the samples in `folder` where the environment says; None if it does not.

    The process ends with this one, also after this one became another program. Raises as `read_address` does.
    """
    address = read_address()
    if address is None:
        return None
    command = [sys.executable, "-m", "deployments.machine.metrics_endpoint", *map(str, address), str(folder)]
    reading, writing = os.pipe()
    process = subprocess.Popen(command, stdin=reading)  # noqa: S603  # its own module
    os.close(reading)
    os.set_inheritable(writing, True)  # a program that takes the place of this one keeps it open
    return process


@contextmanager
def serving_endpoint(folder: Path) -> Iterator[None]:
    """Serve the samples in `folder` during the block, if the environment names a port."""
    process = start_endpoint(folder)
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def main(host: str, port: int, folder: Path) -> None:
    """Serve until the standard input ends."""
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(SampleCollector(lambda: load_samples(folder)))
    start_http_server(port, host, registry)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
