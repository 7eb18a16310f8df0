"""Threads for blocking work, outside the event loop."""

from __future__ import annotations

import asyncio
import os
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


_MANY_CELLS = 1 << 18
"""Fewer cells are computed sooner than threads have started."""


def compute_columns(call: Callable[[int], None], columns: int, rows: int) -> None:
    """Calls `call` with the number of each of `columns`, of as many `rows`, and raises the first error.

    Many cells are divided among as many threads as there are cores: NumPy computes without the interpreter lock. The
    threads end with the call, so that a process may be forked at any other time.
    """
    threads = min(columns, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if threads < 2 or columns * rows < _MANY_CELLS:
        for column in range(columns):
            call(column)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="gridtide.columns") as pool:
        for _ in pool.map(call, range(columns)):
            pass


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
