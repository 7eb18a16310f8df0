"""What a deploy did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Change:
    """What became of one deployment (`flow/name`), automation or receiver, and which parts of it differed."""

    name: str
    done: Literal["created", "changed", "unchanged", "removed"]
    what: Sequence[str] = ()
