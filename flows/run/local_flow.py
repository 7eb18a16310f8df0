"""Flows that start a local server when they are called from Python, and skip late runs whose work is done.

    due  01:12   02:12   03:12      the machine sleeps      06:30
          │       │       │                                   │
          └───────┴───────┴──── late, all start now ─────────►├─ run of 01:12: requests everything until now
                                                              ├─ run of 02:12: skipped
                                                              └─ run of 03:12: skipped

A run requests everything that is due when it starts. So a run is superseded by a run of the same deployment, with the
same parameters, that started after the run was due. Runs that a person started are never skipped.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.serializers import JSONSerializer
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed
from prefect.utilities.callables import get_call_parameters

from flows.run import run_log
from flows.run.local_server import ensure_server
from gridtide.config.readings import reading_once
from tasks.tracing import export_traces

P = ParamSpec("P")


R = TypeVar("R")


class LocalFlow(Flow[P, Coroutine[Any, Any, R]]):
    """An async flow that, when it is called as a function, first connects to a Prefect server or starts one.

    Runs of its deployments do not use this call: their process gets the URL of its server from the worker.
    """

    def __init__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], check: Callable[..., object] | None = None, **options: Any
    ) -> None:
        super().__init__(fn, **options)
        self.check = check
        run_log.forward_logs()
        export_traces()  # before the engine makes the span of a run

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:  # type: ignore[override]  # one signature for all flows
        """Run the flow; `return_state=True` gives its final state instead of its result."""
        return self._run(super().__call__, *args, **kwargs)

    async def _run(self, call: Callable[..., Any], *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
        with reading_once():  # the check and the run use the same configuration and training spec
            if self.check is not None:
                self.check(**get_call_parameters(self.fn, args, kwargs))
            api_url = await asyncio.to_thread(ensure_server)
            with temporary_settings({PREFECT_API_URL: api_url}):
                return await call(*args, return_state=return_state, **kwargs)


def local_flow(
    *, check: Callable[..., object] | None = None, **options: Any
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], LocalFlow[P, R]]:
    """Make an async function a `LocalFlow`; `options` are those of Prefect's `flow`.

    `check` is called with the flow's parameters before anything is started or recorded, and raises an error if they
    are wrong. A run that is superseded ends at once.
    """

    # Other processes read the result of a deployment's run from storage. JSON, not pickle: reading a pickle could run
    # code, and so could `{"__class__": …}` with an object decoder.
    stored_as_json = {"persist_result": True, "result_serializer": JSONSerializer(object_decoder=None)}

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> LocalFlow[P, R]:
        @functools.wraps(function)
        async def run_unless_superseded(*args: P.args, **kwargs: P.kwargs) -> R:
            # A state that a flow function returns is the final state of its run.
            return await skip_superseded() or await function(*args, **kwargs)  # type: ignore[return-value]

        # Prefect validates parameters by these types; unevaluated, it would look up their names in this module.
        run_unless_superseded.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
        return LocalFlow(run_unless_superseded, check, **{**stored_as_json, **options})

    return decorate


SKIPPED = "Skipped"
"""The name of the final state of a superseded run; the type of the state is Completed."""


async def skip_superseded() -> State[None] | None:
    """The final state of the current run if it is superseded, else None."""
    context = FlowRunContext.get()
    flow_run = context.flow_run if context else None
    if flow_run is None or not _is_automatic(flow_run):
        return None
    superseding = await _find_superseding(flow_run)
    if superseding is None:
        return None
    due = flow_run.expected_start_time
    message = f'Run "{superseding.name}" started after this one was due at {due} and did its work'
    return Completed(name=SKIPPED, message=message)


def _is_automatic(flow_run: FlowRun) -> bool:
    """Whether a schedule or an automation, not a person, started `flow_run`."""
    return flow_run.auto_scheduled or (flow_run.created_by is not None and flow_run.created_by.type == "AUTOMATION")


async def _find_superseding(flow_run: FlowRun) -> FlowRun | None:
    """A run of the same deployment with the same parameters that started after `flow_run` was due, and that has ended.

    A failed run counts, as it tried the same. A skipped or crashed run does not count.
    """
    if flow_run.deployment_id is None or flow_run.expected_start_time is None:
        return None
    ended_since = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Completed", "Failed"])),
        start_time=FlowRunFilterStartTime(after_=flow_run.expected_start_time),
    )
    same_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[flow_run.deployment_id]))
    async with get_client() as client:
        candidates = await client.read_flow_runs(flow_run_filter=ended_since, deployment_filter=same_deployment)
    alike = (candidate for candidate in candidates if candidate.parameters == flow_run.parameters)
    return next((candidate for candidate in alike if candidate.id != flow_run.id), None)
