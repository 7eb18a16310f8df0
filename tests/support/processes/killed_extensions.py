"""Extends a set again and again, each time killed before another write or move.

`python -m tests.support.processes.killed_extensions LAKE FOLDER` extends copies of `FOLDER/old` by `FOLDER/spec.json`
from `LAKE`, in `FOLDER/killed/N`, where N is the number of the operation before which it is killed; the last one
finishes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import obstore

from gridtide.lake import Lake
from gridtide.training.preparation import prepare
from tests.support.grids import configuration, every_kind

KILLED = 9


def extend_until(lake: str, folder: Path, number: int) -> None:
    """Extend a copy of the set, and end the process before the operation `number`."""
    copy = folder / "killed" / str(number)
    shutil.copytree(folder / "old", copy)
    operations = itertools.count(1)

    def end_before(operation: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            if next(operations) == number:
                os._exit(KILLED)
            return operation(*arguments, **options)

        return run

    spec = json.loads((folder / "spec.json").read_text())
    with (
        patch.object(obstore, "put", end_before(obstore.put)),
        patch.object(obstore, "rename", end_before(obstore.rename)),
    ):
        config = configuration(every_kind(1))
        asyncio.run(prepare(spec, config, Lake.open(lake), out=Lake.open(str(copy)), extend=True))


def main(lake: str, folder: Path) -> None:
    """Fork a process for each operation, until one finishes."""
    for number in itertools.count(1):
        child = os.fork()
        if not child:
            extend_until(lake, folder, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return
        assert os.waitstatus_to_exitcode(status) == KILLED


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
