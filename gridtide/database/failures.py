"""Errors of databases as errors of Gridtide, without the URL or the password in any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, UpstreamError, list_first
from gridtide.http.credentials import Credentials

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

EXTRA = 'Install what it needs: pip install "gridtide[sql]", or the driver that the URL names'

_REFUSED_STATES = ("28", "42501", "0P")
"""The beginnings of SQLSTATE of refused credentials and missing rights."""

_WRONG_STATES = ("42", "22", "25006", "3D", "3F", "0A", "2F")
"""The beginnings of SQLSTATE of statements that the database cannot run; see PostgreSQL's appendix A."""

_WRONG_KINDS = (
    *("CatalogException", "BinderException", "ParserException", "SyntaxException"),
    *("InvalidInputException", "NotImplementedException", "ConversionException"),
)
"""The errors of DuckDB for such statements."""

_IS_REFUSED = re.compile(
    r"(?i)password authentication failed|no password supplied|permission denied|access denied|no pg_hba\.conf entry|"
    r'role "[^"]*" does not exist|is not permitted to log in|login failed|not authorized'
)
_IS_WRONG = re.compile(
    r"(?i)no such (table|column|function|database)|syntax error|does not exist|read-?only|ambiguous column|"
    r"unable to open database file|incorrect number of bindings|cannot open file|not a database"
)
_IS_NO_URL = re.compile(r"(?i)invalid percent-encoded|invalid URI|invalid port|invalid (connection option|sslmode)")
"""What libpq says of a URL that it cannot read, with the part that it cannot read, which may be of a password."""

_IS_OTHER_TYPE = re.compile(
    r"(?i)operator does not exist: .* (text|timestamp with time zone|bigint|double precision)\b"
)
"""What PostgreSQL says of a parameter that it cannot compare with a column."""

_IS_LATE = re.compile(r"(?i)statement timeout|canceling statement|interrupted|query timeout")

MESSAGE_LENGTH = 300
"""The most characters of a database's message that an error holds."""


@contextmanager
def explain_failures(entry: Entry, label: str, credentials: Credentials) -> Iterator[URL]:
    """Gives the URL of the entry's database; errors within become errors of Gridtide, as for a request `label`.

    They have no cause, as a driver's own error may hold the URL: its text is in the message, without the password.
    """
    failure: GridtideError
    try:
        yield _parse_url(entry, credentials)
        return
    except GridtideError:
        raise
    except TimeoutError:
        failure = _build_late(entry, label)
    except ImportError as error:
        failure = ConfigurationError(entry.name, f"a driver of databases is missing: {error.name or error}", EXTRA)
    except Exception as error:  # each driver has errors of its own
        failure = _classify(entry, label, error, credentials)
    raise failure from None


def _parse_url(entry: Entry, credentials: Credentials) -> URL:
    """Returns the URL that the entry's variable holds. Raises `CredentialsError` that does not repeat it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(credentials.hidden[0])
    except (ArgumentError, ValueError, IndexError):
        raise _refuse_url(entry) from None
    if url.host and "@" in f"{url.host}{url.database}":  # a password with @, of which the rest is taken for the host
        raise _refuse_url(entry)
    driver = "postgresql" if url.drivername == "postgres" else url.drivername  # as libpq and hosting providers have it
    return url.set(drivername=driver)


def _refuse_url(entry: Entry) -> CredentialsError:
    happened = "what its variable or block holds is not the URL of a database"
    fix = "Write such as postgresql://user:password@host:5432/name, with %40 for @ and %2F for / in a password"
    return CredentialsError(entry.name, happened, fix)


def _build_late(entry: Entry, label: str) -> UpstreamError:
    fix = 'Raise "timeout", shorten "chunk", or give the column of the times an index'
    return UpstreamError(entry.name, f"{label}: the database did not answer within {entry.timeout:g} s", fix)


def _classify(entry: Entry, label: str, error: Exception, credentials: Credentials) -> GridtideError:
    """Returns the error that `error` of a driver is: by its SQLSTATE where it has one, or else by its words."""
    original = getattr(error, "orig", None) or error
    state = str(getattr(original, "sqlstate", None) or "")
    text = credentials.redacted_text(" ".join(str(original).split()))[:MESSAGE_LENGTH]
    error_kind = type(original).__name__
    happened = f"{label}: the database says: {text or error_kind}"
    if state == "57014" or error_kind == "InterruptException" or _IS_LATE.search(text):
        return _build_late(entry, label)
    if state.startswith(_REFUSED_STATES) or (not state and _IS_REFUSED.search(text)):
        return CredentialsError(entry.name, happened, "Correct the URL of the database, or grant its user SELECT")
    if _IS_NO_URL.search(text):
        return _refuse_url(entry)
    if error_kind == "UnknownZoneError":
        fix = "Load the time zones there with mysql_tzinfo_to_sql, or let the query give a DATETIME in UTC"
        return ConfigurationError(entry.name, happened.replace("the database says: ", ""), fix)
    if error_kind in ("NoSuchModuleError", "ModuleNotFoundError"):
        return ConfigurationError(entry.name, happened, EXTRA)
    is_statement = state.startswith(_WRONG_STATES) or error_kind in _WRONG_KINDS
    if is_statement or (not state and (error_kind == "ProgrammingError" or _IS_WRONG.search(text))):
        columns = [*entry.time, *entry.value, *filter(None, (entry.updated, entry.published))]
        query = f'"query" ({list_first(entry.params, 5)})' if entry.params else '"query"'
        names = query if entry.query else f'"table" and {list_first(columns, 5)}'
        fix = _fix_types(entry) if _IS_OTHER_TYPE.search(text) else f"Compare {names} with the database"
        return ConfigurationError(entry.name, happened, fix)
    return UpstreamError(entry.name, happened, "Try again later")


def _fix_types(entry: Entry) -> str:
    """Returns what to do where the database cannot compare a parameter with a column of another type."""
    if entry.query is None:
        return f'Say how {entry.time[0]} is written with "time_format", such as "unix" or "%Y-%m-%d %H:%M:%S"'
    name = next(iter(entry.params), "start")
    return f"Cast the parameter in the query to the type of the column, such as cast(:{name} as date)"
