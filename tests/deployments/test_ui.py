"""The Prefect UI in a real browser: a run is started with the form, and its results are shown."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from matplotlib.image import imread
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.objects import FlowRun
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as seen
from selenium.webdriver.support.wait import WebDriverWait

from flows.ingest import ingest
from tests.support.processes.browsers import started_browser
from tests.support.processes.served import served, synthetic

CONFIG = {
    "schedules": {"hourly": {"cron": "12 * * * *", "description": "after the hour"}},
    "apis": [synthetic("isne_demand", "hourly"), synthetic("ciso_demand", "hourly")],
}
AREAS = ("isne", "ciso", "pjm", "miso", "ercot", "nyiso", "swpp", "bpat", "tva", "duke")
QUANTITIES = ("demand", "demand_forecast", "generation_by_fuel", "interchange", "day_ahead_prices")
COMPLETED = (33 / 255, 157 / 255, 75 / 255)
"""The colour of a task that completed."""

READABLE = 6
"""Pixels that a bar is high with a name in it. The longer a run takes, the lower are those that fit the window."""

PICTURES = os.environ.get("GRIDTIDE_PICTURES")
"""A folder for what the browser sees, to renew docs/img."""


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium."""
    with started_browser() as chrome:
        yield chrome


def wait_for(browser: webdriver.Chrome, xpath: str, seconds: float = 60) -> WebElement:
    """The element at `xpath`, once it is visible."""
    return WebDriverWait(browser, seconds).until(seen.visibility_of_element_located((By.XPATH, xpath)))


def click(browser: webdriver.Chrome, xpath: str) -> None:
    """Click on the element at `xpath`, once no animation covers it."""

    def clicked(browser: webdriver.Chrome) -> bool:
        browser.find_element(By.XPATH, xpath).click()
        return True

    passing = (
        NoSuchElementException,
        StaleElementReferenceException,
        ElementNotInteractableException,
        ElementClickInterceptedException,
    )
    WebDriverWait(browser, 60, ignored_exceptions=passing).until(clicked)


def submitted(browser: webdriver.Chrome, client: SyncPrefectClient, deployment: UUID) -> UUID:
    """The flow run that the form made, once it completed; a click while the form still loads its parameters does
    nothing, and one that is late makes a second run, which waits."""
    of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))

    def runs(_: webdriver.Chrome) -> list[FlowRun]:
        return client.read_flow_runs(deployment_filter=of_deployment)

    def completed(browser: webdriver.Chrome) -> list[UUID]:
        return [run.id for run in runs(browser) if run.state and run.state.is_completed()]

    for _ in range(6):
        click(browser, "//button[normalize-space()='Submit']")
        with suppress(TimeoutException):
            WebDriverWait(browser, 10).until(runs)
            return WebDriverWait(browser, 240).until(completed)[0]
    raise AssertionError(f"the form made no run that completed: {runs(browser)}")


def picture(browser: webdriver.Chrome, name: str) -> None:
    """Save a screenshot, if requested."""
    if PICTURES:
        browser.save_screenshot(str(Path(PICTURES) / f"{name}.png"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_is_started_from_the_form(
    browser: webdriver.Chrome, prefect_server: str, prefect_home: Path, tmp_path: Path
) -> None:
    """The form explains each parameter; the submitted run completes, and its report is an artifact."""
    ui = prefect_server.removesuffix("/api")
    with served(CONFIG, tmp_path, prefect_server, prefect_home), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("ingest/hourly")
        browser.get(f"{ui}/deployments/deployment/{deployment.id}/run")
        wait_for(browser, "//*[contains(text(), 'Names of the entries to collect; all if empty.')]")
        assert "isne_demand" in [box.get_property("value") for box in browser.find_elements(By.TAG_NAME, "textarea")]
        picture(browser, "form")

        run = submitted(browser, client, deployment.id)
        browser.get(f"{ui}/runs/flow-run/{run}")
        wait_for(browser, "//*[contains(@class, 'state-badge') and contains(., 'Completed')]")
        picture(browser, "run")

        browser.get(f"{ui}/artifacts/key/ingest")
        of_run, of_key = ArtifactFilterFlowRunId(any_=[run]), ArtifactFilterKey(any_=["ingest"])
        (report,) = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=of_run, key=of_key))
        click(browser, f"//a[contains(@href, '/artifacts/artifact/{report.id}')]")
        wait_for(browser, "//td[contains(., 'isne_demand')]")
        picture(browser, "artifact")
    assert {path.parent.name for path in (tmp_path / "lake").rglob("*.parquet")} == {"isne_demand", "ciso_demand"}


def bars(browser: webdriver.Chrome) -> int:
    """How many bars of completed tasks the browser shows, one above the other and high enough to be read."""
    pixels = imread(BytesIO(browser.get_screenshot_as_png()), format="png")[..., :3]
    lines = (abs(pixels - COMPLETED) < 0.03).all(axis=2).any(axis=1)
    begin, end = (np.flatnonzero(np.diff(lines.astype(int), prepend=0, append=0) == step) for step in (1, -1))
    return int((end - begin >= READABLE).sum())


def drawn(browser: webdriver.Chrome, page: str, wanted: int) -> None:
    """Open `page`, a run's, and have its graph fill the window, so that `wanted` bars are apart.

    A click before the graph is drawn does nothing, and a busy machine may draw nothing at all: then the page is
    opened anew.
    """
    for _ in range(4):
        browser.get(page)
        wait_for(browser, "//*[contains(@class, 'state-badge') and contains(., 'Completed')]")
        click(browser, "//button[contains(@title, 'Toggle fullscreen')]")
        for _ in range(4):
            click(browser, "//button[contains(@title, 'Recenter graph')]")
            with suppress(TimeoutException):
                WebDriverWait(browser, 15).until(lambda browser: bars(browser) == wanted)
                return
    raise AssertionError(f"{bars(browser)} of {wanted} bars are drawn apart")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_graph_of_fifty_entries_shows_each(browser: webdriver.Chrome, prefect_server: str, tmp_path: Path) -> None:
    """The graph has a bar for each entry, named by entry and period, in the order of the configuration."""
    names = [f"{area}_{quantity}" for area in AREAS for quantity in QUANTITIES]
    config = {"lake": str(tmp_path), **CONFIG, "apis": [synthetic(name, "hourly") for name in names]}
    state = asyncio.run(ingest(config=config, return_state=True))
    run = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        graph = "/flow_runs/{id}/graph-v2"
        while len(nodes := client.request("GET", graph, path_params={"id": run}).json()["nodes"]) < len(names):
            time.sleep(0.2)
    begun = sorted((node for _, node in nodes), key=lambda node: node["start_time"])
    assert [node["label"].partition(" 20")[0] for node in begun] == names
    assert not any(node["parents"] for node in begun)

    browser.set_window_size(2000, 1400)
    drawn(browser, f"{prefect_server.removesuffix('/api')}/runs/flow-run/{run}", len(names))
    picture(browser, "graph")
