"""Where credentials come from: the environment, a `.env` file, Prefect Secret blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from prefect.blocks.system import Secret

from gridtide.entries.entry import BasicAuth, Entry, KeyAuth


async def read_credentials(entries: Iterable[Entry]) -> dict[str, str]:
    """The values of what the entries' `auth` names, as `gridtide.http.client.Http` takes them.

    The environment goes before `.env` in the working directory; a Secret block NAME comes under
    `secret:NAME`. What is nowhere to be found is left out: it fails its own entries, no others.
    """
    names = {name for entry in entries for name in _names(entry)}
    environment = {**dotenv_values(".env"), **os.environ} if names else {}
    found = {name: environment.get(name) or "" for name in names if not name.startswith("secret:")}
    for name in names - found.keys():
        found[name] = await _block(name.removeprefix("secret:"))
    return {name: value for name, value in found.items() if value}


def defer_to_dotenv(entries: Iterable[Entry], folder: Path) -> None:
    """Take out of the environment what `.env` in `folder` holds of the entries' credentials.

    A run that is started there by a process of this environment then reads them as they are by that time.
    """
    held = dotenv_values(folder / ".env")
    for name in {name for entry in entries for name in _names(entry)}:
        if name in held and os.environ.get(name) == held[name]:
            del os.environ[name]


def _names(entry: Entry) -> list[str]:
    """What `entry.auth` refers to, a Secret block as `secret:NAME`."""
    match entry.auth:
        case KeyAuth(secret=str(block)) | BasicAuth(secret=str(block)):
            return [f"secret:{block}"]
        case KeyAuth(env=str(variable)):
            return [variable]
        case BasicAuth(username=username):
            return [entry.auth.password_env, *([] if username else [entry.auth.username_env])]
    return []


async def _block(name: str) -> str:
    """The value of a Secret block, empty if there is no such block."""
    try:
        block: Secret[Any] = await Secret.aload(name)
    except ValueError:  # what Prefect raises for a block that does not exist
        return ""
    return str(block.get())
