"""Where blocking work runs, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_COMPUTING = ThreadPoolExecutor(1, thread_name_prefix="gridtide.computing")
"""Parsing and encoding hold the interpreter most of the time: a second thread takes it from the event loop, which
is to ask for the next page, and holds 20 MB more, for nothing."""

_DECODING = ThreadPoolExecutor(2, thread_name_prefix="gridtide.decoding")
"""For months and large files, which Arrow decodes without the interpreter while the rows before are worked on."""

_BLOCKING = ThreadPoolExecutor(32, thread_name_prefix="gridtide.blocking")
"""For the object store's blocking calls: its own futures end in native threads that may still hold
Python objects when the interpreter ends, which then aborts, about one run in sixty."""


async def run_computing(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What `call` returns, which keeps a core busy."""
    return await _run_in(_COMPUTING, call, *arguments, **options)


async def run_decoding(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What `call` returns, which decodes Parquet."""
    return await _run_in(_DECODING, call, *arguments, **options)


async def run_blocking(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What `call` returns, which waits for a store."""
    return await _run_in(_BLOCKING, call, *arguments, **options)


async def _run_in(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, partial(call, *arguments, **options))
