"""The tree of errors.

GridtideError
├── ConfigurationError      the configuration asks for something impossible: correct the file
├── CredentialsError        401 or 403, or no credentials at all: correct them; never retried
├── PassingError            may pass: retried, after the wait that the upstream asks for
│   ├── QuotaError          429, or a 403 that names a rate limit
│   └── UpstreamError       5xx, 202, timeouts, resets, truncated or non-JSON bodies
├── FormatError             the body parses but does not have the documented format; it is stored in `raw/`
├── IncompleteError         fewer or more rows than the upstream says it has
├── ClockError              this machine's clock is wrong: nothing is stored until it is set
├── StorageError            the lake could not be read or written
│   └── DamagedError        a file is not as it was stored: move it away and collect its period again
└── TrainingError           the training spec asks for data that the lake does not hold

Every error names its subject (an entry or a file), what happened, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class GridtideError(Exception):
    """The root: `subject` (entry, file or command), what `happened`, and how to `fix` it."""

    retryable = False

    def __init__(self, subject: str, happened: str, fix: str = "") -> None:
        super().__init__(subject, happened, fix)
        self.subject = subject
        self.happened = happened
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.subject}: {self.happened}"
        return f"{text.removesuffix('.')}. {self.fix}" if self.fix else text


class ConfigurationError(GridtideError):
    """The configuration, or the arguments of a command, ask for something impossible."""


class CredentialsError(GridtideError):
    """The upstream refuses the credentials (401, 403), or there are none for the upstream or the lake."""


class PassingError(GridtideError):
    """An error that may pass. `wait` is the time in seconds that the upstream asks us to wait, None if it names
    none."""

    retryable = True

    def __init__(self, subject: str, happened: str, fix: str = "", *, wait: float | None = None) -> None:
        super().__init__(subject, happened, fix)
        self.wait = wait

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_passing, (type(self), self.subject, self.happened, self.fix, self.wait))


class QuotaError(PassingError):
    """The upstream's quota is used up: 429, or a 403 that names a limit."""


class UpstreamError(PassingError):
    """The upstream failed in a way that may pass: 5xx, 202, a timeout, a reset, a truncated body, no JSON."""


class FormatError(GridtideError):
    """The body parses but does not have the documented format."""


class IncompleteError(GridtideError):
    """The number of received rows differs from the upstream's own count."""

    retryable = True


class ClockError(GridtideError):
    """This machine's clock is off by more than minutes: nothing can be stored under the right time."""


class StorageError(GridtideError):
    """The lake could not be read or written."""


class DamagedError(StorageError):
    """A file in the lake is not as it was stored. A file that cannot be read for the moment is a `StorageError`."""


class TrainingError(GridtideError):
    """A training set cannot be prepared from what the lake holds."""


def list_first(items: Iterable[object], count: int, separator: str = ", ", more: str = " and {} more") -> str:
    """Returns the first `count` of `items` joined by `separator`, followed by `more` with the number of the rest, if
    any.

    >>> list_first(["a", "b", "c", "d"], 2), list_first(["a", "b"], 2)
    ('a, b and 2 more', 'a, b')
    """
    texts = list(map(str, items))
    first_texts = separator.join(texts[:count])
    return first_texts + more.format(len(texts) - count) if len(texts) > count else first_texts


def one_line(error: BaseException) -> str:
    """Returns `error` on one line; an unexpected error is preceded by its type."""
    text = str(error) if isinstance(error, GridtideError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _rebuild_passing(
    kind: type[PassingError], subject: str, happened: str, fix: str, wait: float | None
) -> PassingError:
    return kind(subject, happened, fix, wait=wait)
