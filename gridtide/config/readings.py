"""Readings of files that all parts of a command share, so that what is checked is what is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


_READINGS: ContextVar[dict[tuple[Callable[[Path], Any], str], Any] | None] = ContextVar("_READINGS", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Inside this context, each configuration and each training spec is read once, so that all parts of a command use
    the same content, even if the file changes meanwhile."""
    readings = _READINGS.get()
    context_token = _READINGS.set({} if readings is None else readings)
    try:
        yield
    finally:
        _READINGS.reset(context_token)


def read_once(path: str | Path, read: Callable[[Path], T]) -> T:
    """Returns `read(path)`; inside `reading_once`, what it returned at the first call for this file."""
    readings = _READINGS.get()
    if readings is None:
        return read(Path(path))
    key = read, os.path.abspath(path)  # noqa: PTH100  # links are not resolved, because they may change meanwhile
    if key not in readings:
        readings[key] = read(Path(path))
    content: T = readings[key]
    return content
