"""Prepares a training set from the files of the lake.

spec ─► files of its series ─► hourly values as they were available ─► windows ─► features/<name>/ ─► report

On a cluster, the workers share the locations of the set.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger

from flows.run.cluster import Workers, connect_workers
from flows.run.local_flow import local_flow
from flows.run.session import load_selected
from gridtide.lake import Lake
from gridtide.training import preparation
from gridtide.training.by_location import LocationExchange
from gridtide.training.features.bases import Base
from gridtide.training.manifest import read_manifest, set_folder
from gridtide.training.reading import ReadingPlan
from gridtide.training.series.matching import common_shifts
from gridtide.training.spec import TrainingSpec, load_spec
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall


def _check_parameters(spec: TrainingSpec | dict[str, Any] | str, config: str | dict[str, Any], **_: Any) -> None:
    load_spec(spec)
    load_selected(config, None)


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
) -> dict[str, Any]:
    """Prepare a training set from the files of the lake, and write it to `features/` in the lake or in another place.

    Returns the report that `gridtide.training.prepare` describes. Raises `TrainingError` if the lake does not contain
    the data that the spec requests.

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
    """
    loaded, _ = load_selected(config, None)
    address = lake or loaded.lake
    opened_lake = await open_lake(address, make=out is None)
    target = opened_lake if out is None else await open_lake(out)
    inputs = (await read_manifest(files_of, opened_lake))["inputs"] if files_of else None
    prepare = partial(preparation.prepare, spec, loaded, opened_lake, out=target, inputs=inputs, replace=replace)
    if cluster:
        with connect_workers(cluster, loaded.task_retries) as dask_workers:
            report = await prepare(make=partial(_build_bases, dask_workers, address, out or address, target))
    else:
        report = await prepare()
    markdown = write_markdown(report, target.uri)
    get_run_logger().info("Prepared a training set: %s", " · ".join(markdown.split("\n\n")[:2]))
    await acreate_markdown_artifact(markdown, key="training-set", description=f"Training set {report['name']}")
    return report


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


def write_markdown(report: dict[str, Any], lake: str) -> str:
    """The `report` of a training set as Markdown: its sizes, its pictures, and the quality of its inputs.

    `lake` is the URI of the lake that contains the set.
    """
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
        for finding in _describe_location(name, location):
            lines += ["", finding]
    for finding in _describe_dropped(report):
        lines += ["", finding]
    return "\n".join(lines)


def list_findings(report: dict[str, Any]) -> list[str]:
    """What a reader of the `report` must know of the set, a sentence each: what was rejected, imputed, missing or left
    out, how far values lie from the mean of the train hours, and which targets were known before."""
    sentences = []
    for name, location in report["locations"].items():
        for column, shares in location["inputs"].items():
            parts = [f"{share:.1%} {quality}" for quality, share in shares.items() if share and quality != "reported"]
            sentences += [f"{name}, {column}: {', '.join(parts)}"] if parts else []
        sentences += _describe_location(name, location)
    return sentences + _describe_dropped(report)


FURTHEST = 5
"""The number of columns whose largest scaled values are shown; the manifest has all."""


def _describe_location(name: str, location: dict[str, Any]) -> list[str]:
    """What was rejected of a location, its columns without a scale, its largest scaled values, in deviations of the
    train hours, and its targets that were published before t0."""
    sentences = []
    for series, rules in location["rejected"].items():
        counts = ", ".join(f"{count} {rule}" for rule, count in rules.items() if count)
        sentences.append(f"Rejected of {series}: {counts}")
    if location["unscaled"]:
        unscaled = ", ".join(location["unscaled"])
        sentences.append(f"Without a scale in {name}, because never observed or constant in training: {unscaled}")
    furthest = sorted(location["largest"].items(), key=lambda column: -max(column[1].values()))[:FURTHEST]
    if furthest:
        columns = [
            f"{column} ({', '.join(f'{distance:.1f} in {split}' for split, distance in by_split.items())})"
            for column, by_split in furthest
        ]
        sentences.append(f"Largest scaled values in {name}: {'; '.join(columns)}")
    for target, share in location["known_before"].items():
        if share:
            sentences.append(f"{share:.1%} of the values of {target} were published before their window's t0")
    return sentences


def _describe_dropped(report: dict[str, Any]) -> list[str]:
    dropped = ", ".join(report["dropped"])
    return [f"Left out, because never observed or constant in training: {dropped}"] if dropped else []
