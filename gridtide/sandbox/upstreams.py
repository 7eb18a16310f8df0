"""The imitated upstreams: the modules of `formats/` and of its folder `operators/` that answer requests.

A module there is an imitated upstream if it defines `answer_request`; see `ImitatedUpstream` for the rest.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Protocol

from gridtide.sandbox import formats
from gridtide.sandbox.formats import operators
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html
from gridtide.sources.contract import with_defaults


class ImitatedUpstream(Protocol):
    """What a module that imitates an upstream defines at its top level, with the defaults for what it does not."""

    PATH_PREFIXES: Sequence[str] = ()
    """The paths that this upstream answers; one that ends in a slash is the beginning of paths."""

    METHODS: Sequence[str] = ("GET",)
    """The HTTP methods of its requests."""

    RATE_LIMITS: Sequence[tuple[int, float]] = ()
    """Pairs of a number of requests and the seconds in which they are allowed."""

    SECRETS: Mapping[str, str] = {}
    """The credentials that it accepts, by the environment variables that usually hold them."""

    def answer_request(self, question: Question) -> WireAnswer:
        """Returns the response of the upstream."""
        raise NotImplementedError

    def write_refusal(self, status: int, window: float = 1, speed: float = 1) -> WireAnswer:
        """Returns an error in the upstream's format; a 429 is for the limit of `window` seconds, `speed` times
        faster."""
        return write_html(f"HTTP Status {status}", status)

    def count_calls(self, question: Question) -> float:
        """Returns as how many requests the upstream counts `question`."""
        return 1.0


@functools.cache
def load_upstreams() -> Mapping[str, ImitatedUpstream]:
    """Imports the imitated upstreams, and returns them by the names of their modules."""
    modules = {
        module.name: importlib.import_module(f"{package.__name__}.{module.name}")
        for package in (formats, operators)
        for module in pkgutil.iter_modules(package.__path__)
    }
    return {
        name: with_defaults(module, ImitatedUpstream)  # type: ignore[type-abstract]  # each method has a body
        for name, module in modules.items()
        if hasattr(module, "answer_request")
    }


def find_upstream(path: str) -> str | None:
    """Returns the name of the upstream that answers `path`, or None."""
    for name, upstream in load_upstreams().items():
        if any(
            path.startswith(prefix) if prefix.endswith("/") else path == prefix for prefix in upstream.PATH_PREFIXES
        ):
            return name
    return None


def list_secrets() -> dict[str, str]:
    """Returns the credentials that the sandbox accepts, by the environment variables that usually hold them."""
    return {name: secret for upstream in load_upstreams().values() for name, secret in upstream.SECRETS.items()}
