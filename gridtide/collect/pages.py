"""The pages of one collection: asked for concurrently, read and written in the order of asking."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gridtide.collect import raw_bodies
from gridtide.collect.checks import PageChecks, ParsedPage
from gridtide.collect.collected import STAGES, Collected, Effort, peak_memory
from gridtide.collect.resume import Fetcher
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError
from gridtide.http.client import Response
from gridtide.periods import Period
from gridtide.sources.contract import Page, Request, Source
from gridtide.sources.registry import source
from gridtide.threads import run_computing

if TYPE_CHECKING:
    from gridtide.lake import Lake, Stored


_Reader = Callable[[Request, Response], Awaitable[Any]]


class PageCollector:
    """One collection under way."""

    def __init__(self, entry: Entry, lake: Lake, http: Fetcher, stamp: datetime, period: Period | None) -> None:
        self.entry, self.lake, self.http, self.stamp, self.period = entry, lake, http, stamp, period
        self.source: Source = source(entry.source)
        self.stages = {name: Effort() for name in STAGES}
        self.requests = self.retries = self.reused = 0

    async def observations(self) -> Collected:
        """The answer as a file of observations."""
        arrow = asyncio.create_task(run_computing(_load_arrow))
        pages = self._pages(self._read)
        with ExitStack() as stack:
            checks = None
            async with aclosing(pages):
                async for request, page in pages:
                    await arrow
                    with self._stage("write"):
                        checks = checks or stack.enter_context(PageChecks(self.entry, self.period))
                        await run_computing(checks.add, request, page)
            with self._stage("write"):
                checks = checks or stack.enter_context(PageChecks(self.entry, self.period))
                draft = await run_computing(checks.complete)
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
            return await read(request, Response(b"", datetime.now(UTC), "", 1))
        asked = time.perf_counter()

        async def arrived(answer: Response) -> Any:
            self._spent("fetch", asked)
            self.requests += answer.attempt
            self.retries += max(answer.attempt - 1, 0)
            found = await read(request, answer)
            self.reused += answer.attempt == 0
            return found

        return await self.http.fetch(self.entry, request, arrived)

    async def _read(self, request: Request, answer: Response) -> ParsedPage:
        """The page in `answer`; its body goes to `raw/` where the entry wants it or it breaks its promise."""
        started = time.perf_counter()
        new = bool(request.url) and answer.attempt > 0
        try:
            parsed = await run_computing(self._parse, request, answer)
        except FormatError as error:
            if not new:
                raise
            path = await raw_bodies.keep_body(self.lake, self.entry, self.stamp, self.period, request, answer)
            raise FormatError(error.subject, f"{error.happened}; the body is kept in {path}", error.fix) from error
        self._spent("parse", started)
        if self.entry.raw and new:
            await raw_bodies.keep_body(self.lake, self.entry, self.stamp, self.period, request, answer)
        return parsed

    async def _keep(self, request: Request, answer: Response) -> _Body:
        """The body of `answer`, read as observations only to find its other pages and the errors it may be."""
        if answer.absent:
            return _Body(answer.body)
        try:
            answered = replace(request, answered=answer.headers)
            page = await run_computing(self.source.parse, self.entry, answered, answer.body, answer.retrieved_at)
        except FormatError:  # what these entries keep need not be observations
            return _Body(answer.body)
        return _Body(answer.body, page.following)

    def _parse(self, request: Request, answer: Response) -> ParsedPage:
        """The page with each key once."""
        from gridtide.observations import identity as identity_module
        from gridtide.observations.identity import fingerprints, has_repeats

        if answer.absent:
            from gridtide.observations.table import empty

            return ParsedPage(Page(empty(), 0), fingerprints(empty()), absent=True)
        answered = replace(request, answered=answer.headers)
        page = self.source.parse(self.entry, answered, answer.body, answer.retrieved_at)
        marks = fingerprints(page.observations)
        if not has_repeats([marks]):
            return ParsedPage(page, marks)
        distinct = identity_module.drop_duplicates(page.observations, self.entry.name)
        repeated = page.observations.num_rows - distinct.num_rows
        return ParsedPage(replace(page, observations=distinct), fingerprints(distinct), repeated)

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
        self.stages[name].peak_mb = peak_memory()


@dataclass(frozen=True, slots=True)
class _Body:
    """A page of an entry that keeps bodies only."""

    body: bytes
    following: Sequence[Request] = ()


def _load_arrow() -> None:
    """Import what parsing and writing need, which takes as long as a page does to arrive."""
    import pyarrow.parquet  # noqa: F401

    import gridtide.observations  # noqa: F401
