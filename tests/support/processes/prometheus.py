"""Prometheus and its Pushgateway for tests, where they are installed."""

from __future__ import annotations

import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.support.processes.s3_servers import free_port, running_program


@contextmanager
def running_pushgateway(folder: Path) -> Iterator[str]:
    """The URL of a Pushgateway; skips where it is not installed."""
    program = find_program("prometheus-pushgateway")
    address = f"127.0.0.1:{free_port()}"
    ready = partial(answers, f"http://{address}/-/ready")
    with running_program([program, f"--web.listen-address={address}"], ready, folder / "gateway.log"):
        yield f"http://{address}"


@contextmanager
def running_prometheus(folder: Path, *targets: str) -> Iterator[str]:
    """The URL of a Prometheus that scrapes `targets` (`HOST:PORT`) each second; skips where it is not installed."""
    program = find_program("prometheus")
    scraped = [{"job_name": "gridtide", "honor_labels": True, "static_configs": [{"targets": list(targets)}]}]
    (folder / "prometheus.yaml").write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": scraped})
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        *(program, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/tsdb"),
        f"--web.listen-address={address}",
    ]
    with running_program(command, partial(answers, f"http://{address}/-/ready"), folder / "prometheus.log"):
        yield f"http://{address}"


def find_program(name: str) -> str:
    """The path of a program; skips where it is not installed."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"no {name} here: make programs installs it")
    return program


def answers(url: str) -> bool:
    """Whether `url` answers without an error."""
    try:
        urllib.request.urlopen(url).close()  # noqa: S310  # a server of the test
    except (urllib.error.URLError, OSError):
        return False
    return True


def scrape(port: int) -> str:
    """What is scraped at `port` of this machine, as soon as it answers."""
    url = f"http://127.0.0.1:{port}/metrics"
    while not answers(url):
        time.sleep(0.05)
    with urllib.request.urlopen(url) as answer:  # a server of the test
        content: str = answer.read().decode()
    return content
