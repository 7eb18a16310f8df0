"""The core: one entry and period → fetch, parse, check, write.

    requests ─► fetch ─► parse ─► distinct ─► draft ─► counts, keys ─► lake
                  └► raw/

Pages are fetched concurrently and written in the order of asking, a few row groups in memory at a
time, so that the same answers give the same file whatever came first.
"""

from __future__ import annotations

import asyncio
import re
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from gridtide import bodies
from gridtide.bodies import Fetcher
from gridtide.config import Entry
from gridtide.errors import FormatError, GridtideError, IncompleteError, UpstreamError
from gridtide.http import Answer
from gridtide.periods import Period
from gridtide.sources import Page, Request, Source, source
from gridtide.threads import computed

if TYPE_CHECKING:
    import numpy as np

    from gridtide.lake import Draft, Lake, Stored

STAGES = ("fetch", "parse", "write")

NOTHING = (
    'the upstream has nothing for this period; it is asked again while "reread" lasts, later only without its file'
)

_CURRENT = re.compile(r"/current(?=[/.?]|$)")
_Reader = Callable[[Request, Answer], Awaitable[Any]]


@dataclass(slots=True)
class Effort:
    """What a stage took: seconds summed over its concurrent parts, and the process's peak memory
    (MB) when the stage last ended."""

    seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did. `file` is None where a snapshot held no rows; `period` is what it answers, None for a
    snapshot and for an answer about something else than was asked; `created` is False where
    the lake held the same content under that name already; `reused` pages came from `raw/`."""

    entry: str
    file: str | None
    rows: int
    bytes: int
    period: Period | None
    created: bool
    requests: int
    retries: int
    reused: int = 0
    warnings: tuple[str, ...] = ()
    stages: Mapping[str, Effort] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same as small JSON."""
        stages = {
            name: {"seconds": round(effort.seconds, 4), "peak_mb": round(effort.peak_mb, 1)}
            for name, effort in self.stages.items()
        }
        return {
            "entry": self.entry,
            "file": self.file,
            "rows": self.rows,
            "bytes": self.bytes,
            "period": str(self.period) if self.period else None,
            "created": self.created,
            "requests": self.requests,
            "retries": self.retries,
            "reused": self.reused,
            "warnings": list(self.warnings),
            "stages": stages,
        }


def scheduled_period(entry: Entry, now: datetime) -> Period | None:
    """What a run at `now` asks of `entry`: its `reread` before what is due, None for a snapshot.

    A URL that says `/current` is asked for just that; its days are for backfills.
    """
    if _CURRENT.search(entry.url) or not source(entry.source).takes_period(entry):
        return None
    due = entry.due(now)
    return Period(due - entry.reread, due)


async def collect(
    entry: Entry, *, lake: Lake, http: Fetcher, stamp: datetime, period: Period | None = None, resume: bool = False
) -> Collected:
    """Fetch what `entry` has for `period` (a snapshot if None) and write it to `lake` as one file.

    `stamp` names the file: the start of the run's first attempt, so that a retry finds what was
    written before it, and goes on from the pages of the period that are kept under `raw/`; with
    `resume` also from those that other runs kept of it within a day. Raises the errors of
    `Http.fetch`, `FormatError` and `IncompleteError` for answers that do not keep their promise,
    `StorageError`; then no file of observations is written.
    """
    try:
        async with asyncio.timeout(entry.deadline.total_seconds()):
            if not entry.tabular:
                return await _Work(entry, lake, http, stamp, period).bodies()
            if period is None or not entry.raw:
                return await _Work(entry, lake, http, stamp, period).observations()
            kept = await bodies.resuming(http, lake, entry, stamp, period, earlier=resume)
            try:
                return await _Work(entry, lake, kept, stamp, period).observations()
            except (FormatError, IncompleteError):
                if not kept.reused:
                    raise
            # Pages of two moments need not fit together.
            return await _Work(entry, lake, http, stamp, period).observations()
    except TimeoutError as error:
        raise UpstreamError(
            entry.name, f"did not finish within {entry.deadline}", 'Try again later, or raise "deadline"'
        ) from error
    except GridtideError as error:
        error.subject = entry.name
        raise


class _Work:
    """One collection under way."""

    def __init__(self, entry: Entry, lake: Lake, http: Fetcher, stamp: datetime, period: Period | None) -> None:
        self.entry, self.lake, self.http, self.stamp, self.period = entry, lake, http, stamp, period
        self.source: Source = source(entry.source)
        self.stages = {name: Effort() for name in STAGES}
        self.requests = self.retries = self.reused = 0

    async def observations(self) -> Collected:
        """The answer as a file of observations."""
        arrow = asyncio.create_task(computed(_load_arrow))
        pages = self._pages(self._read)
        with ExitStack() as stack:
            checks = None
            async with aclosing(pages):
                async for request, page in pages:
                    await arrow
                    with self._stage("write"):
                        checks = checks or stack.enter_context(_Checks(self.entry, self.period))
                        await computed(checks.add, request, page)
            with self._stage("write"):
                checks = checks or stack.enter_context(_Checks(self.entry, self.period))
                draft = await computed(checks.complete)
                if self.period is None and not draft.rows:
                    return self._collected(
                        None, 0, [*checks.warnings, "the snapshot holds no rows, no file is written"], None
                    )
                stored = await self.lake.put_draft(draft, self.entry.output_folder, self.entry.file_prefix, self.stamp)
        return self._collected(stored, stored.bytes, checks.warnings, draft.provenance.period)

    async def bodies(self) -> Collected:
        """The answer as it came, a file a page."""
        from gridtide.lake import Provenance

        provenance = Provenance(self.entry.name, self.period, self.entry.fingerprint)
        first: Stored | None = None
        size = 0
        async with aclosing(self._pages(self._keep)) as pages:
            async for _, page in pages:
                with self._stage("write"):
                    stored = await self.lake.put_body(
                        page.body,
                        self.entry.output_folder,
                        self.entry.file_prefix,
                        self.stamp,
                        provenance,
                        self.entry.format,
                    )
                first = first or stored
                size += stored.bytes
        return self._collected(first, size, [], self.period)

    async def _pages(self, read: _Reader) -> AsyncGenerator[tuple[Request, Any], None]:
        """The pages in the order of asking, with at most twice the allowed requests held at once."""
        waiting = deque(self.source.requests(self.entry, self.period))
        running: deque[tuple[Request, asyncio.Task[Any]]] = deque()
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.entry.concurrency:
                    request = waiting.popleft()
                    running.append((request, asyncio.create_task(self._page(request, read))))
                request, task = running.popleft()
                page = await task
                waiting.extend(page.following)
                yield request, page
        finally:
            for _, task in running:
                task.cancel()
            await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    async def _page(self, request: Request, read: _Reader) -> Any:
        if not request.url:  # generated here, not fetched
            return await read(request, Answer(b"", datetime.now(UTC), "", 1))
        asked = time.perf_counter()

        async def arrived(answer: Answer) -> Any:
            self._spent("fetch", asked)
            self.requests += answer.attempt
            self.retries += max(answer.attempt - 1, 0)
            found = await read(request, answer)
            self.reused += answer.attempt == 0
            return found

        return await self.http.fetch(self.entry, request, arrived)

    async def _read(self, request: Request, answer: Answer) -> _Parsed:
        """The page in `answer`; its body goes to `raw/` where the entry wants it or it breaks its promise."""
        started = time.perf_counter()
        new = bool(request.url) and answer.attempt > 0
        try:
            parsed = await computed(self._parse, request, answer)
        except FormatError as error:
            if not new:
                raise
            path = await bodies.keep(self.lake, self.entry, self.stamp, self.period, request, answer)
            raise FormatError(error.subject, f"{error.happened}; the body is kept in {path}", error.fix) from error
        self._spent("parse", started)
        if self.entry.raw and new:
            await bodies.keep(self.lake, self.entry, self.stamp, self.period, request, answer)
        return parsed

    async def _keep(self, request: Request, answer: Answer) -> _Body:
        """The body of `answer`, read as observations only to find its other pages and the errors it may be."""
        try:
            page = await computed(self.source.parse, self.entry, request, answer.body, answer.retrieved_at)
        except FormatError:  # what these entries keep need not be observations
            return _Body(answer.body)
        return _Body(answer.body, page.following)

    def _parse(self, request: Request, answer: Answer) -> _Parsed:
        """The page with each key once."""
        from gridtide import observations

        page = self.source.parse(self.entry, request, answer.body, answer.retrieved_at)
        marks = observations.fingerprints(page.observations)
        if not observations.has_repeats([marks]):
            return _Parsed(page, marks)
        distinct = observations.distinct(page.observations, self.entry.name)
        repeated = page.observations.num_rows - distinct.num_rows
        return _Parsed(replace(page, observations=distinct), observations.fingerprints(distinct), repeated)

    def _collected(
        self, stored: Stored | None, size: int, warnings: Sequence[str], answers: Period | None
    ) -> Collected:
        return Collected(
            self.entry.name,
            stored.path if stored else None,
            stored.rows if stored else 0,
            size,
            answers,
            stored.created if stored else False,
            self.requests,
            self.retries,
            self.reused,
            tuple(warnings),
            self.stages,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._spent(name, started)

    def _spent(self, name: str, started: float) -> None:
        self.stages[name].seconds += time.perf_counter() - started
        self.stages[name].peak_mb = _peak_mb()


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A page with each key once, the fingerprints of its rows, and how many exact duplicates there were."""

    page: Page
    marks: np.ndarray
    repeated: int = 0

    @property
    def following(self) -> Sequence[Request]:
        """What is to be asked next."""
        return self.page.following


@dataclass(frozen=True, slots=True)
class _Body:
    """A page of an entry that keeps bodies only."""

    body: bytes
    following: Sequence[Request] = ()


class _Checks:
    """Writes pages to a draft and holds them to what the upstream and the entry promise.

    Use it as a context manager: the draft is gone at its end.
    """

    def __init__(self, entry: Entry, period: Period | None) -> None:
        self.entry, self.period = entry, period
        self.draft = self._new_draft()
        self.marks: list[np.ndarray] = []
        self.repeated = 0
        self.received: Counter[Period | None] = Counter()
        self.totals: dict[Period | None, set[int]] = {}
        self.elsewhere: dict[Period, bool] = {}
        self.warnings: list[str] = []

    def __enter__(self) -> _Checks:
        return self

    def __exit__(self, *exc: object) -> None:
        self.draft.__exit__(*exc)

    def add(self, request: Request, parsed: _Parsed) -> None:
        """Append the observations of a page and remember its counts."""
        from gridtide import observations

        page = parsed.page
        self.marks.append(parsed.marks)
        self.repeated += parsed.repeated
        self.received[request.period] += page.received
        if page.total is not None:
            self.totals.setdefault(request.period, set()).add(page.total)
        asked = request.period or self.period
        if asked and page.observations.num_rows and self.elsewhere.get(asked, True):
            self.elsewhere[asked] = not observations.overlaps(page.observations, asked)
        self.draft.append(page.observations, parsed.marks)

    def complete(self) -> Draft:
        """The draft with each key once. Raises `IncompleteError` or `FormatError`."""
        self._check_counts()
        repeated = self.repeated + self._drop_repeats()
        self._check_expected()
        if repeated:
            self.warnings.append(f"{repeated} exact duplicates collapsed")
        if self.period is not None and not self.draft.rows:
            self.warnings.append(NOTHING)
        if any(self.elsewhere.values()):
            self.warnings.append(self._about_something_else())
        return self.draft

    def _about_something_else(self) -> str:
        """Let the file answer no period, as what was asked was not answered; returns what to say of that."""
        self.draft.provenance = replace(self.draft.provenance, period=None)
        first = next(asked for asked, elsewhere in self.elsewhere.items() if elsewhere)
        return f"of what the upstream answered for {first} nothing lies in it: the rows are kept, the period stays open"

    def _check_counts(self) -> None:
        """Rows received are as many as the upstream's own count, which stays the same on every page."""
        for period, totals in self.totals.items():
            if len(totals) > 1:
                happened = f"the upstream's count changed while it was paged, from {min(totals)} to {max(totals)}"
                raise IncompleteError(self.entry.name, f"{period or 'snapshot'}: {happened}", "Try again")
            if totals != {self.received[period]}:
                happened = f"{self.received[period]} rows received, the upstream says there are {max(totals)}"
                raise IncompleteError(self.entry.name, f"{period or 'snapshot'}: {happened}", "Try again")

    def _drop_repeats(self) -> int:
        """Where pages share a key, make the whole distinct, as each page is in itself; how many rows
        that took away."""
        from gridtide import observations

        before = self.draft.rows
        if observations.has_repeats(self.marks):
            whole = observations.distinct(self.draft.table(), self.entry.name)
            self.draft.__exit__(None, None, None)
            self.draft = self._new_draft()
            self.draft.append(whole)
        return before - self.draft.rows

    def _check_expected(self) -> None:
        expect = self.entry.expect
        if self.draft.rows < expect.minimum_rows:
            happened = f"{self.draft.rows} rows, at least {expect.minimum_rows} are expected"
            raise IncompleteError(self.entry.name, happened, 'Check the upstream, or "expect"')
        if expect.required or expect.ranges:
            from gridtide import observations

            broken = observations.unexpected(self.draft.table(), expect.required, expect.ranges)
            if broken:
                raise FormatError(self.entry.name, broken, 'Check the upstream, or "expect"')

    def _new_draft(self) -> Draft:
        from gridtide.lake import Draft, Provenance

        form: Literal["parquet", "csv"] = "csv" if self.entry.format == "csv" else "parquet"
        return Draft(form, Provenance(self.entry.name, self.period, self.entry.fingerprint))


def _load_arrow() -> None:
    """Import what parsing and writing need, which takes as long as a page does to arrive."""
    import pyarrow.parquet  # noqa: F401

    import gridtide.observations  # noqa: F401


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
