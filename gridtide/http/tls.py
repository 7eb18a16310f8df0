"""Certificates that are trusted in addition to the usual ones."""

from __future__ import annotations

import ssl

from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError


class TrustedAuthorities:
    """TLS contexts by the certificate files that entries name; they are cached, because reading a file takes tens of
    milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, entry: Entry) -> ssl.SSLContext | bool:
        """Returns how to verify the upstream of `entry`: with the usual certificates, and with those in its `tls_ca`.

        Raises `ConfigurationError` if that file cannot be read or contains no certificate.
        """
        path = entry.tls_ca
        if path is None:
            return True
        if path not in self._contexts:
            self._contexts[path] = _trust(entry.name, path)
        return self._contexts[path]


def _trust(entry: str, path: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # A trusted certificate ends the chain, even an intermediate one that the server did not send.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        happened = f"tls_ca: {path} cannot be used: {error.strerror or error}"
        raise ConfigurationError(entry, happened, "Name a PEM file of certificates that can be read") from error
    return context
