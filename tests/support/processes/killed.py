"""Does one thing again and again, each time in a fork of this process that is killed at another operation on a store.

`python -m tests.support.processes.killed extend LAKE FOLDER` extends copies of `FOLDER/old` by `FOLDER/spec.json` from
`LAKE`, in `FOLDER/killed/N`, and is killed before its write or move N; the last one finishes.

`python -m tests.support.processes.killed prune FOLDER NOW` prunes the lakes of CSV files `FOLDER/N-before` and
`FOLDER/N-after`, and is killed before or after its write or removal N.

This process itself opens no lake, as it forks without any threads. It prints how each fork ended, 0 if it finished.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import obstore

import gridtide.observations.expectations  # noqa: F401  # before the forks, not in each
from gridtide import curated
from gridtide.lake import Lake
from gridtide.training.preparation import prepare
from tests.support.grids import configuration, every_kind
from tests.support.lakes import entry


@contextmanager
def killing(number: int, names: tuple[str, ...], after: bool = False) -> Iterator[None]:
    """Kill this process before, or `after`, call `number` of the functions of obstore with these names."""
    calls = itertools.count(1)

    def strike(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            is_last = next(calls) == number  # calls run side by side, in threads
            if is_last and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*arguments, **options)
            finally:  # also of a write that is to fail, as when the store is tested
                if is_last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return run

    with patch.multiple(obstore, **{name: strike(getattr(obstore, name)) for name in names}):
        yield


def extend_until(lake: str, folder: Path, number: int) -> None:
    """Extend a copy of the set until the write or move `number`."""
    copy = folder / "killed" / str(number)
    shutil.copytree(folder / "old", copy)
    spec = json.loads((folder / "spec.json").read_text())
    with killing(number, ("put", "rename")):
        config = configuration(every_kind(1))
        asyncio.run(prepare(spec, config, Lake.open(lake), out=Lake.open(str(copy)), extend=True))


def prune_until(lake: Path, now: datetime) -> None:
    """Prune the lake until the write or removal that its folder is named after."""
    number, _, moment = lake.name.partition("-")
    with killing(int(number), ("put", "delete"), after=moment == "after"):
        asyncio.run(curated.prune(Lake.open(str(lake)), entry(form="csv"), now))


def fork(work: Callable[..., None], *arguments: Any) -> int:
    """Do this work in a fork; returns how it ended: 0, 1 for an error, or the negative number of a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        work(*arguments)
        status = 0
    finally:
        os._exit(status)


def main(action: str, first: str, second: str) -> None:
    """Do what the command line says."""
    if action == "prune":
        for lake in sorted(Path(first).iterdir()):
            print(lake.name, fork(prune_until, lake, datetime.fromisoformat(second)), flush=True)
        return
    for number in itertools.count(1):
        status = fork(extend_until, first, Path(second), number)
        print(number, status, flush=True)
        if status != -signal.SIGKILL:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
