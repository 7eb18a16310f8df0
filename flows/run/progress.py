"""How far a run is: for whoever watches in this process, and as an artifact in the UI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

Watcher = Callable[[str, int, int], None]
"""Called with an entry's name, how many of its pieces are done, and how many it has."""


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Within it, flows that are called here tell `watcher` of each piece that is done.

    A progress bar is no parameter: it cannot be recorded with a run or filled into a form.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell(name: str, finished: int, pieces: int) -> None:
    """Tell the watcher, if there is one."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(name, finished, pieces)


class Progress:
    """The progress of one run over `pieces`: how many each entry has."""

    def __init__(self, pieces: dict[str, int], artifact: UUID) -> None:
        self.pieces, self.artifact = pieces, artifact
        self.finished = dict.fromkeys(pieces, 0)
        self.percent = 0.0

    @classmethod
    async def begin(cls, key: str, pieces: dict[str, int]) -> Progress:
        """Start at nothing, with the artifact `key`."""
        artifact = await acreate_progress_artifact(0.0 if any(pieces.values()) else 100.0, key=key)
        for name, number in pieces.items():
            tell(name, 0, number)
        return cls(pieces, artifact)

    async def advance(self, name: str) -> None:
        """One more piece of the entry `name` is done."""
        self.finished[name] += 1
        tell(name, self.finished[name], self.pieces[name])
        percent = 100.0 * sum(self.finished.values()) / sum(self.pieces.values())
        if percent - self.percent >= 5 or percent == 100:  # a request to the server each time
            self.percent = percent
            await aupdate_progress_artifact(self.artifact, percent)
