"""The progress of a run: for a watcher in this process, such as a progress bar, and as an artifact in the UI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

Watcher = Callable[[str, int, int], None]
"""Called with the name of an entry, the number of its pieces that are done, and the number of all its pieces."""


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watch_progress(watcher: Watcher) -> Iterator[None]:
    """Flows that are called in this context call `watcher` after each piece.

    The watcher is not a parameter of the flows, as Prefect records parameters and shows a form for them.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def report_progress(name: str, finished: int, pieces: int) -> None:
    """Tell the watcher of this run, if it has one, that `finished` of the `pieces` of the entry `name` are done."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(name, finished, pieces)


class Progress:
    """The progress of one run; `pieces` are the numbers of pieces by entry."""

    def __init__(self, pieces: dict[str, int], artifact: UUID) -> None:
        self.pieces, self.artifact = pieces, artifact
        self.finished = dict.fromkeys(pieces, 0)
        self.percent = 0.0

    @classmethod
    async def begin(cls, key: str, pieces: dict[str, int]) -> Progress:
        """Create the artifact `key`, and start with nothing done."""
        artifact = await acreate_progress_artifact(0.0 if any(pieces.values()) else 100.0, key=key)
        for name, number in pieces.items():
            report_progress(name, 0, number)
        return cls(pieces, artifact)

    async def advance(self, name: str) -> None:
        """Count one more piece of the entry `name` as done."""
        self.finished[name] += 1
        report_progress(name, self.finished[name], self.pieces[name])
        percent = 100.0 * sum(self.finished.values()) / sum(self.pieces.values())
        if percent - self.percent >= 5 or percent == 100:  # each update is a request to the server
            self.percent = percent
            await aupdate_progress_artifact(self.artifact, percent)
