"""Which certificates are trusted beside the usual ones."""

from __future__ import annotations

import ssl

from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError


class TrustedAuthorities:
    """TLS contexts by the file of certificates that entries name; reading one takes tens of milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, entry: Entry) -> ssl.SSLContext | bool:
        """How to verify the upstream of `entry`: by the usual certificates, and by those in its `tls_ca`.

        Raises `ConfigurationError` where that file cannot be read or holds no certificate.
        """
        path = entry.tls_ca
        if path is None:
            return True
        if path not in self._contexts:
            self._contexts[path] = _trust(entry.name, path)
        return self._contexts[path]


def _trust(entry: str, path: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # A certificate that is trusted ends the chain, also where it is an intermediate one that the server left out.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        happened = f"tls_ca: {path} cannot be used: {error.strerror or error}"
        raise ConfigurationError(entry, happened, "Name a PEM file of certificates that can be read") from error
    return context
