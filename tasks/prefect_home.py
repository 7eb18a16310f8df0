"""Finds and checks the folder in which Prefect and the processes of this machine keep their state.

This module does not import Prefect, whose import fails without a home folder.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from gridtide.errors import ConfigurationError

FIX = "Set PREFECT_HOME to a folder that this user may write to, such as PREFECT_HOME=/tmp/prefect"


def check_prefect_home() -> Path:
    """The folder PREFECT_HOME, by default `~/.prefect`, which is created if it does not exist.

    Raises `ConfigurationError` if it cannot be written, or as `find_prefect_home` does.
    """
    return make_writable(find_prefect_home())


def find_prefect_home() -> Path:
    """The folder PREFECT_HOME, by default `~/.prefect`.

    Raises `ConfigurationError` if the user has no home folder, as Prefect cannot be imported then.
    """
    try:
        return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    except RuntimeError as error:  # a user id without an account, in a container, and no HOME
        raise ConfigurationError("PREFECT_HOME", "is not set, and this user has no home folder", FIX) from error


def settle_home_folders() -> None:
    """Make PREFECT_HOME absolute if it is set, and set HOME to it if this user has no home folder.

    The local server and its runs have other working folders, in which a relative PREFECT_HOME would be another one.
    Prefect needs a home folder when it is imported, even if it uses PREFECT_HOME later.
    """
    if folder := os.environ.get("PREFECT_HOME"):
        with suppress(RuntimeError):  # `~` without a home folder: reported by `find_prefect_home`
            os.environ["PREFECT_HOME"] = str(Path(folder).expanduser().absolute())
    try:
        Path.home()
    except RuntimeError:
        if home := os.environ.get("PREFECT_HOME"):
            os.environ["HOME"] = home


def make_writable(folder: Path) -> Path:
    """`folder`, created if it does not exist; raises `ConfigurationError` if no file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ConfigurationError("PREFECT_HOME", f"{folder} cannot be written: {error.strerror}", FIX) from error
