"""The contract between the core and a source: what a source must define, and the defaults for the rest.

A source is one module for one upstream. It builds the first requests, parses a response body, and returns the requests
that follow with the parsed page. A source is pure: it opens no socket and never sees a credential.

A module must define `build_requests` and `parse_response`; everything else in `Source` has a default. A module imports
Arrow inside `parse_response`, not at the top: the first request is then sent before Arrow is loaded, and loading Arrow
takes as long as fetching a page.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, BytesIO, RawIOBase
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from gridtide.periods import Period
from gridtide.variables import HourlyRule, Variable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import pyarrow as pa

    from gridtide.entries.entry import Entry
    from gridtide.entries.scope import Scope


T = TypeVar("T")

BOM = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark. JSON should not begin with it, and sometimes does."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an upstream, without credentials.

    `label` names the request in logs and errors (`2024-03-10`, `offset 5000`); it is unique within a collection.
    `period` is the part of the collected period that this request answers, or None. `offset` is the number of rows
    before this page. `whole_period` is set on a request whose answer decides which requests follow; together they must
    answer `whole_period`.
    """

    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    label: str = ""
    period: Period | None = None
    offset: int = 0
    whole_period: Period | None = None
    body: str | None = None
    """The body of a POST; its `Content-Type` is in `headers`."""
    beyond: bool = False
    """Whether its rows are revisions of intervals outside the collected period, which have a file without a period."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response without an error, free of credentials; `retrieved_at` is the time of the request.

    `attempt` is the number of the attempt, from 1; 0 for a body that an earlier run kept.
    """

    body: bytes
    retrieved_at: datetime
    content_type: str = ""
    attempt: int = 1
    absent: bool = False
    """Whether the upstream states, by its status, that it has no data for the request."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers that `gridtide.http.client` names in `READ_HEADERS` and `PAGE_HEADERS`, with names in lower case."""
    status: int = 200
    wait_seconds: float = 0.0
    """The seconds that the request waited for its rate limit and before its retries."""
    is_undated: bool = False
    """Whether neither its `Date` nor another clock has shown that the clock of this machine is right."""
    file: IO[bytes] | None = None
    """A body that may be larger than memory, as a file at its start; `body` is then empty."""

    def open(self) -> IO[bytes]:
        """Opens the body at its start, also while it is being read elsewhere."""
        return BytesIO(self.body) if self.file is None else BufferedReader(_FileView(self.file))


class _FileView(RawIOBase):
    """Reads a file with a position of its own. Positions of a file are shared by all who read it, so each of them must
    read through a view, and one at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        with _reading:
            start = {SEEK_SET: 0, SEEK_CUR: self._position}.get(whence)
            self._position = offset + (self._file.seek(0, SEEK_END) if start is None else start)
        return self._position

    def readinto(self, buffer: Any) -> int:
        with _reading:
            self._file.seek(self._position)
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


_reading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records or cells of a response that are not stored: the reason, their number, and an example with its position in
    the response (`row 7, load: '1,204.5'`)."""

    reason: str
    count: int
    example: str
    expected: bool = False
    """Whether this is so in every response, as of columns of texts: it is recorded, but no run warns of it."""
    rule: str = ""
    """The rule of `expect` that rejected them; these rows are kept under `rejected/`."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as a small JSON object."""
        rejected = {"rule": self.rule} if self.rule else {}
        return {"reason": self.reason, "count": self.count, "example": self.example, **rejected}


@dataclass(frozen=True, slots=True)
class Licence:
    """The terms under which an upstream gives its data.

    `name` is the SPDX identifier of the licence, or empty if the upstream has terms of its own. `terms` says in a
    sentence what these ask of a user; `url` is the page with the text that counts. `attribution` is the text with which
    the upstream wants to be named, empty if it asks for none.
    """

    name: str
    title: str
    url: str
    terms: str
    attribution: str = ""

    def as_dict(self) -> dict[str, str]:
        """Returns the fields as a small JSON object."""
        return {
            "name": self.name,
            "title": self.title,
            "url": self.url,
            "terms": self.terms,
            "attribution": self.attribution,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """The content of one response body: its observations, and the requests that follow.

    `record_count` counts the upstream's own rows in the body. `total` is the number of rows that the upstream reports
    for the request's period over all pages, or None if it reports none. `skipped` counts what is in the body but not in
    `observations`: every record and cell is in one or the other.
    """

    observations: pa.Table
    record_count: int
    total: int | None = None
    next_requests: Sequence[Request] = ()
    skipped: Sequence[Skipped] = ()
    more: Iterable[pa.Table] = ()
    """Further observations, after those in `observations`, of a body too large to be read at once; `skipped` is
    complete only after they are read."""
    reaches: datetime | None = None
    """Up to where a forecast reaches; the rest of the request's period stays open. None if all of it is answered."""


class Source(Protocol):
    """What the core asks a source. A module defines these names at its top level where it differs from the defaults
    here."""

    HOSTS: Sequence[str] = ()
    """The hosts of this source; an entry without `source` gets the source whose host its URL has."""

    LICENCE: Licence | None = None
    """The terms of the upstream, for the catalogue; None if they are not known, as of a URL that a user names."""

    ACCESS: str = ""
    """How to get the credentials that its entries need, for messages; empty if they need none."""

    NEEDS_URL: bool = True
    """Whether an entry must have a URL. Without one nothing is fetched, and `parse_response` makes the observations."""

    READS_FILES: bool = False
    """Whether `parse_response` reads `Response.file`, so that large bodies need not be held in memory."""

    LONGITUDES: Mapping[str, float] = {}  # read only
    """The longitudes of locations in degrees, positive in the east, roughly where their solar plants are. The clock of
    solar generation is checked against them."""
    OPERATORS: Mapping[str, str] = {}  # read only
    """The source of the operator of each location that is the whole system of another source. Quantities of both are
    compared."""
    SYSTEM_LOCATIONS: Sequence[str] = ()
    """The locations by which different products of one market name its whole system. Training derives features such as
    net load from the series of all these locations together."""

    VARIABLES: Sequence[Variable] = ()
    """The variables that this source names itself, with their units. Those of an entry's own naming have no row: their
    unit comes with the data."""

    HOURLY_RULE: HourlyRule | None = None
    """How variables without a row become hourly; None if by their unit: energy is summed, all else averaged."""

    BASIC_AUTH: Mapping[str, str] = {}
    """For HTTP Basic in an entry that names no variables: `username_env` and `password_env`, the environment variables
    that hold user and password. If it is empty, those of the generic source apply."""

    def build_requests(self, entry: Entry, period: Period | None) -> list[Request]:
        """Returns the first requests for `period`, or for the snapshot if `period` is None."""
        raise NotImplementedError

    def parse_response(self, entry: Entry, request: Request, response: Response) -> Page:
        """Parses the `response` to `request`. Raises `FormatError` if its body does not have the documented
        format, `UpstreamError` for an error that may pass, `ConfigurationError` for a wrong request."""
        raise NotImplementedError

    def choose_defaults(self, url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the defaults of an entry's settings, by the keys of `entries.Entry` as in JSON."""
        return {}

    def find_problems(self, entry: Mapping[str, Any]) -> Sequence[str]:
        """Returns the problems of an entry of this source, found before anything is requested. `entry` is complete and
        as in JSON. Each problem reads `key: what is wrong; what would be right`. Types and formats are checked
        elsewhere, so values may have a wrong type here."""
        return ()

    def takes_period(self, entry: Entry) -> bool:
        """Whether the entry can be requested for a period; if not, its response is a snapshot."""
        return True

    def find_day_zone(self, entry: Entry) -> ZoneInfo | None:
        """Returns the time zone of the calendar days in which the upstream answers, so that only whole days are
        requested; None if it answers any period."""
        return None

    def find_scope(self, entry: Entry) -> Scope:
        """Returns what the entry requests, apart from the period; coverage is by scope. By default each parameter is a
        facet."""
        from gridtide.entries.scope import describe_scope

        return describe_scope(entry)

    def narrow(self, entry: Entry, part: Scope) -> Sequence[Entry]:
        """Returns entries that differ from `entry` in what they request, and together request exactly `part` of its
        scope; empty if the upstream cannot be asked for that part alone."""
        return ()

    def find_due_period(self, entry: Entry, now: datetime) -> Period | None:
        """Returns the period that a scheduled run at `now` requests: `reread` before the end of what is due, or None
        for a snapshot."""
        from gridtide.observations.availability import find_due_end

        if not self.takes_period(entry):
            return None
        due = find_due_end(entry, now)
        return Period(due - entry.reread, due)

    def correct_status(self, status: int, body: bytes) -> int:
        """Returns the HTTP status that an error response should have, for upstreams that send a wrong one."""
        return status

    def read_wait(self, message: str, now: datetime) -> float | None:
        """Returns the seconds from `now` (UTC) that an error message asks us to wait, or None if it names no time in
        the upstream's own words. The core understands headers, and numbers with a unit, by itself."""
        return None


def is_source(module: ModuleType) -> bool:
    """Whether `module` defines what every source must define."""
    return not _find_missing_names(module)


def _find_missing_names(module: ModuleType) -> list[str]:
    return [name for name in ("build_requests", "parse_response") if not hasattr(module, name)]


def complete(module: ModuleType) -> Source:
    """Returns `module` as a source, with the defaults of `Source` for what the module does not define.

    Raises `TypeError` if the module lacks `build_requests` or `parse_response`.
    """
    missing_names = _find_missing_names(module)
    if missing_names:
        raise TypeError(f"{module.__name__} is not a source: it defines no {' and no '.join(missing_names)}")
    return with_defaults(module, Source)  # type: ignore[type-abstract]  # each method has a body


def with_defaults(module: ModuleType, base: type[T]) -> T:
    """Returns `module` as an instance of `base`, with the members of `base` for what the module does not define."""
    member_names = [name for name in vars(base) if not name.startswith("_") and hasattr(module, name)]
    attributes = {name: getattr(module, name) for name in member_names}
    members = {
        name: staticmethod(attribute) if callable(attribute) else attribute for name, attribute in attributes.items()
    }
    completed: type[T] = type(module.__name__, (base,), members)
    return completed()
