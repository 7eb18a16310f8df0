"""The one table that every source yields: long, one row per value of a series over an interval.

The names below are imported at first use, because loading Arrow takes as long as fetching a page.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridtide.observations.identity import KEY
    from gridtide.observations.table import SCHEMA, Row, concat, empty, from_columns, from_rows

__all__ = ["KEY", "SCHEMA", "Row", "concat", "empty", "from_columns", "from_rows"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'identity' if name == 'KEY' else 'table'}"), name)
