"""The databases of one run: each request is one statement, whose answer is received as a whole before it is read.

An answer is a stream of Arrow batches. A large one goes to a file without a name, so that memory does not grow with it,
and that the database is done before the rows are read and written.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

from gridtide.database.failures import explain_failures
from gridtide.database.statements import Statement, read_statement
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError
from gridtide.http.attempts import ask_repeatedly
from gridtide.http.client import BODY_LIMIT
from gridtide.http.credentials import Credentials, build_credentials
from gridtide.http.limits import Limiter
from gridtide.http.tracing import trace_request
from gridtide.sources.contract import Request, Response
from gridtide.threads import run_blocking

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import URL

T = TypeVar("T")

CONTENT_TYPE = "application/vnd.apache.arrow.stream"

IN_MEMORY = 32 * 2**20
"""The bytes of an answer from which on it is in a file."""


class Databases:
    """The databases that entries name; `secrets` maps the variables and blocks that hold their URLs to these."""

    def __init__(self, secrets: Mapping[str, str], limiter: Limiter) -> None:
        self._secrets = secrets
        self._limiter = limiter
        self._slots: dict[str, asyncio.Semaphore] = {}

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """Returns what `read` makes of the rows that answer `request`; at most `concurrency` statements of an entry run
        at a time.

        Statement and `read` are tried up to `entry.retries` times while the error may pass. Raises the last error:
        `CredentialsError`, `ConfigurationError` for a statement that the database refuses, `UpstreamError`, or an error
        of `read`.
        """
        slots = self._slots.setdefault(entry.name, asyncio.Semaphore(entry.concurrency))

        async def ask() -> Response:
            start_time = time.monotonic()
            if entry.rate_limit is not None:
                await self._limiter.acquire(entry.rate_limit)
            waited = time.monotonic() - start_time
            credentials = build_credentials(entry, self._secrets, {})
            retrieved_at = datetime.now(UTC)
            with trace_request(entry, request):
                answer = await _receive_unless_cancelled(entry, request, credentials)
            return _build_response(entry, answer, retrieved_at, waited)

        return await ask_repeatedly(entry, slots, ask, read)


@dataclass(frozen=True, slots=True)
class _Answer:
    file: IO[bytes]
    rows: int
    bytes: int


async def _receive_unless_cancelled(entry: Entry, request: Request, credentials: Credentials) -> _Answer:
    """Receives the answer in a thread, which ends soon if this is cancelled."""
    is_cancelled = threading.Event()
    try:
        return await run_blocking(_receive, entry, request, credentials, is_cancelled)
    except asyncio.CancelledError:
        is_cancelled.set()
        raise


def _receive(entry: Entry, request: Request, credentials: Credentials, is_cancelled: threading.Event) -> _Answer:
    """Writes the batches of the answer to a file."""
    statement = read_statement(request)
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # it lives as long as the response
    with explain_failures(entry, request.label, credentials) as url, _BatchFile(file) as batch_file:
        for batch in _choose_driver(url)(url, statement, entry.timeout):
            if is_cancelled.is_set():
                break
            batch_file.write(batch)
    size = file.tell()
    file.seek(0)
    return _Answer(file, batch_file.rows, size)


class _BatchFile:
    """Writes batches to a file, as one stream of Arrow for each change of the columns' types."""

    def __init__(self, file: Any) -> None:
        import pyarrow as pa

        self.rows = 0
        self._sink = pa.PythonFile(file, mode="w")
        self._schema: pa.Schema | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def __enter__(self) -> _BatchFile:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends `batch`."""
        import pyarrow as pa

        if self._writer is None or batch.schema != self._schema:
            self.__exit__()
            self._schema = batch.schema
            self._writer = pa.ipc.new_stream(self._sink, batch.schema)
        self._writer.write_batch(batch)
        self.rows += batch.num_rows


def _choose_driver(url: URL) -> Callable[[URL, Statement, float], Iterator[pa.RecordBatch]]:
    """Returns the function that streams the rows of a statement at the database of `url`."""
    backend = url.get_backend_name()
    if backend == "postgresql":
        from gridtide.database.postgres import stream_postgres as stream
    elif backend == "duckdb":
        from gridtide.database.duckdb_files import stream_duckdb as stream
    else:
        from gridtide.database.engines import stream_engine as stream
    return stream


def _build_response(entry: Entry, answer: _Answer, retrieved_at: datetime, waited: float) -> Response:
    """Returns the answer as a response: with its bytes if the entry keeps bodies."""
    headers = {"rows": str(answer.rows)}
    if not entry.raw:
        return Response(b"", retrieved_at, CONTENT_TYPE, headers=headers, wait_seconds=waited, file=answer.file)
    if answer.bytes > BODY_LIMIT:
        happened = f"the answer is larger than {BODY_LIMIT >> 20} MiB, too large to be kept under raw/"
        raise ConfigurationError(entry.name, happened, 'Shorten "chunk", or leave "raw" out')
    with answer.file as file:
        return Response(file.read(), retrieved_at, CONTENT_TYPE, headers=headers, wait_seconds=waited)
