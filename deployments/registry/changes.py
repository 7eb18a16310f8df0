"""The changes that `gridtide deploy` made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Change:
    """A change of a deployment (`flow/name`), automation or receiver: the action, and the parts that differed."""

    name: str
    action: Literal["created", "changed", "unchanged", "removed"]
    parts: Sequence[str] = ()
