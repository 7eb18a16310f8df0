"""Turns network failures into errors that name the cause and a fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, UpstreamError
from gridtide.http.credentials import Credentials

LONGEST_CONNECT = 15.0
"""The longest time to connect, in seconds; a shorter `timeout` limits it too."""


UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
"""OpenSSL's verification codes for a chain that ends in no trusted certificate."""


@dataclass(slots=True)
class AnswerProgress:
    """How much of a response has been received."""

    bytes: int = 0


def time_limits(entry: Entry) -> aiohttp.ClientTimeout:
    """Returns the time limits of a request. `timeout` limits silence, not the whole response: a response may come
    slowly but steadily."""
    connect = min(entry.timeout, LONGEST_CONNECT)
    return aiohttp.ClientTimeout(total=entry.deadline.total_seconds(), sock_connect=connect, sock_read=entry.timeout)


@contextmanager
def explain_errors(entry: Entry, label: str, url: str, credentials: Credentials) -> Iterator[AnswerProgress]:
    """Turns network errors raised inside into errors that name the entry, the host, the limit, and a fix.

    No error, and no cause of one, contains a credential: a cause is left out if it could contain the URL with the key.
    """
    progress = AnswerProgress()
    try:
        yield progress
    except GridtideError:
        raise
    except aiohttp.ClientConnectorCertificateError as error:
        raise _build_untrusted(entry, error) from error
    except (ValueError, aiohttp.NonHttpUrlClientError) as error:
        # An invalid host or redirect raises a ValueError of aiohttp or yarl.
        happened = credentials.redacted_text(f"{_get_host(url)} cannot be asked: {error}")
        raise ConfigurationError(entry.name, happened, "Correct the url") from None
    except aiohttp.ClientConnectorError as error:
        reason = error.os_error.strerror or error.os_error
        happened = f"{error.host}:{error.port} cannot be reached: {reason}"
        raise UpstreamError(entry.name, happened, "Check the url and the network") from error
    except TimeoutError as error:
        raise _build_time_out(entry, label, _get_host(url), progress, error) from error
    except (aiohttp.ClientError, OSError) as error:
        happened = f"{label}: the answer of {_get_host(url)} broke off: {type(error).__name__}: {error}"
        raise UpstreamError(entry.name, credentials.redacted_text(happened), "Try again later") from None


def _get_host(url: str) -> str:
    try:
        return URL(url).host or url.partition("?")[0]
    except ValueError:
        return url.partition("?")[0]


def _build_time_out(
    entry: Entry, label: str, host: str, progress: AnswerProgress, error: TimeoutError
) -> UpstreamError:
    """Returns the error for the limit that was exceeded: that of connecting, of silence, or of the whole collection."""
    fix = 'Try again later, or raise "timeout"'
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        happened = f"{label}: {host} took no connection within {min(entry.timeout, LONGEST_CONNECT):g} s"
        return UpstreamError(entry.name, happened, "Check the url and the network, or try again later")
    if not isinstance(error, aiohttp.ServerTimeoutError):
        happened = f"{label}: the answer of {host} was not whole within {entry.deadline}, the deadline"
        return UpstreamError(entry.name, happened, 'Raise "deadline", or ask for less at a time: shorten "chunk"')
    if not progress.bytes:
        return UpstreamError(entry.name, f"{label}: no answer from {host} within {entry.timeout:g} s", fix)
    happened = f"{label}: {host} sent {progress.bytes:,} bytes and then none for {entry.timeout:g} s"
    return UpstreamError(entry.name, happened, fix)


def _build_untrusted(entry: Entry, error: aiohttp.ClientConnectorCertificateError) -> ConfigurationError:
    reason = getattr(error.certificate_error, "verify_message", None) or str(error.certificate_error)
    host_port = f"{error.host}:{error.port}"
    if getattr(error.certificate_error, "verify_code", None) not in UNKNOWN_ISSUER:
        happened = f"the certificate of {host_port} is not valid: {reason}"
        return ConfigurationError(entry.name, happened, "Check the url; else its operator must renew the certificate")
    happened = f"the certificate chain of {host_port} is incomplete, or its authority is unknown here: {reason}"
    trusted = f"{entry.tls_ca} lacks them" if entry.tls_ca else 'name that file with "tls_ca"'
    fix = (
        "Save the certificates that are missing between the server's and a known authority in one PEM file "
        f"(its operator or browser shows them); {trusted}, or set SSL_CERT_FILE to a file of all that are to be trusted"
    )
    return ConfigurationError(entry.name, happened, fix)
