"""Finds and removes what a Prefect server has recorded of old runs of Gridtide.

    runs that ended before a moment ─► their artifacts, result files of this machine, then the runs themselves
                                       └► the server removes task runs and states with a run, and its logs after it

Only runs of Gridtide's own flows are considered, as a server may have flows of others. The API cannot remove events:
the server removes them by itself, after `PREFECT_SERVER_EVENTS_RETENTION_PERIOD`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort, LogSort
from prefect.events.filters import EventFilter, EventOccurredFilter
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from tasks.schedule_states import GRIDTIDE_TAG

T = TypeVar("T")

RECORDS_LISTED = 200
"""The most records in an answer of the server."""

BATCH = 50
"""The most runs that the server removes by one request."""


@dataclass(frozen=True)
class ServerRecords:
    """The numbers of records of some runs: `flow_runs`, their `task_runs`, `artifacts` and `logs`, and the `results`
    that are files of this machine."""

    flow_runs: int = 0
    task_runs: int = 0
    artifacts: int = 0
    logs: int = 0
    results: int = 0

    def __add__(self, addend: ServerRecords) -> ServerRecords:
        """The sums of both."""
        totals = asdict(addend)
        return ServerRecords(**{name: number + totals[name] for name, number in asdict(self).items()})


async def list_expired_runs(client: PrefectClient, flow_names: Sequence[str], before: datetime) -> list[FlowRun]:
    """The runs of Gridtide's flows, called `flow_names`, that ended before `before`.

    These are the runs with Gridtide's tag, and runs without a deployment that have the parameters of all of
    our flows: `config` and `lake`. A flow of somebody else may well have the name `ingest`, and a configuration.
    """
    finished = FlowRunFilter(
        end_time=FlowRunFilterEndTime(before_=before),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
    )
    flows = FlowFilter(name=FlowFilterName(any_=list(flow_names)))

    async def read_page(offset: int) -> list[FlowRun]:
        return await client.read_flow_runs(
            flow_filter=flows, flow_run_filter=finished, sort=FlowRunSort.ID_DESC, limit=RECORDS_LISTED, offset=offset
        )

    return [run for run in await _read_pages(read_page) if _is_from_gridtide(run)]


async def count_records(client: PrefectClient, runs: Sequence[FlowRun]) -> ServerRecords:
    """The numbers of records of `runs`."""
    counts = ServerRecords()
    for start in range(0, len(runs), BATCH):
        batch = runs[start : start + BATCH]
        artifacts, files, (task_runs, logs) = await asyncio.gather(
            _list_artifacts(client, batch), _list_result_files(client, batch), _count_children(client, batch)
        )
        counts += ServerRecords(len(batch), task_runs, len(artifacts), logs, len(files))
    return counts


async def remove_records(client: PrefectClient, runs: Sequence[FlowRun]) -> None:
    """Removes at most `BATCH` of `runs` and their records.

    The runs are removed last: if this is interrupted, the next call finds what is left through its run.
    """
    artifacts, files = await asyncio.gather(_list_artifacts(client, runs), _list_result_files(client, runs))
    for identity in artifacts:
        try:
            await client.delete_artifact(identity)
        except ObjectNotFound:  # removed by somebody else
            continue
    await asyncio.to_thread(_remove_files, files)
    await client.request("POST", "/flow_runs/bulk_delete", json={"flow_runs": _write_filter(runs), "limit": BATCH})  # type: ignore[arg-type]  # no method of the client


async def count_events(client: PrefectClient, before: datetime) -> int:
    """The number of events on the server that occurred before `before`."""
    # `since` has a default of some days before now
    occurred = EventOccurredFilter(since=datetime.min.replace(year=2000, tzinfo=before.tzinfo), until=before)
    return (await client.read_events(EventFilter(occurred=occurred), limit=1)).total


def _is_from_gridtide(run: FlowRun) -> bool:
    return GRIDTIDE_TAG in run.tags or (run.deployment_id is None and run.parameters.keys() >= {"config", "lake"})


async def _list_artifacts(client: PrefectClient, runs: Sequence[FlowRun]) -> list[UUID]:
    artifact_filter = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id for run in runs]))

    async def read_page(offset: int) -> list[Any]:
        return await client.read_artifacts(artifact_filter=artifact_filter, limit=RECORDS_LISTED, offset=offset)

    return [artifact.id for artifact in await _read_pages(read_page)]


async def _count_children(client: PrefectClient, runs: Sequence[FlowRun]) -> tuple[int, int]:
    """The numbers of task runs and of lines of logs of `runs`."""
    response = await client.request("POST", "/task_runs/count", json={"flow_runs": _write_filter(runs)})
    log_filter = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id for run in runs]))

    async def read_page(offset: int) -> list[Any]:  # the API has no number of logs
        return await client.read_logs(log_filter, limit=RECORDS_LISTED, offset=offset, sort=LogSort.TIMESTAMP_ASC)

    return response.json(), len(await _read_pages(read_page))


async def _list_result_files(client: PrefectClient, runs: Sequence[FlowRun]) -> list[Path]:
    """The files of this machine with the results of `runs` and of their task runs."""
    run_filter = FlowRunFilter(id=FlowRunFilterId(any_=[run.id for run in runs]))

    async def read_page(offset: int) -> list[Any]:
        return await client.read_task_runs(flow_run_filter=run_filter, limit=RECORDS_LISTED, offset=offset)

    states = [run.state for run in [*runs, *await _read_pages(read_page)] if run.state]
    return await asyncio.to_thread(_find_files, states)


def _find_files(states: Sequence[State]) -> list[Path]:
    """The files in the folder of results of this machine that the data of `states` name, each of them once."""
    folder = get_current_settings().results.local_storage_path.resolve()
    keys = {str(getattr(state.data, "storage_key", None) or "") for state in states}
    paths = (folder / key for key in keys if key)  # an absolute key stands for itself
    return [path for path in paths if path.resolve().is_relative_to(folder) and path.is_file()]


def _remove_files(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _write_filter(runs: Sequence[FlowRun]) -> dict[str, Any]:
    return FlowRunFilter(id=FlowRunFilterId(any_=[run.id for run in runs])).model_dump(mode="json")


async def _read_pages(read_page: Callable[[int], Awaitable[list[T]]]) -> list[T]:
    """The records of all pages that `read_page` returns by the number of records before a page."""
    records: list[T] = []
    while len(records) % RECORDS_LISTED == 0:
        page = await read_page(len(records))
        if not page:
            break
        records += page
    return records
