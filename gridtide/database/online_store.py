"""Redis: the newest features of training sets, under one key each, so that a reader gets all of them or none."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gridtide.errors import ConfigurationError, CredentialsError, StorageError

if TYPE_CHECKING:
    import redis

ANSWER_SECONDS = 5.0
"""How long a server may take to accept a connection, or to answer."""


class OnlineStore:
    """The Redis server at `address`, `redis://[:password@]host:port/number` or `rediss://`, for several readers and a
    writer at the same time.

    Every method raises `StorageError` if the server does not answer, `CredentialsError` if it refuses the password; no
    message has the password. Raises `ConfigurationError` for another URL, or if `redis` is not installed.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ConfigurationError("store", "is not the URL of a Redis server", "Give redis://host:6379/0")
        self.name = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        self._client = _connect(address)

    def put(self, key: str, body: bytes, lifetime: timedelta) -> None:
        """Stores `body` under `key` in place of what was there, until `lifetime` has passed."""
        with self._explain_errors():
            self._client.set(key, body, px=lifetime)

    def get(self, key: str) -> bytes | None:
        """Returns what is stored under `key`, None if nothing is, or if its lifetime has passed."""
        with self._explain_errors():
            body = self._client.get(key)
        return body if body is None else bytes(body)  # type: ignore[arg-type]  # the client is not asynchronous

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        import redis

        failure: StorageError | CredentialsError
        try:
            yield
            return
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
            failure = CredentialsError(self.name, "refuses the user or password", "Correct the URL of the store")
        except redis.RedisError as error:
            reason = type(error).__name__
            failure = StorageError(self.name, f"cannot be used: {reason}", "Check that Redis runs, and has memory")
        raise failure from None


@functools.lru_cache(maxsize=8)
def _connect(address: str) -> redis.Redis:
    """Returns the client of `address`; its connections are kept for the next call."""
    try:
        import redis
    except ImportError as error:
        fix = 'Install it: pip install "gridtide[online]"'
        raise ConfigurationError("store", "the client of Redis is not installed", fix) from error
    limits = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    return redis.Redis.from_url(address, **limits)
