"""Threads for blocking work, outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_COMPUTING = ThreadPoolExecutor(1, thread_name_prefix="gridtide.computing")
"""Parsing and encoding hold the interpreter lock most of the time. A second thread would slow down the event loop,
which has to request the next page, and use 20 MB more, without any gain."""

_DECODING = ThreadPoolExecutor(2, thread_name_prefix="gridtide.decoding")
"""For months and large files: Arrow decodes them without the interpreter lock while earlier rows are processed."""

_BLOCKING = ThreadPoolExecutor(32, thread_name_prefix="gridtide.blocking")
"""For the object store's blocking calls. Its own futures end in native threads that may still hold Python objects when
the interpreter exits, which then aborts, in about one run of sixty."""


async def run_computing(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Runs `call`, which is CPU-bound, in the computing thread and returns its result."""
    return await _run_in(_COMPUTING, call, *arguments, **options)


async def run_decoding(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Runs `call`, which decodes Parquet, in a decoding thread and returns its result."""
    return await _run_in(_DECODING, call, *arguments, **options)


async def run_blocking(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Runs `call`, which waits for a store, in a blocking thread and returns its result."""
    return await _run_in(_BLOCKING, call, *arguments, **options)


async def _run_in(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, partial(call, *arguments, **options))
