"""A real PostgreSQL server for tests, from the programs of this machine."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class PostgresServer:
    """A running server: `address` is `user@host:port/database`; its log is at `log`."""

    programs: Path
    user: str
    address: str
    log: Path

    def query(self, sql: str) -> str:
        """Runs `sql` and returns its rows as text, with `|` between columns."""
        options = ("-v", "ON_ERROR_STOP=1", "-Atqc")
        return _run(self.programs, self.user, "psql", f"postgresql://{self.address}", *options, sql)


def find_programs(extension: str | None = None) -> Path:
    """The folder of PostgreSQL's programs; skips the test without them, or without `extension`."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    programs = next((path for path in reversed(installed) if (path / "initdb").exists()), None)
    if programs is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    control_files = Path("/usr/share/postgresql").glob(f"{programs.parent.name}/extension/{extension}.control")
    if extension and not list(control_files):
        pytest.skip(f"no PostgreSQL here with its extension {extension}: apt-get install postgresql")
    return programs


@contextmanager
def run_postgres(user: str, database: str, extension: str | None = None) -> Iterator[PostgresServer]:
    """Starts a server that trusts every connection, with a superuser and a database, and stops it at the end."""
    programs = find_programs(extension)
    folder = Path(tempfile.mkdtemp())  # not in tmp_path, which the user that PostgreSQL runs as may not enter
    system_user = "postgres" if os.getuid() == 0 else getpass.getuser()
    if os.getuid() == 0:
        shutil.chown(folder, system_user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run(programs, system_user, "initdb", "-D", f"{folder}/data", "-U", user, "-A", "trust", "--no-sync")
    options = f"-p {port} -F -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    _run(programs, system_user, "pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    try:
        _run(programs, system_user, "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", user, database)
        yield PostgresServer(programs, system_user, f"{user}@127.0.0.1:{port}/{database}", folder / "log")
    finally:
        _run(programs, system_user, "pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _run(programs: Path, user: str, program: str, *arguments: str) -> str:
    return subprocess.run(
        [str(programs / program), *arguments],
        user=user,
        cwd="/",
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},
    ).stdout
