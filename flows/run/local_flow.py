"""Flows that bring their own server when they are called from Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.serializers import JSONSerializer
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import get_call_parameters

from flows.run import run_log
from flows.run.local_server import ensure_server
from gridtide.config.loading import reading_once

P = ParamSpec("P")


R = TypeVar("R")


class LocalFlow(Flow[P, Coroutine[Any, Any, R]]):
    """An async flow that, awaited as a function, first makes sure that there is a Prefect server.

    Runs of its deployments do not come this way: their process is told its server.
    """

    def __init__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], check: Callable[..., object] | None = None, **options: Any
    ) -> None:
        super().__init__(fn, **options)
        self.check = check
        run_log.follow()

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:  # type: ignore[override]  # one for all
        """Run the flow; `return_state=True` gives its final state instead of its result."""
        return self._run(super().__call__, *args, **kwargs)

    async def _run(self, call: Callable[..., Any], *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
        with reading_once():  # what was checked is what is run
            if self.check is not None:
                self.check(**get_call_parameters(self.fn, args, kwargs))
            url = await asyncio.to_thread(ensure_server)
            with temporary_settings({PREFECT_API_URL: url}):
                return await call(*args, return_state=return_state, **kwargs)


def local_flow(
    *, check: Callable[..., object] | None = None, **options: Any
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], LocalFlow[P, R]]:
    """Make an async function a `LocalFlow`; `options` are those of Prefect's `flow`.

    `check` is called with the flow's parameters before anything is started or recorded, and raises
    what is wrong with them.
    """

    # Whoever starts a run of a deployment reads its result from where it is kept: as JSON, never a
    # pickle, and no `{"__class__": …}` in some data is ever called.
    kept = {"persist_result": True, "result_serializer": JSONSerializer(object_decoder=None)}

    def decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> LocalFlow[P, R]:
        return LocalFlow(fn, check, **{**kept, **options})

    return decorate
