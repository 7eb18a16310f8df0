"""The pages of one collection: fetched concurrently, parsed and written in the order of their requests."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gridtide.clock import check_run_start
from gridtide.collect import raw_bodies
from gridtide.collect.checks import PageChecks, ParsedPage, settle_page
from gridtide.collect.collected import STAGES, Collected, Effort, measure_peak_memory
from gridtide.collect.holes import Hole, merge_equal
from gridtide.collect.resume import Fetcher
from gridtide.entries.entry import Entry
from gridtide.errors import (
    ClockError,
    CredentialsError,
    FormatError,
    GridtideError,
    IncompleteError,
    PassingError,
    QuotaError,
    StorageError,
)
from gridtide.periods import Period, missing
from gridtide.sources.contract import Page, Request, Response, Source
from gridtide.sources.registry import find_entry_scope, get_source
from gridtide.threads import run_computing

if TYPE_CHECKING:
    from gridtide.lake import Lake, Stored


_Reader = Callable[[Request, Response], Awaitable[Any]]


class PageCollector:
    """A collection in progress."""

    def __init__(self, entry: Entry, lake: Lake, http: Fetcher, stamp: datetime, period: Period | None) -> None:
        self.entry, self.lake, self.http, self.stamp, self.period = entry, lake, http, stamp, period
        self.source: Source = get_source(entry.source)
        self.stages = {name: Effort() for name in STAGES}
        self.requests = self.retries = self.reused = 0
        self.wait_seconds = 0.0
        self.dated_answers = self.undated_answers = 0
        self.rejected_files: tuple[str, ...] = ()

    async def observations(self, refuse_mixed: bool = False) -> Collected:
        """Collects the answer into one file of observations, or into several around the holes of failed requests.

        With `refuse_mixed`, a hole that may result from mixing pages fetched at different times is an error.
        """
        # Arrow takes as long to import as a page takes to arrive, so both happen at the same time.
        arrow_import = asyncio.create_task(run_computing(_load_arrow))
        pages = self._fetch_pages(self._read_page)
        with ExitStack() as stack:
            checks = None
            async with aclosing(pages):
                async for root_number, request, page in pages:
                    await arrow_import
                    with self._time_stage("write"):
                        checks = checks or stack.enter_context(PageChecks(self.entry, self.period))
                        if isinstance(page, GridtideError):
                            checks.fail(root_number, request, page)
                        else:
                            await self._add_page(checks, root_number, request, page)
                    page = None  # which may hold a large body
            with self._time_stage("write"):
                checks = checks or stack.enter_context(PageChecks(self.entry, self.period))
                drafts = await run_computing(checks.complete)
                self._refuse_mixed(checks.holes, refuse_mixed)
                if self.period is None and not drafts[0].rows:
                    checks.warnings.append("the snapshot holds no rows, no file is written")
                    drafts = []
                check_run_start(self.entry.name, self.stamp, datetime.now(UTC))
                if self.undated_answers and not self.dated_answers:
                    for draft in drafts:
                        draft.note_reach()
                self.rejected_files = await self._store_rejected(checks)  # first, so that no kill loses them
                files = [
                    await self.lake.put_draft(draft, self.entry.output_folder, self.entry.file_prefix, self.stamp)
                    for draft in drafts
                ]
        periods = tuple(draft.provenance.period for draft in drafts if draft.provenance.period)
        return self._sum_up(files, checks, periods)

    async def _add_page(self, checks: PageChecks, root_number: int, request: Request, page: ParsedPage) -> None:
        """Writes `page`. If a late piece of a large body cannot be read, that is the failure of its request alone, as
        it is of a body that is read at once."""
        try:
            await run_computing(checks.add, root_number, request, page)
        except GridtideError as error:
            if page.answer is None:
                raise
            await self._describe_failure(request, page.answer, error, page.body_path)
            if not self._fails_alone(request, error, answers=1):
                raise
            checks.fail(root_number, request, error)

    async def _store_rejected(self, checks: PageChecks) -> tuple[str, ...]:
        """Stores the rows that the rules of the entry reject; returns the path of their file, if there are any."""
        rejected = checks.judgement.rejections
        if not rejected:
            return ()
        from gridtide.lake import Provenance
        from gridtide.lake.files.rejected import encode_rejected

        scope = find_entry_scope(self.entry).as_text()
        provenance = Provenance(self.entry.name, self.period, self.entry.fingerprint, scope=scope)
        groups = [(item.rule, item.reason, item.rows) for item in rejected]
        body, metadata = await run_computing(encode_rejected, groups, provenance)
        rejected_file = await self.lake.put_rejected(
            body, metadata, self.entry.output_folder, self.entry.file_prefix, self.stamp
        )
        return (rejected_file.path,)

    def _refuse_mixed(self, holes: Sequence[Hole], refuse_mixed: bool) -> None:
        """Raises the error of a hole that fetching all pages at one time may close."""
        errors = [hole.error for hole in holes if isinstance(hole.error, FormatError | IncompleteError)]
        if refuse_mixed and self.reused and errors:
            raise errors[0]

    async def bodies(self) -> Collected:
        """Stores the response bodies unchanged, one file per page."""
        from gridtide.lake import Provenance

        scope = self.source.find_scope(self.entry).as_text()
        provenance = Provenance(self.entry.name, self.period, self.entry.fingerprint, scope=scope)
        files: list[Stored] = []
        async with aclosing(self._fetch_pages(self._keep_body)) as pages:
            async for _, _, page in pages:
                if isinstance(page, GridtideError):
                    raise page
                check_run_start(self.entry.name, self.stamp, datetime.now(UTC))
                with self._time_stage("write"):
                    file = await self.lake.put_body(
                        page.body,
                        self.entry.output_folder,
                        self.entry.file_prefix,
                        self.stamp,
                        provenance,
                        self.entry.format,
                    )
                files.append(file)
        return self._sum_up(files, None, (self.period,) if self.period else ())

    async def _fetch_pages(self, read: _Reader) -> AsyncGenerator[tuple[int, Request, Any], None]:
        """Yields the pages in the order of their requests, each with its request and the number of the first request
        that led to it. At most twice the allowed number of requests is pending. If a request fails alone, its error is
        yielded as its page."""
        waiting = deque(enumerate(merge_equal(self.source.build_requests(self.entry, self.period))))
        running: deque[tuple[int, Request, asyncio.Task[Any]]] = deque()
        answers = 0
        try:
            while waiting or running:
                # More requests than may be sent at once, so that the next one is ready when a page has been parsed.
                while waiting and len(running) < 2 * self.entry.concurrency:
                    root_number, request = waiting.popleft()
                    running.append((root_number, request, asyncio.create_task(self._fetch_page(request, read))))
                # The oldest first, not the first that is done: the file then has its rows in the order of requests.
                root_number, request, page_task = running.popleft()
                try:
                    page = await page_task
                except GridtideError as error:
                    if not self._fails_alone(request, error, answers):
                        raise
                    page = error
                else:
                    answers += 1
                    waiting.extend((root_number, following) for following in page.next_requests)
                yield root_number, request, page
        finally:
            for _, _, page_task in running:
                page_task.cancel()
            await asyncio.gather(*(page_task for _, _, page_task in running), return_exceptions=True)

    def _fails_alone(self, request: Request, error: GridtideError, answers: int) -> bool:
        """Whether `error` concerns only `request`, so that the answers to the others are stored.

        If an upstream refuses credentials before any answer, collection stops, because more requests may lock them out;
        a used-up quota, a wrong clock and a lake that cannot be written concern every request.
        """
        if isinstance(error, QuotaError | StorageError | ClockError) or request.period is None or self.period is None:
            return False
        if not missing(self.period, [request.whole_period or request.period]):  # there is no other request
            return False
        return answers > 0 or not isinstance(error, CredentialsError)

    async def _fetch_page(self, request: Request, read: _Reader) -> Any:
        if not request.url:  # generated here, not fetched
            return await read(request, Response(b"", datetime.now(UTC), "", 1))
        start_time = time.perf_counter()

        async def arrived(answer: Response) -> Any:
            self._add_effort("fetch", start_time)
            self.requests += answer.attempt
            self.retries += max(answer.attempt - 1, 0)
            self.wait_seconds += answer.wait_seconds
            self.dated_answers += not answer.is_undated
            self.undated_answers += answer.is_undated
            page_result = await read(request, answer)
            self.reused += answer.attempt == 0
            return page_result

        return await self.http.fetch(self.entry, request, arrived)

    async def _read_page(self, request: Request, answer: Response) -> ParsedPage:
        """Parses the page in `answer`; its body goes to `raw/` if the entry keeps bodies or it is invalid."""
        start_time = time.perf_counter()
        is_new = bool(request.url) and answer.attempt > 0
        try:
            parsed_page = await run_computing(self._parse_page, request, answer)
        except GridtideError as error:
            await self._describe_failure(request, answer, error)
            raise
        self._add_effort("parse", start_time)
        path = None
        if self.entry.raw and is_new:
            path = await raw_bodies.keep_body(self.lake, self.entry, self.stamp, self.period, request, answer)
        return replace(parsed_page, answer=answer, body_path=path) if parsed_page.page.more else parsed_page

    async def _describe_failure(
        self, request: Request, answer: Response, error: GridtideError, path: str | None = None
    ) -> None:
        """Adds to `error` which request it concerns, and the `path` of its body, which is stored now if it is new and
        has none yet."""
        if path is None and request.url and answer.attempt > 0:
            path = await self._keep_failed_body(request, answer, error)
        _name_request(error, request)
        error.happened += f"; the body is kept in {path}" if path else ""

    async def _keep_failed_body(self, request: Request, answer: Response, error: GridtideError) -> str | None:
        """Stores a body that cannot be read, for inspection, and returns its path. Of a response that is requested
        again, the last body is kept."""
        if isinstance(error, PassingError) and answer.attempt < self.entry.retries:
            return None
        return await raw_bodies.keep_body(self.lake, self.entry, self.stamp, self.period, request, answer)

    async def _keep_body(self, request: Request, answer: Response) -> _Body:
        """Returns the body of `answer`, which is parsed only to find further pages and errors."""
        if answer.absent:
            return _Body(answer.body)
        try:
            page = await run_computing(self.source.parse_response, self.entry, request, answer)
        except FormatError:  # these bodies need not be observations
            return _Body(answer.body)
        except GridtideError as error:
            _name_request(error, request)
            raise
        return _Body(answer.body, page.next_requests)

    def _parse_page(self, request: Request, answer: Response) -> ParsedPage:
        """Parses the page, with each key once."""
        if answer.absent:
            from gridtide.observations.identity import fingerprints
            from gridtide.observations.table import empty

            return ParsedPage(Page(empty(), 0), fingerprints(empty()), absent=True)
        page = self.source.parse_response(self.entry, request, answer)
        return settle_page(page, self.entry, request, self.period)

    def _sum_up(self, files: Sequence[Stored], checks: PageChecks | None, periods: tuple[Period, ...]) -> Collected:
        holes = tuple(checks.holes) if checks else ()
        return Collected(
            self.entry.name,
            files[0].path if files else None,
            sum(file.rows for file in files),
            sum(file.bytes for file in files),
            self.period if not holes else None,
            any(file.is_new for file in files),
            self.requests,
            self.retries,
            self.reused,
            tuple(checks.warnings) if checks else (),
            self.stages,
            tuple(file.path for file in files),
            periods,
            holes,
            tuple(checks.skipped) if checks else (),
            tuple(checks.absent_periods()) if checks else (),
            self.rejected_files,
            self.wait_seconds,
        )

    @contextmanager
    def _time_stage(self, name: str) -> Iterator[None]:
        start_time = time.perf_counter()
        yield
        self._add_effort(name, start_time)

    def _add_effort(self, name: str, start_time: float) -> None:
        self.stages[name].seconds += time.perf_counter() - start_time
        self.stages[name].peak_mb = measure_peak_memory()


def _name_request(error: GridtideError, request: Request) -> None:
    """Adds to `error`, about an answer, which request it answers, and what to do if the source does not say it."""
    if request.label not in error.happened:
        error.happened = f"{request.label}: {error.happened}"
    if isinstance(error, FormatError) and not error.fix:
        error.fix = 'If the upstream answers otherwise now, keep its bodies with "format": "raw" until it is read again'


@dataclass(frozen=True, slots=True)
class _Body:
    """A page of an entry that stores only bodies."""

    body: bytes
    next_requests: Sequence[Request] = ()


def _load_arrow() -> None:
    """Imports what parsing and writing need, which takes as long as fetching a page."""
    import pyarrow.parquet  # noqa: F401

    import gridtide.observations  # noqa: F401
