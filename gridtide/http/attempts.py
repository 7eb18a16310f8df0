"""The attempts of a request: repeated while its error may pass, with the waits that the upstream asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import tenacity

from gridtide.entries.entry import Entry
from gridtide.errors import ClockError, GridtideError, PassingError, QuotaError
from gridtide.sources.contract import Response

T = TypeVar("T")


LONGEST_WAIT = 120.0
"""The longest wait for a request, in seconds, before all of its retries here together; a longer one is left to the
caller, so that an upstream that asks to wait again and again does not hold up a run."""


async def ask_repeatedly(
    entry: Entry,
    slots: asyncio.Semaphore,
    ask: Callable[[], Awaitable[Response]],
    read: Callable[[Response], Awaitable[T]],
    check: Callable[[], None] = lambda: None,
    used_up: set[str] | None = None,
) -> T:
    """Returns what `read` makes of the response of `ask`, both tried up to `entry.retries` times while the error may
    pass. `ask` holds one of `slots`; `check` is called before a response is read. Raises the last error.

    `used_up` are the entries whose quota was used up after all waits; their requests do not wait for it again, until
    one is answered.
    """
    names = set() if used_up is None else used_up

    def is_last(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        has_waited = state.idle_for + state.upcoming_sleep > LONGEST_WAIT
        is_used_up = isinstance(error, QuotaError) and entry.name in names
        return state.attempt_number >= entry.retries or has_waited or is_used_up

    attempts = tenacity.AsyncRetrying(
        stop=is_last,
        retry=tenacity.retry_if_exception(_is_worth_waiting),
        wait=_wait,
        reraise=True,
    )
    try:
        async for attempt in attempts:
            with attempt:
                async with slots:  # released while reading and waiting, so that the next request is sent
                    response = await ask()
                names.discard(entry.name)
                check()
                state = attempt.retry_state
                waited = response.wait_seconds + state.idle_for
                return await read(replace(response, attempt=state.attempt_number, wait_seconds=waited))
    except QuotaError:
        names.add(entry.name)
        raise
    raise AssertionError("tenacity always returns or raises")


def _is_worth_waiting(error: BaseException) -> bool:
    if isinstance(error, ClockError):  # the answer of another host may prove this clock right
        return True
    if not isinstance(error, GridtideError) or not error.retryable:
        return False
    return not isinstance(error, PassingError) or (error.wait or 0) <= LONGEST_WAIT


_backoff = tenacity.wait_exponential_jitter(multiplier=0.25, max=20, jitter=0.25)


def _wait(state: tenacity.RetryCallState) -> float:
    """Returns the seconds to wait: as long as the upstream asks, or else exponentially longer with jitter."""
    error = state.outcome.exception() if state.outcome else None
    wait = error.wait if isinstance(error, PassingError) else None
    # Jitter keeps requests that were refused together from being repeated together.
    return _backoff(state) if wait is None else wait + _backoff(state) / 10
