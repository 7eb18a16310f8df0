"""The output of the commands: results on stdout, everything else on stderr; tables and exit codes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, TrainingError

OUTPUT_WIDTH = max(110, shutil.get_terminal_size((200, 25)).columns)
"""The width of the output in columns; without a terminal, wide enough for a path on one line."""


out = Console(highlight=False, width=OUTPUT_WIDTH)


err = Console(stderr=True, highlight=False)


FAILED, MISUSED, REFUSED = 1, 2, 3
"""Exit codes: an entry or a step failed · wrong usage, configuration or spec · credentials missing or refused."""


def choose_exit_code(error: GridtideError) -> int:
    """The exit code of a command that ends with `error`."""
    match error:
        case ConfigurationError() | TrainingError():
            return MISUSED
        case CredentialsError():
            return REFUSED
    return FAILED


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """A table of `rows` of texts; the `columns` named in `right` are aligned right. A last column that is too wide is
    folded."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        grid.add_column(column, justify=justify, no_wrap=column != columns[-1], overflow="fold")
    for row in rows:
        grid.add_row(*(escape(text) for text in row))
    return grid


def count_noun(count: int, singular: str, plural: str) -> str:
    """`count` with its noun.

    >>> counted(1, "entry", "entries"), counted(1200, "entry", "entries")
    ('1 entry', '1,200 entries')
    """
    return f"{count:,} {singular if count == 1 else plural}"
