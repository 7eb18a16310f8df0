"""Prepares a training set from the files of the lake.

spec ─► files of its series ─► hourly values as they were available ─► windows ─► features/<name>/ ─► report

On a cluster, the workers share the locations of the set.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from prefect import get_run_logger, runtime

from flows.run.cluster import Workers, connect_workers
from flows.run.local_flow import local_flow
from flows.run.report import Column, MarkdownArtifact, ReportLayout, RunReport, finish
from flows.run.session import load_selected
from gridtide.errors import StorageError, TrainingError
from gridtide.lake import Lake
from gridtide.threads import run_blocking
from gridtide.tracking.tracked_set import read_tracked_set
from gridtide.tracking.trackers import TRACKING, Tracker, load_trackers, track_set
from gridtide.training import preparation
from gridtide.training.by_location import LocationExchange
from gridtide.training.features.bases import Base
from gridtide.training.manifest import read_manifest, set_folder
from gridtide.training.reading import ReadingPlan
from gridtide.training.reports import set_report
from gridtide.training.series.matching import common_shifts
from gridtide.training.spec import TrainingSpec, load_spec
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall
from tasks.secrets import read_environment


def _check_parameters(
    spec: TrainingSpec | dict[str, Any] | str,
    config: str | dict[str, Any],
    cluster: str | None,
    replace: bool,
    extend: bool,
    **_: Any,
) -> None:
    name = load_spec(spec).name
    load_selected(config, None)
    if extend and (replace or cluster):
        option, reason = ("replace", "keeps the set") if replace else ("cluster", "reads little, in this process")
        raise TrainingError(name, f"extend {reason}, and does not go with {option}", f"Leave out extend, or {option}")


def _run_name() -> str:
    return f"prepare {load_spec(runtime.flow_run.parameters['spec']).name}"


@local_flow(name="prepare_training", flow_run_name=_run_name, check=_check_parameters)
async def prepare_training(
    spec: TrainingSpec | dict[str, Any] | str,
    config: str | dict[str, Any] = "api_config.json",
    lake: str | None = None,
    cluster: str | None = None,
    replace: bool = False,
    files_of: str | None = None,
    out: str | None = None,
    extend: bool = False,
) -> dict[str, Any]:
    """Prepare a training set from the files of the lake, and write it to `features/` in the lake or in another place.

    Returns the report that `training_report` describes. The set is logged to the trackers that `GRIDTIDE_TRACKING`
    names. Raises `TrainingError` if the lake does not contain the data that the spec requests, `ConfigurationError` for
    trackers that are not known or not installed.

    Args:
        spec: The training spec, which lists targets and inputs: the path of a JSON file, or its content.
        config: The configuration whose entries' files are read: the path of the file, or its content.
        lake: Folder or URI of the lake; the configuration's if empty.
        cluster: Where locations are prepared: the address of a Dask scheduler, or "local" for a process per core of
            this machine; in this process if empty.
        replace: Replace a set of the same name that was made of another spec.
        files_of: The path of an earlier set's manifest, on this machine or in the lake: exactly the files that it
            names are read.
        out: Folder or URI to which the set is written, in `features/NAME/`; the lake if empty. Otherwise the lake is
            only read.
        extend: Add the hours that the lake has after those of the set of this spec, which stay as they are; splits,
            scales and columns are those of the set, and the new hours belong to test.
    """
    settings, _ = load_selected(config, None)
    address = lake or settings.lake
    opened_lake = await open_lake(address, make=out is None)
    target = opened_lake if out is None else await open_lake(out)
    trackers = await run_blocking(load_trackers, read_environment([TRACKING]).get(TRACKING, ""))
    inputs = (await read_manifest(files_of, opened_lake))["inputs"] if files_of else None
    prepare = partial(
        preparation.prepare, spec, settings, opened_lake, out=target, inputs=inputs, replace=replace, extend=extend
    )
    if cluster:
        with connect_workers(cluster, settings.task_retries) as dask_workers:
            description = await prepare(make=partial(_build_bases, dask_workers, address, out or address, target))
    else:
        description = await prepare()
    folder = description["path"].rpartition("/")[0]
    await _track(trackers, folder, target)
    manifest = await read_manifest(f"{folder}/manifest.json", target)
    files = [pinned["path"] for pinned in manifest["inputs"]]
    return await finish(training_report(description, target.uri), lake=target, read_files=files)


async def _track(trackers: Mapping[str, Tracker], folder: str, target: Lake) -> None:
    """Tell the trackers of the set in `folder` of `target`; the log has their runs, and what could not be told."""
    if not trackers:
        return
    try:
        runs, problems = await run_blocking(track_set, trackers, await read_tracked_set(target, folder))
    except StorageError as error:  # the set is written, and a run must not fail because it cannot be read just now
        runs, problems = [], [str(error)]
    for run in runs:
        get_run_logger().info("the set is logged: %s", run)
    for problem in problems:
        get_run_logger().error("%s", problem)


def training_report(description: Mapping[str, Any], lake: str) -> RunReport:
    """The report of a run that wrote the training set with this `description` to the lake with the URI `lake`:

    - the keys of the report that `gridtide.training.prepare` describes, and `lake`
    - `pipeline_status`: `success`; a set is written as a whole or not at all
    - `summary`: the number of `windows` of all splits, and `bytes`
    - `results` per location: `name`, the number of its `targets` and `columns`, `error` (null)
    """
    results = [
        {"name": name, "targets": len(location["targets"]), "columns": len(location["columns"]), "error": None}
        for name, location in description["locations"].items()
    ]
    return RunReport(
        PREPARE_LAYOUT,
        "success",
        results,
        {"windows": sum(description["splits"].values()), "bytes": description["bytes"]},
        parameters={**description, "lake": lake},
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    return set_report.describe_sizes(report, report["lake"])


def _write_markdown(report: Mapping[str, Any]) -> str:
    return set_report.write_markdown(report, report["lake"])


PREPARE_LAYOUT = ReportLayout(
    "prepare",
    _write_headline,
    (Column("location", "name"), Column("targets", "targets"), Column("columns", "columns")),
    MarkdownArtifact("training-set", _write_markdown),
    set_report.list_findings,
)


async def _build_bases(
    dask_workers: Workers, address: str, target_address: str, target: Lake, plan: ReadingPlan, _: Lake
) -> list[Base]:
    """The bases of `plan`; workers gather and derive each location. They open the lake at `address`, and exchange
    arrays through `target`, which they open at `target_address`."""
    spec = plan.spec
    exchange = await LocationExchange.begin(plan, target, f"{set_folder(spec)}/parts/{runtime.flow_run.id}")
    locations = list(enumerate(location.name for location in spec.locations))
    try:
        gathering = (
            RemoteCall(name, remote.gather_remotely, exchange, number, address, target_address)
            for number, name in locations
        )
        shifts = common_shifts(spec, await dask_workers.run_all("gather", gathering))
        deriving = (
            RemoteCall(name, remote.derive_remotely, exchange, number, shifts, target_address)
            for number, name in locations
        )
        await dask_workers.run_all("derive", deriving)
        return await exchange.read(target)
    finally:
        await exchange.clear(target)
