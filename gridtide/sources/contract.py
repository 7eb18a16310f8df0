"""What a source must say about its upstream, and what is assumed where it says nothing.

A source is one module. It says which requests come first, what a body holds, and (in the page that it
returns) which requests come next. It is pure: it opens no socket and knows no credential.

`requests` and `parse` are all that a module must define; for everything else in `Source` there is a default.
A module imports Arrow inside `parse`, not at the top: the first request is on its way before Arrow is loaded,
which takes as long as a page does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
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
    collection. `period` is the part of the collection's period that this request answers, where it answers one.
    `offset` counts the rows before this page. `whole_period` is set on a request whose answer decides which
    others follow: it is the period that all of them must answer.
    """

    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    label: str = ""
    period: Period | None = None
    offset: int = 0
    whole_period: Period | None = None
    body: str | None = None
    """Of a POST; its `Content-Type` is among the headers."""
    answered: tuple[tuple[str, str], ...] = ()
    """Headers of the answer, names in small letters, which are known when it is read."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records or cells of an answer that are not stored: why, how many, and one of them with its place in the answer
    (`row 7, load: '1,204.5'`)."""

    reason: str
    count: int
    example: str

    def as_dict(self) -> dict[str, Any]:
        """The same as small JSON."""
        return {"reason": self.reason, "count": self.count, "example": self.example}


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
    more: Iterable[pa.Table] = ()
    """Observations after those in `observations`, of a body too large to be read at once; `skipped` is whole once they
    are read."""


class Source(Protocol):
    """What the core asks a source. A module defines these names at its top level, as far as they differ from here."""

    HOSTS: Sequence[str] = ()
    """The hosts whose URLs are of this source where an entry does not name one."""

    NEEDS_URL: bool = True
    """Whether an entry must have a URL; without one nothing is fetched and `parse` makes the observations."""

    SYSTEM_LOCATIONS: Sequence[str] = ()
    """The locations by which the products of one market call its whole system, where they differ between products:
    training derives features, such as net load, from the series of all of them together."""

    def requests(self, entry: Entry, period: Period | None) -> list[Request]:
        """The first requests that answer `period`, or the snapshot if it is None."""
        raise NotImplementedError

    def parse(self, entry: Entry, request: Request, body: bytes, retrieved_at: datetime) -> Page:
        """What `body` says. Raises `FormatError` where it is not what the upstream promises, `UpstreamError` where
        it is an error that may pass, `ConfigurationError` where the request was wrong."""
        raise NotImplementedError

    def defaults(self, url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an entry has where it says nothing, by the keys of `entries.Entry` as in JSON."""
        return {}

    def problems(self, entry: Mapping[str, Any]) -> Sequence[str]:
        """What is wrong with an entry of this source, complete and as in JSON, before anything is asked; each as
        `key: what is wrong; what would be right`. Types and formats are checked elsewhere and may be wrong here."""
        return ()

    def takes_period(self, entry: Entry) -> bool:
        """Whether the entry can be asked for a period; if not, its answer is a snapshot."""
        return True

    def days(self, entry: Entry) -> ZoneInfo | None:
        """The zone of the calendar days by which the upstream answers, so that a part of one is asked as the whole;
        None where it answers any period."""
        return None

    def due_period(self, entry: Entry, now: datetime) -> Period | None:
        """What a scheduled run at `now` asks: `reread` before what is due, None for a snapshot."""
        from gridtide.observations.availability import find_due_end

        if not self.takes_period(entry):
            return None
        due = find_due_end(entry, now)
        return Period(due - entry.reread, due)

    def actual_status(self, status: int, body: bytes) -> int:
        """The HTTP status that an error answer should have had, where an upstream uses another one."""
        return status

    def requested_wait(self, message: str, now: datetime) -> float | None:
        """The seconds from `now` (UTC) that an error message asks us to wait, None where it does not say so in words
        of the upstream's own. Headers, and numbers with a unit, are understood without it."""
        return None


def complete(module: ModuleType) -> Source:
    """`module` as a source, with the defaults of `Source` for what it does not define.

    Raises `TypeError` where it lacks what has no default.
    """
    absent = [name for name in ("requests", "parse") if not hasattr(module, name)]
    if absent:
        raise TypeError(f"{module.__name__} is no source: it defines no {' and no '.join(absent)}")
    names = [name for name in vars(Source) if not name.startswith("_") and hasattr(module, name)]
    values = {name: getattr(module, name) for name in names}
    members = {name: staticmethod(value) if callable(value) else value for name, value in values.items()}
    kind: type[Source] = type(module.__name__, (Source,), members)
    return kind()
