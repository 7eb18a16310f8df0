"""Exports the metrics of a run: to a Pushgateway, and to a folder from which `gridtide serve` and workers are scraped.

    report ─► list_samples ─┬─► GRIDTIDE_PUSHGATEWAY      a push for the flow and for each of its entries
                            └─► GRIDTIDE_METRICS_ADDRESS  <state folder>/metrics/<flow>.json ─► /metrics

A run never fails because of its metrics: one warning says what was not exported.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from flows.run.metrics.samples import HELP, RunSamples, Sample

if TYPE_CHECKING:
    from aiohttp import ClientTimeout

PUSHGATEWAY = "GRIDTIDE_PUSHGATEWAY"
"""The variable with the URL of a Pushgateway; user and password may be part of it."""

ADDRESS = "GRIDTIDE_METRICS_ADDRESS"
"""The variable with the address, `PORT` or `HOST:PORT`, at which `gridtide serve` and local workers are scraped."""

JOB = "gridtide"

PUSH_TIMEOUT = 5.0
"""Seconds after which a push is given up, also if its answer comes byte by byte."""

CONCURRENT_PUSHES = 8
"""Pushes at the same time, one per entry. In turn, each entry would wait `PUSH_TIMEOUT` for a gateway that is away."""

GATEWAY_FIX = 'Start it, correct the variable, or install "gridtide[metrics]"'


def is_exporting() -> bool:
    """Whether the environment names a place for metrics."""
    return bool(os.environ.get(PUSHGATEWAY) or os.environ.get(ADDRESS))


def export_samples(samples: RunSamples) -> list[str]:
    """Exports `samples` to the places that the environment names; returns a warning for each place that failed."""
    warnings = []
    if url := os.environ.get(PUSHGATEWAY):
        gateway = split_gateway_url(url)
        if gateway is None:
            reason = f"{PUSHGATEWAY} is no URL such as http://HOST:9091"
            warnings.append(f"metrics are not on the Pushgateway: {reason}. {GATEWAY_FIX}")
        else:
            try:
                push_samples(gateway, samples)
            except Exception as error:  # whatever another server leads to
                warnings.append(f"metrics are not on the Pushgateway {gateway.address}: {error}. {GATEWAY_FIX}")
    if os.environ.get(ADDRESS):
        try:
            save_samples(find_metrics_folder(), samples)
        except OSError as error:
            warnings.append(f"metrics are not in {find_metrics_folder()}: {error}. Make it writable for this user")
    return warnings


class Gateway(NamedTuple):
    """The address of a Pushgateway, and the user and password that it asks for, `user` None without them."""

    address: str
    user: str | None
    password: str


def split_gateway_url(url: str) -> Gateway | None:
    """Returns the address in `url` apart from user and password; None if it is no URL, of which nothing is told, as a
    password with a `#` or `/` reads as a port."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of an invalid port
        return None
    if not is_address or parts.fragment or any(character.isspace() for character in url):
        return None
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    user = None if parts.username is None else unquote(parts.username)
    return Gateway(address, user, unquote(parts.password or ""))


def push_samples(gateway: Gateway, samples: RunSamples) -> None:
    """Pushes `samples` to the `gateway`: a group of metrics for the flow, and one for each entry, so that a run with
    some entries does not remove those of the others.

    Raises `OSError`, `ValueError` or an error of aiohttp if a push fails, `ImportError` without prometheus-client.
    """
    groups = [({"flow": samples.flow}, samples.of_run)]
    groups += [({"flow": samples.flow, "entry": entry}, own) for entry, own in samples.of_entries.items()]
    _push_group(gateway, *groups[0])  # a gateway that is away is waited for once
    with ThreadPoolExecutor(CONCURRENT_PUSHES) as pool:
        list(pool.map(lambda group: _push_group(gateway, *group), groups[1:]))


def _push_group(gateway: Gateway, grouping: dict[str, str], samples: Iterable[Sample]) -> None:
    import aiohttp
    from prometheus_client import CollectorRegistry, push_to_gateway

    registry = CollectorRegistry()
    own_labels = [Sample(sample.metric, sample.value, _drop_labels(sample.labels, grouping)) for sample in samples]
    registry.register(SampleCollector(lambda: own_labels))

    def prepare_push(url: str, method: str, timeout: float, headers: Any, data: bytes) -> Callable[[], None]:
        return lambda: asyncio.run(_push(gateway, method, url, aiohttp.ClientTimeout(total=timeout), headers, data))

    push_to_gateway(gateway.address, JOB, registry, grouping, PUSH_TIMEOUT, prepare_push)


async def _push(gateway: Gateway, method: str, url: str, longest: ClientTimeout, headers: Any, data: bytes) -> None:
    """Sends a push that takes `longest` as a whole: prometheus-client waits that long for each byte of an answer.

    Raises `OSError` or an error of aiohttp unless the gateway accepts it.
    """
    import aiohttp
    from yarl import URL

    sent_headers = dict(headers)
    if gateway.user is not None:
        pair = base64.b64encode(f"{gateway.user}:{gateway.password}".encode())
        sent_headers["Authorization"] = f"Basic {pair.decode()}"
    try:
        async with (
            aiohttp.ClientSession(timeout=longest, trust_env=True) as session,
            session.request(
                method, URL(url, encoded=True), data=data, headers=sent_headers, allow_redirects=False
            ) as answer,
        ):
            if answer.status >= 300:
                raise OSError(f"it answered {answer.status} {answer.reason}")
    except TimeoutError:
        raise TimeoutError(f"no answer within {longest.total:g} s") from None


class SampleCollector:
    """Gives prometheus-client the samples that `read` returns, metric by metric."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Any]:
        """Returns the metrics, as prometheus-client asks for them."""
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, Any] = {}
        for sample in self._read():
            labels = sorted(sample.labels)
            family = families.get(sample.metric)
            if family is None:
                family = families[sample.metric] = GaugeMetricFamily(sample.metric, HELP[sample.metric], labels=labels)
            family.add_metric([sample.labels[label] for label in labels], sample.value)
        return families.values()


_Record = tuple[str, float, dict[str, str]]
"""A sample as a file has it."""


class _Document(msgspec.Struct):
    """A file of samples: those of the last run, and those of the last run with each entry."""

    run: list[_Record] = []
    entries: dict[str, list[_Record]] = {}


def find_metrics_folder() -> Path:
    """The folder of the samples of the last runs on this machine."""
    from flows.run.local_server import find_state_folder  # imports Prefect, which what is scraped does not need

    return find_state_folder() / "metrics"


def save_samples(folder: Path, samples: RunSamples) -> None:
    """Saves `samples` in `folder`, in place of those of the last run of the flow; entries that this run did not have
    keep theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{samples.flow}.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = _read_document(path).entries
        entries |= {entry: list(map(_as_record, own)) for entry, own in samples.of_entries.items()}
        staged = path.with_suffix(".new")
        staged.write_bytes(msgspec.json.encode(_Document(list(map(_as_record, samples.of_run)), entries)))
        staged.replace(path)


def load_samples(folder: Path) -> list[Sample]:
    """Returns the samples that runs saved in `folder`; a damaged file has none."""
    documents = [_read_document(path) for path in sorted(folder.glob("*.json"))]
    return [
        Sample(metric, value, labels)
        for document in documents
        for group in (document.run, *document.entries.values())
        for metric, value, labels in group
        if metric in HELP
    ]


def _read_document(path: Path) -> _Document:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Document)
    except (FileNotFoundError, ValueError):
        return _Document()


def _as_record(sample: Sample) -> _Record:
    return sample.metric, sample.value, dict(sample.labels)


def _drop_labels(labels: Mapping[str, str], grouping: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in labels.items() if name not in grouping}
