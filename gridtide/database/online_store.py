"""Redis: the newest features of training sets, under one key each, so that a reader gets all of them or none."""

from __future__ import annotations

import functools
import re
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

ANSWER_BYTES = 1 << 20
"""The bytes that are read at a time. With 64 kB, a week of 200 columns takes 1.0 ms of CPU instead of 0.3."""

PUT_SCRIPT = """
local began = redis.call('HGET', KEYS[1], 'began')
if began and tonumber(began) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'began', ARGV[1], 'body', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
"""Replaces a body and its time to live at once, unless the one that is there was begun later."""


class OnlineStore:
    """The Redis server at `address`, `redis://[:password@]host:port/number` or `rediss://`, for several readers and
    writers at the same time.

    What is stored under a key is a hash with `body`, and when it `began` to be made. Every method raises `StorageError`
    if the server does not answer, `CredentialsError` if it refuses the password; no message has the password. Raises
    `ConfigurationError` for another URL, or if `redis` is not installed.
    """

    def __init__(self, address: str) -> None:
        self.name = _name_server(address)
        self._client = _connect(address)

    def read_clock(self) -> int:
        """Returns the server's time in microseconds since 1970: the same clock for all machines that write."""
        with self._explain_errors():
            seconds, microseconds = self._client.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    def put(self, key: str, body: bytes, lifetime: timedelta, began: int) -> bool:
        """Stores `body` under `key` in place of what was there, until `lifetime` has passed; returns whether it did.

        `began` is the time of `read_clock` before what is in `body` was read: of two writers at the same time, the body
        of that which began later stays.
        """
        milliseconds = lifetime // timedelta(milliseconds=1)
        with self._explain_errors():
            return bool(self._client.eval(PUT_SCRIPT, 1, key, str(began), body, str(milliseconds)))

    def has(self, key: str) -> bool:
        """Whether a body is stored under `key`."""
        with self._explain_errors():
            return bool(self._client.exists(key))

    def get(self, key: str) -> bytes | None:
        """Returns what is stored under `key`, None if nothing is, or if its lifetime has passed."""
        with self._explain_errors():
            body = self._client.hget(key, "body")
        return body if body is None else bytes(body)  # type: ignore[arg-type]  # the client is not asynchronous

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        import redis

        failure: StorageError | CredentialsError
        try:
            yield
            return
        except redis.exceptions.NoPermissionError:
            fix = "Let it use TIME, EVAL, HGET, HSET, PEXPIRE and EXISTS on the keys gridtide:*"
            failure = CredentialsError(self.name, "refuses a command to this user", fix)
        except redis.AuthenticationError:
            failure = CredentialsError(self.name, "refuses the user or password", "Correct the URL of the store")
        except redis.exceptions.OutOfMemoryError:
            fix = (
                'Raise "maxmemory" of the server, or store fewer sets or "hours"; what was stored before is still there'
            )
            failure = StorageError(self.name, "has no memory left for the features", fix)
        except redis.ResponseError as error:  # the server's own words, in which nothing of the URL is
            fix = "Correct the URL of the store, or the settings of the server"
            failure = StorageError(self.name, f"refuses the command: {str(error)[:200]}", fix)
        except redis.RedisError as error:
            reason = type(error).__name__
            failure = StorageError(self.name, f"cannot be used: {reason}", "Check that Redis runs, and has memory")
        raise failure from None


def _name_server(address: str) -> str:
    """Returns `address` without user, password, port and options; raises `ConfigurationError`, which does not repeat
    it, for the URL of something else, and where a character of the password makes other parts of it."""
    happened = "is not the URL of a Redis server"
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises an error unless it is a number
    except ValueError:
        parts = None
    if parts and parts.scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError("store", happened, "Give redis://host:6379/0")
    is_path = parts and (parts.scheme == "unix" or re.fullmatch(r"(/\d*)?", parts.path))
    if not parts or not is_path or parts.fragment:
        fix = "Give redis://:password@host:6379/0, with %2F for /, %23 for # and %3F for ? in the password"
        raise ConfigurationError("store", happened, fix)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


@functools.lru_cache(maxsize=8)
def _connect(address: str) -> redis.Redis:
    """Returns the client of `address`; its connections are kept for the next call."""
    try:
        import redis
    except ImportError as error:
        fix = 'Install it: pip install "gridtide[online]"'
        raise ConfigurationError("store", "the client of Redis is not installed", fix) from error
    limits = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    try:
        client = redis.Redis.from_url(address, socket_read_size=ANSWER_BYTES, **limits)
        pool = client.connection_pool
        pool.connection_kwargs["decode_responses"] = False  # a body is bytes, whatever the URL says
        pool.connection_class(**pool.connection_kwargs)  # checks the options, and connects to nothing yet
    except (ValueError, TypeError):
        fix = "Leave out what follows ? in it, or correct it as the documentation of redis-py has it"
        raise ConfigurationError("store", "its URL has an option that the client cannot use", fix) from None
    return client
