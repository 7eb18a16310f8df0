"""What the commands say: results to stdout, all else to stderr, and the exit codes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, TrainingError

WIDTH = max(110, shutil.get_terminal_size((200, 25)).columns)
"""Columns of a result; where there is no terminal, enough for a path on one line."""

out = Console(highlight=False, width=WIDTH)
err = Console(stderr=True, highlight=False)

FAILED, MISUSED, REFUSED = 1, 2, 3
"""An entry or a step failed · wrong use, configuration or training spec · credentials missing or refused."""


def exit_code(error: GridtideError) -> int:
    """The exit code of a command that ends with `error`."""
    match error:
        case ConfigurationError() | TrainingError():
            return MISUSED
        case CredentialsError():
            return REFUSED
    return FAILED


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """A table of texts; the columns named in `right` are numbers. The last one is folded where it is too wide."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, no_wrap=column != columns[-1], overflow="fold")
    for row in rows:
        made.add_row(*(escape(text) for text in row))
    return made


def age(elapsed: timedelta) -> str:
    """`elapsed` in its one or two largest units.

    >>> age(timedelta(seconds=40)), age(timedelta(minutes=125)), age(timedelta(days=3, hours=4))
    ('40 s', '2 h 5 min', '3 d 4 h')
    """
    seconds = max(0, int(elapsed.total_seconds()))
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    largest = next((i for i, (length, _) in enumerate(units) if seconds >= length), len(units) - 1)
    parts: list[str] = []
    for length, name in units[largest : largest + (1 if largest >= 2 else 2)]:
        count, seconds = divmod(seconds, length)
        parts += [f"{count} {name}"] if count or not parts else []
    return " ".join(parts)
