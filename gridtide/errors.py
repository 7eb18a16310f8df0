"""What can go wrong, as one tree.

GridtideError
├── ConfigurationError      the configuration asks for what cannot be: fix the file
├── CredentialsError        401 and 403, or none at all: mend the credentials, never retried
├── PassingError            may pass: retried, after the wait that the upstream asks for
│   ├── QuotaError          429, or a 403 that speaks of a rate limit
│   └── UpstreamError       5xx, 202, timeouts, resets, cut or non-JSON bodies
├── FormatError             parsed, but not what was promised: the body is kept in `raw/`
├── IncompleteError         fewer or more rows than the upstream says it has
├── StorageError            the lake could not be read or written
│   └── DamagedError        a file in it is not what was stored: move it away and collect its period again
└── TrainingError           the training spec asks for what the lake does not hold

Every error names the entry (or the file), says what happened and what to do.
"""

from __future__ import annotations


class GridtideError(Exception):
    """The root: `subject` (entry, file or command), what `happened`, how to `fix` it."""

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
    """The configuration, or a command's arguments, ask for something that cannot be."""


class CredentialsError(GridtideError):
    """The upstream refuses the credentials (401, 403), or there are none for it or the lake."""


class PassingError(GridtideError):
    """What may pass: `wait` is how many seconds the upstream asks us to wait, None where it names no time."""

    retryable = True

    def __init__(self, subject: str, happened: str, fix: str = "", *, wait: float | None = None) -> None:
        super().__init__(subject, happened, fix)
        self.wait = wait

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_passing, (type(self), self.subject, self.happened, self.fix, self.wait))


class QuotaError(PassingError):
    """The upstream's quota is used up: 429, or a 403 that speaks of a limit."""


class UpstreamError(PassingError):
    """The upstream failed in a way that may pass: 5xx, 202, a time-out, a reset, a cut body, no JSON."""


class FormatError(GridtideError):
    """The upstream answered something that parses but is not what its format promises."""


class IncompleteError(GridtideError):
    """The rows received are not as many as the upstream says there are."""

    retryable = True


class StorageError(GridtideError):
    """The lake could not be read or written."""


class DamagedError(StorageError):
    """A file in the lake is not what was stored; that a file cannot be read just now is no such error."""


class TrainingError(GridtideError):
    """A training set cannot be prepared from what the lake holds."""


def one_line(error: BaseException) -> str:
    """`error` on one line; one that nobody foresaw comes with its type."""
    text = str(error) if isinstance(error, GridtideError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _rebuild_passing(
    kind: type[PassingError], subject: str, happened: str, fix: str, wait: float | None
) -> PassingError:
    return kind(subject, happened, fix, wait=wait)
