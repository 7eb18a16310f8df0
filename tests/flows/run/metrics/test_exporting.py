"""Metrics go to a Pushgateway and to a folder that is scraped; a place that is away is one warning."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socketserver
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.ingest import ingest
from flows.run.metrics import exporting
from flows.run.metrics.exporting import ADDRESS, PUSHGATEWAY, load_samples, save_samples
from flows.run.metrics.samples import list_samples
from tests.flows.run.metrics.test_samples import FILLED, RESULT, report
from tests.support.processes.prometheus import running_prometheus, running_pushgateway

FINISHED = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """No place for metrics but those of the test."""
    for name in (PUSHGATEWAY, ADDRESS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Pushgateway."""
    with running_pushgateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url


def pushed(url: str) -> dict[str, float]:
    """The values of our metrics on the Pushgateway, by metric and labels."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310  # a server of the test
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line.startswith("gridtide_"))
    }


def key(metric: str, entry: str, **labels: str) -> str:
    """The name and labels of a metric of an entry as the Pushgateway writes them."""
    texts = sorted({"entry": entry, "flow": "ingest", "instance": "", "job": "gridtide", **labels}.items())
    pairs = ",".join(f'{name}="{text}"' for name, text in texts)
    return f"gridtide_{metric}{{{pairs}}}"


def test_a_run_replaces_its_own_metrics_and_no_others(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with one entry keeps the metrics of the other; those of its own entry that it no longer has are gone."""
    monkeypatch.setenv(PUSHGATEWAY, gateway)
    both = list_samples("ingest", report(RESULT, FILLED, rows=100, seconds=4.0), FINISHED)
    assert exporting.export_samples(both) == []
    first = pushed(gateway)
    assert first[key("entry_rows", "demand")] == 100
    assert first[key("entry_stage_seconds", "demand", stage="parse")] == 3
    assert first[key("entry_coverage_ratio", "prices")] == 0.75
    alone = list_samples("ingest", report({"name": "demand", "rows": 5, "error": None}, rows=5, seconds=1.0), FINISHED)
    assert exporting.export_samples(alone) == []
    second = pushed(gateway)
    assert second[key("entry_rows", "demand")] == 5
    assert key("entry_stage_seconds", "demand", stage="parse") not in second
    assert second[key("entry_coverage_ratio", "prices")] == 0.75


def test_the_folder_keeps_the_last_run_with_each_entry(tmp_path: Path) -> None:
    """A later run replaces the samples of its entries alone; what is damaged or unknown is passed over."""
    save_samples(tmp_path, list_samples("ingest", report(RESULT, FILLED), FINISHED))
    save_samples(tmp_path, list_samples("ingest", report({"name": "demand", "rows": 5, "error": None}), FINISHED))
    save_samples(tmp_path, list_samples("monitor", report({"name": "demand", "rows": 6, "error": None}), FINISHED))
    (tmp_path / "damaged.json").write_text("{")
    (tmp_path / "older.json").write_text(json.dumps({"run": [["gridtide_of_long_ago", 1.0, {}]]}))
    rows = {
        (one.labels["flow"], one.labels["entry"]): one.value
        for one in load_samples(tmp_path)
        if one.metric == "gridtide_entry_rows"
    }
    assert rows == {("ingest", "demand"): 5, ("monitor", "demand"): 6}
    assert [one.value for one in load_samples(tmp_path) if one.metric == "gridtide_entry_coverage_ratio"] == [0.75]


@pytest.mark.parametrize(
    "damage", ['{"run": 5}', '{"entries": ["demand"]}', '{"run": [["gridtide_entry_rows"]]}', "[]"]
)
def test_a_file_of_another_shape_costs_only_its_own_samples(damage: str, tmp_path: Path) -> None:
    """What is scraped has the samples of other flows, and the next run of the flow writes its file anew."""
    save_samples(tmp_path, list_samples("monitor", report(RESULT), FINISHED))
    (tmp_path / "ingest.json").write_text(damage)
    assert {sample.labels["flow"] for sample in load_samples(tmp_path)} == {"monitor"}
    save_samples(tmp_path, list_samples("ingest", report(RESULT), FINISHED))
    assert {sample.labels["flow"] for sample in load_samples(tmp_path)} == {"ingest", "monitor"}


@pytest.mark.parametrize(
    "place",
    [
        *("http://HOST:port/", "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://[bad", "127.0.0.1:9091"),
        *("http://ada:planted-secret#1@127.0.0.1:9", "http://ada:12#planted-secret@127.0.0.1:9", "http://"),
    ],
)
def test_a_place_that_is_no_url_is_a_warning_without_any_of_it(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the variable says, no run fails; nothing of it is told, as a part of it may be a password."""
    monkeypatch.setenv(PUSHGATEWAY, place)
    (warning,) = exporting.export_samples(list_samples("ingest", report(RESULT), FINISHED))
    assert "GRIDTIDE_PUSHGATEWAY is no URL such as http://HOST:9091" in warning
    assert "planted-secret" not in warning
    assert "99999" not in warning


def test_the_address_of_a_gateway_has_no_password() -> None:
    """User and password are unquoted, and the address is what is left, also of an address of IPv6."""
    gateway = exporting.split_gateway_url("https://ada:pa%23ss@[::1]:9091/push")
    assert gateway == ("https://[::1]:9091/push", "ada", "pa#ss")
    assert exporting.split_gateway_url("http://gateway:9091") == ("http://gateway:9091", None, "")


@pytest.mark.parametrize(
    "place", ["http://ada:planted-secret@127.0.0.1:9", "http://127.0.0.1:9/", "no url at all", "ftp://x"]
)
async def test_a_gateway_that_is_away_is_one_warning(
    place: str, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run succeeds; one warning says what is not exported and the fix, without a password."""
    monkeypatch.setenv(PUSHGATEWAY, place)
    params = {"variables": ["demand"]}
    apis = [{"name": name, "source": "synthetic", "output_folder": name, "params": params} for name in ("one", "two")]
    content = await ingest({"lake": str(tmp_path), "apis": apis})
    assert content["pipeline_status"] == "success"
    (warning,) = [record.message for record in caplog.records if "metrics" in record.message]
    assert warning.startswith("metrics are not on the Pushgateway")
    assert 'install "gridtide[metrics]"' in warning
    assert "planted-secret" not in caplog.text


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_an_answer_byte_by_byte_is_given_up(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that never ends its answer does not hold a run: the warning says how long it was waited for."""
    monkeypatch.setattr(exporting, "PUSH_TIMEOUT", 0.5)
    ended = threading.Event()

    class Trickle(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(answer)
                while not ended.wait(0.05):
                    self.request.sendall(answer[-1:])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Trickle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(PUSHGATEWAY, f"http://127.0.0.1:{server.server_address[1]}")
        warnings = exporting.export_samples(list_samples("ingest", report(RESULT), FINISHED))
        ended.set()
        server.shutdown()
    (warning,) = warnings
    assert "no answer within 0.5 s" in warning


@pytest.mark.slow
async def test_prometheus_scrapes_what_a_run_pushed(
    gateway: str, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows and stages of a real run are in Prometheus, under the job, flow and entry of the run."""
    monkeypatch.setenv(PUSHGATEWAY, gateway)
    api = {"name": "grid", "source": "synthetic", "output_folder": "grid", "params": {"variables": ["demand"]}}
    rows = (await ingest({"lake": str(tmp_path / "lake"), "apis": [api]}))["summary"]["rows"]
    with running_prometheus(tmp_path, gateway.removeprefix("http://")) as url:
        query = 'gridtide_entry_rows{job="gridtide",flow="ingest",entry="grid"}'
        found: list[float] = []
        while not found:
            await asyncio.sleep(0.2)  # between its scrapes
            found = ask(url, query)
        assert found == [float(rows)]
        assert len(ask(url, 'gridtide_entry_stage_seconds{entry="grid"}')) == 3


def ask(url: str, query: str) -> list[float]:
    """The values that Prometheus has for `query`."""
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:  # noqa: S310  # a server of the test
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return [float(one["value"][1]) for one in found]
