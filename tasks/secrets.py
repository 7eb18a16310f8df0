"""Reads credentials from the environment, a `.env` file and Prefect Secret blocks."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from gridtide.entries.auth import list_secret_names
from gridtide.entries.entry import Entry


async def read_credentials(entries: Iterable[Entry]) -> dict[str, str]:
    """The values that the entries' `auth` names, by name, as `gridtide.database.upstreams.Upstreams` takes them.

    The environment has precedence over `.env` in the working directory; the key of the Secret block NAME is
    `secret:NAME`. A missing value is left out: only the entries that need it fail, when they are collected.
    """
    names = {name for entry in entries for name in list_credential_names(entry)}
    # A variable that is set and empty stays: a password may be empty.
    variables = [name for name in names if not name.startswith("secret:")]
    credentials: dict[str, str | None] = {**dict.fromkeys(variables), **read_environment(variables)}
    for name in names - credentials.keys():
        credentials[name] = await _read_block(name.removeprefix("secret:"))
    return {name: value for name, value in credentials.items() if value is not None}


def read_environment(names: Collection[str]) -> dict[str, str]:
    """The values of the variables `names` that are set, of the environment or else of `.env`."""
    environment = {**dotenv_values(".env", encoding="utf-8-sig"), **os.environ} if names else {}
    return {name: value for name in names if (value := environment.get(name)) is not None}


def defer_to_dotenv(entries: Iterable[Entry], folder: Path) -> None:
    """Remove those of the entries' credentials from the environment that `.env` in `folder` holds with the same value.

    A run that this process starts in `folder` then reads them from the file, with the values of that time.
    """
    filed = dotenv_values(folder / ".env", encoding="utf-8-sig")
    for name in {name for entry in entries for name in list_credential_names(entry)}:
        if name in filed and os.environ.get(name) == filed[name]:
            del os.environ[name]


def list_credential_names(entry: Entry) -> list[str]:
    """The names in the entry's `auth`: environment variables, and a Secret block as `secret:NAME`."""
    return [name for auth in entry.auths for name in list_secret_names(auth)]


async def _read_block(name: str) -> str | None:
    """The value of a Secret block, None if there is no such block."""
    from prefect.blocks.system import Secret  # takes a second to import, and most credentials are in the environment

    try:
        block: Secret[Any] = await Secret.aload(name)
    except ValueError:  # what Prefect raises for a block that does not exist
        return None
    return str(block.get())
