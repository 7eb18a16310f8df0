"""Metrics of this machine are scraped; the shipped alert rules and the dashboard use the metrics that there are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.machine.metrics_endpoint import read_address, serving_endpoint
from flows.run.metrics.exporting import ADDRESS, save_samples
from flows.run.metrics.samples import HELP, list_samples
from gridtide.errors import ConfigurationError
from tests.flows.run.metrics.test_samples import RESULT, report
from tests.support.processes.prometheus import answers, find_program, scrape
from tests.support.processes.s3_servers import free_port

METRICS = Path(__file__).parents[3] / "deployments" / "metrics"


def test_what_runs_saved_is_scraped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scrape has what runs have saved by then, with help; promtool finds nothing wrong with it."""
    port = free_port()
    monkeypatch.setenv(ADDRESS, str(port))
    with serving_endpoint(tmp_path):
        assert "gridtide" not in scrape(port)
        save_samples(tmp_path, list_samples("ingest", report(RESULT, rows=1, seconds=1.0), datetime.now(UTC)))
        content = scrape(port)
    assert 'gridtide_entry_rows{entry="demand",flow="ingest"} 100.0' in content
    assert "# TYPE gridtide_entry_rows gauge" in content
    checked = subprocess.run(
        [find_program("promtool"), "check", "metrics"], input=content, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_endpoint_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """If the parent is killed, also after it became another program, the endpoint ends."""
    port = free_port()
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from deployments.machine.metrics_endpoint import start_endpoint\n"
        "print(start_endpoint(Path(sys.argv[1])).pid, flush=True)\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    environment = {**os.environ, ADDRESS: str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        scrape(port)
        parent.kill()
        while answers(f"http://127.0.0.1:{port}/metrics"):
            time.sleep(0.05)
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "address"),
    [("9105", ("127.0.0.1", 9105)), ("0.0.0.0:9105", ("0.0.0.0", 9105)), ("", None)],  # noqa: S104  # as the user wants
)
def test_an_address_is_a_port_or_host_and_port(
    text: str, address: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port alone is one of this machine."""
    monkeypatch.setenv(ADDRESS, text)
    assert read_address() == address


@pytest.mark.parametrize("text", ["0", "65536", "here", "localhost:", "-1"])
def test_another_address_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no address is refused with the name of the variable and an example."""
    monkeypatch.setenv(ADDRESS, text)
    with pytest.raises(ConfigurationError, match=rf'{ADDRESS}: .* is no address. Give a port such as "9105"'):
        read_address()


def test_the_alert_rules_do_what_they_say() -> None:
    """promtool accepts the rules and the configuration, and each alert fires and does not in the shipped test."""
    promtool = find_program("promtool")
    for arguments in (["check", "config", "prometheus.yaml"], ["test", "rules", "alerts_test.yaml"]):
        checked = subprocess.run([promtool, *arguments], cwd=METRICS, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    alerts = set(re.findall(r"alert: (\w+)", (METRICS / "alerts.yaml").read_text()))
    assert set(re.findall(r"alertname: (\w+)", (METRICS / "alerts_test.yaml").read_text())) == alerts


def test_rules_and_dashboard_use_the_metrics_that_there_are() -> None:
    """Every metric in the alert rules and the dashboard exists, and every metric is on the dashboard or in an alert."""
    dashboard = json.loads((METRICS / "dashboard.json").read_text())
    queries = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    used = set(re.findall(r"\bgridtide_\w+", queries + (METRICS / "alerts.yaml").read_text()))
    assert used - HELP.keys() == set()
    assert HELP.keys() - used <= {
        "gridtide_entry_finished_timestamp_seconds",
        "gridtide_entry_bytes",
        "gridtide_entry_rows_per_second",
    }


def test_the_page_lists_every_metric() -> None:
    """docs/metrics.md names exactly the metrics that there are."""
    page = (METRICS.parents[1] / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"`(gridtide_\w+)`", page)) == HELP.keys()
