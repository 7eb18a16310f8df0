"""Tells the Prefect server, and a receiver of OpenLineage events, what a run wrote and from what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.logging import get_run_logger

from flows.run.lineage.datasets import (
    RECEIVER,
    RunDataset,
    build_run_events,
    describe_receiver,
    find_written,
    group_files,
    name_asset,
    post_events,
    receiver_address,
)


async def tell_lineage(
    flow: str, report: Mapping[str, Any], lake: str, read_files: Iterable[str] = (), failure: str = ""
) -> None:
    """Tell what the current run of `flow` wrote to the lake at `lake`, from the files at `read_files`.

    A run that wrote nothing is told to OpenLineage all the same. A receiver that is away is one warning.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    inputs, outputs = group_files(read_files), find_written(report)
    _emit_assets(lake, inputs, outputs)
    address = receiver_address()
    if address is None:
        return
    bounds = (context.flow_run.start_time or context.start_time, datetime.now(UTC))
    events = build_run_events(flow, str(context.flow_run.id), bounds, lake, (inputs, outputs), failure)
    if problem := await post_events(address, events):
        place = describe_receiver(address)
        get_run_logger().warning(
            "the lineage of this run is not at %s: %s. Start the receiver, or unset %s", place, problem, RECEIVER
        )


def _emit_assets(lake: str, inputs: Sequence[RunDataset], outputs: Sequence[RunDataset]) -> None:
    """Emit the events that Prefect itself emits for the assets of a task that materializes them."""
    references = [{"prefect.resource.id": name_asset(lake, item), "prefect.resource.role": "asset"} for item in inputs]
    for item in inputs if outputs else ():
        emit_event("prefect.asset.referenced", _describe_resource(lake, item), related=[])
    for item in outputs:
        payload = {"files": len(item.files), "last": item.files[-1]}
        emit_event(
            "prefect.asset.materialization.succeeded",
            _describe_resource(lake, item),
            related=references,
            payload=payload,
        )


def _describe_resource(lake: str, dataset: RunDataset) -> dict[str, str]:
    return {"prefect.resource.id": name_asset(lake, dataset), "prefect.resource.name": dataset.name}
