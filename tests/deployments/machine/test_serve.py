"""`gridtide serve`: all schedules of the configuration in one process."""

import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule

from deployments.registry.catalogue import build_deployments
from flows.run.metrics.exporting import ADDRESS
from gridtide.config.loading import parse
from tests.support.processes.prometheus import scrape
from tests.support.processes.s3_servers import free_port
from tests.support.processes.served import served, synthetic
from tests.support.receiving import Inbox, webhook

HOURLY = {"cron": "12 * * * *", "description": "after the hour"}
DAILY = {"cron": "40 13 * * *", "timezone": "America/New_York"}

CONFIG: dict[str, Any] = {
    "schedules": {"hourly": HOURLY, "daily": DAILY, "unused": HOURLY},
    "apis": [synthetic("a", "hourly"), synthetic("b", "daily"), synthetic("c", "hourly")],
}


def test_each_schedule_is_a_deployment_of_its_entries() -> None:
    """A deployment has the cron and zone of its schedule and selects the entries of that schedule."""
    made = build_deployments(parse(CONFIG), "/etc/api_config.json", "/lake", sandbox=False)
    ingests = {deployment.name: deployment for deployment in made if deployment.flow_name == "ingest"}
    assert list(ingests) == ["hourly", "daily"]
    for name, entries, zone in (("hourly", ["a", "c"], "UTC"), ("daily", ["b"], "America/New_York")):
        (schedule,) = ingests[name].schedules or ()
        assert isinstance(schedule.schedule, CronSchedule)
        assert schedule.schedule.cron == CONFIG["schedules"][name]["cron"]
        assert schedule.schedule.timezone == zone
        assert ingests[name].parameters["select"] == entries
        assert ingests[name].parameters["config"] == "/etc/api_config.json"


def test_the_form_explains_every_parameter() -> None:
    """Each parameter in the form has its type, its default and a description."""
    made = build_deployments(parse(CONFIG), "api_config.json", None, sandbox=False)
    forms = {deployment.flow_name: deployment._parameter_openapi_schema.model_dump() for deployment in made}
    for flow in ("ingest", "backfill"):
        assert all(field["description"] for field in forms[flow]["properties"].values())
    assert forms["backfill"]["properties"]["start"]["format"] == "date-time"


@pytest.mark.slow
@pytest.mark.timeout(600)  # each run imports Prefect anew: long on a loaded machine
@pytest.mark.usefixtures("nobody")
def test_a_run_starts_from_the_server(
    prefect_server: str, prefect_home: Path, tmp_path: Path, unused_tcp_port: int
) -> None:
    """The process runs a run that was created on the server, from any folder; receivers are notified of failures, and
    Prometheus can scrape both."""
    away = {"url": f"http://127.0.0.1:{unused_tcp_port}/", "records": "rows", "time": "time", "value": "mw"}
    gone = {"name": "gone", "output_folder": "gone", "schedule": "gone", "retries": 1, **away}
    schedules = {**CONFIG["schedules"], "gone": HOURLY}
    config = {"schedules": schedules, "apis": [*CONFIG["apis"], gone], "task_retries": {"count": 0}}
    inbox, port = Inbox("ingest/gone"), free_port()
    with (
        webhook(inbox) as hook,
        served(config, tmp_path, prefect_server, prefect_home, GRIDTIDE_NOTIFY=hook, **{ADDRESS: str(port)}) as log,
        get_client(sync_client=True) as client,
    ):
        good, bad = (client.read_deployment_by_name(f"ingest/{name}") for name in ("hourly", "gone"))
        run = client.create_flow_run_from_deployment(good.id)
        client.create_flow_run_from_deployment(bad.id)
        while run.state is None or not run.state.is_final():
            time.sleep(1)
            run = client.read_flow_run(run.id)
        assert run.state.is_completed(), log.read_text()
        assert inbox.until(1)[0][0] == "ingest/gone failed"
        failed = {name: f'gridtide_entry_failed{{entry="{name}",flow="ingest"}}' for name in ("a", "gone")}
        lines = scrape(port).splitlines()
    assert {f"{failed['a']} 0.0", f"{failed['gone']} 1.0"} <= set(lines)
    assert {path.parent.name for path in (tmp_path / "lake").rglob("*.parquet")} == {"a", "c"}
