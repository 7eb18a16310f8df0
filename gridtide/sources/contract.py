"""The upstreams, one file each: request → pages → observations, pure, no I/O.

A source is asked in three verbs: which requests come first, what a body says, and (in the page it
returns) which requests come next. It never opens a socket and never knows a credential.

Modules here import Arrow inside `parse`, not at the top: the first request is on its way before
Arrow is loaded, which takes as long as a page does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from gridtide.periods import Period

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import pyarrow as pa

    from gridtide.entries.entry import Entry


BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which JSON should not begin with and sometimes does."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to an upstream, without credentials.

    `label` is what a log line or an error calls it (`2024-03-10`, `offset 5000`), unique within a
    collection. `period` is what of the asked period this request answers, where it answers one.
    `offset` counts the rows before this page. `leads` marks a request whose answer decides what
    else must be asked.
    """

    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    label: str = ""
    period: Period | None = None
    offset: int = 0
    wanted: Period | None = None
    body: str | None = None
    """Of a POST; its `Content-Type` is among the headers."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records or cells of an answer that are not stored: why, how many, and one of them with its place in the answer
    (`row 7, load: '1,204.5'`)."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Page:
    """What one body says: its observations and what is still to be asked.

    `received` counts the upstream's own rows in it; `total` is how many the upstream says there are
    for the request's period, on all its pages together, None where it does not say. `skipped` counts what the
    body holds and `observations` do not: every record and cell is in one or the other.
    """

    observations: pa.Table
    received: int
    total: int | None = None
    following: Sequence[Request] = ()
    skipped: Sequence[Skipped] = ()


class Source(Protocol):
    """What a module of this package offers, as module-level functions."""

    def defaults(self, url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an entry has unless it says otherwise, by the keys of `config.Entry` as in JSON."""
        ...

    def takes_period(self, entry: Entry) -> bool:
        """Whether the entry can be asked for a period; if not, its answer is a snapshot."""
        ...

    def days(self, entry: Entry) -> ZoneInfo | None:
        """The zone of the calendar days by which the upstream answers, so that a part of one is asked as the whole;
        None where it answers any period."""
        ...

    def requests(self, entry: Entry, period: Period | None) -> list[Request]:
        """The first requests that answer `period`, or the snapshot if it is None."""
        ...

    def parse(self, entry: Entry, request: Request, body: bytes, retrieved_at: datetime) -> Page:
        """What `body` says. Raises `FormatError` where it breaks its promise, `UpstreamError` where
        the body is an error that may pass, `ConfigurationError` where the request was wrong."""
        ...
