"""The flow that makes a training set from the lake's files.

spec ─► files of its series ─► hourly, as known then ─► windows ─► features/<name>/ ─► report

On a cluster, the workers share its locations.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger

from flows.run.cluster import Workers, workers
from flows.run.local_flow import local_flow
from flows.run.session import selected
from gridtide.lake import Lake
from gridtide.training import preparation
from gridtide.training.by_location import LocationExchange
from gridtide.training.features.bases import Base
from gridtide.training.reading import ReadingPlan
from gridtide.training.series.matching import common_shifts
from gridtide.training.spec import TrainingSpec, load_spec
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall


def _check_parameters(spec: TrainingSpec | dict[str, Any] | str, config: str | dict[str, Any], **_: Any) -> None:
    load_spec(spec)
    selected(config, None)


def _run_name() -> str:
    return f"prepare {load_spec(runtime.flow_run.parameters['spec']).name}"


@local_flow(name="prepare_training", flow_run_name=_run_name, check=_check_parameters)
async def prepare_training(
    spec: TrainingSpec | dict[str, Any] | str,
    config: str | dict[str, Any] = "api_config.json",
    lake: str | None = None,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Make a training set from the files that the lake holds, and write it to `features/` there.

    Returns the report that `gridtide.training.prepare` describes. Raises `TrainingError` where the
    spec asks for what the lake does not hold.

    Args:
        spec: What to predict from what; the path of a JSON file, or its content.
        config: The configuration whose entries' files are read: the path of the file, or its content.
        lake: Folder or URI of the lake; the configuration's if empty.
        cluster: Where locations are made: the address of a Dask scheduler, "local" for a process per core
            of this machine; in this process if empty.
    """
    loaded, _ = selected(config, None)
    address = lake or loaded.lake
    opened = await open_lake(address)
    if cluster:
        with workers(cluster, loaded.task_retries) as pool:
            report = await preparation.prepare(spec, loaded, opened, make=partial(_make_remotely, pool, address))
    else:
        report = await preparation.prepare(spec, loaded, opened)
    text = write_markdown(report, opened.uri)
    get_run_logger().info("Prepared a training set: %s", " · ".join(text.split("\n\n")[:2]))
    await acreate_markdown_artifact(text, key="training-set", description=f"Training set {report['name']}")
    return report


async def _make_remotely(pool: Workers, address: str, plan: ReadingPlan, lake: Lake) -> list[Base]:
    """The bases of `plan`, each location gathered and derived by a worker, which finds `lake` at `address`."""
    spec = plan.spec
    exchange = await LocationExchange.begin(plan, lake, f"features/{spec.name}/parts/{runtime.flow_run.id}")
    names = list(enumerate(location.name for location in spec.locations))
    try:
        gathering = (RemoteCall(name, remote.gather_remotely, exchange, n, address) for n, name in names)
        shifts = common_shifts(spec, await pool.run_all("gather", gathering))
        deriving = (RemoteCall(name, remote.derive_remotely, exchange, n, shifts, address) for n, name in names)
        await pool.run_all("derive", deriving)
        return await exchange.read(lake)
    finally:
        await exchange.clear(lake)


def write_markdown(report: dict[str, Any], lake: str) -> str:
    """`report` of a set in `lake` as a person reads it: what is in it, its pictures, and how whole its inputs are."""
    shape, windows = report["shape"], report["splits"]
    lines = [
        f"**{report['name']}** · {report['period']} · {report['path']} ({report['bytes'] / 1e6:.1f} MB)",
        "",
        f"{shape['locations']} location(s) × {shape['steps']} hours × {shape['features']} features, "
        f"{shape['targets']} target(s); windows of {shape['seq_len']} + {shape['horizon']} hours: "
        + ", ".join(f"{count} {name}" for name, count in windows.items()),
    ]
    if report["pictures"]:
        address = f"{lake}/{report['pictures']}"
        link = address if "://" in address else Path(address).as_uri()
        lines += ["", f"[Pictures of coverage, splits and features]({link}) ({address})"]
    for name, location in report["locations"].items():
        lines += ["", f"| {name} | reported | imputed | rejected | missing |", "|---|---:|---:|---:|---:|"]
        for column, shares in location["inputs"].items():
            lines.append(f"| {column} | " + " | ".join(f"{share:.1%}" for share in shares.values()) + " |")
        for series, rules in location["rejected"].items():
            counts = ", ".join(f"{count} {rule}" for rule, count in rules.items() if count)
            lines += ["", f"Rejected of {series}: {counts}"]
        lines += _scaling_lines(name, location)
    if report["dropped"]:
        lines += ["", f"Left out, because never observed or constant in training: {', '.join(report['dropped'])}"]
    return "\n".join(lines)


FURTHEST = 5
"""Columns whose largest scaled values are told; the manifest has all."""


def _scaling_lines(name: str, location: dict[str, Any]) -> list[str]:
    """What of a location has no scale, and how far its furthest columns lie from the mean of training."""
    lines = []
    if location["unscaled"]:
        names = ", ".join(location["unscaled"])
        lines += ["", f"Without a scale in {name}, because never observed or constant in training: {names}"]
    furthest = sorted(location["largest"].items(), key=lambda item: -max(item[1].values()))[:FURTHEST]
    if furthest:
        lines += ["", f"| {name}, largest scaled | " + " | ".join(furthest[0][1]) + " |", "|---|---:|---:|---:|"]
    for column, by_split in furthest:
        lines.append(f"| {column} | " + " | ".join(f"{distance:.1f}" for distance in by_split.values()) + " |")
    return lines
