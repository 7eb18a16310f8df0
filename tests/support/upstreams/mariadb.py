"""A real MariaDB server for tests, from the programs of this machine."""

from __future__ import annotations

import getpass
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class MariaServer:
    """A running server: `address` is `user:password@host:port/database`, as the user of the tests."""

    socket: Path
    address: str

    def query(self, sql: str) -> str:
        """Runs `sql` as the administrator, and returns its rows as text."""
        command = ["mariadb", "--no-defaults", "-uroot", "-N", "-S", str(self.socket), "plant"]
        return subprocess.run(command, input=sql, check=True, text=True, stdout=subprocess.PIPE).stdout

    def load_zone(self, zone: str) -> None:
        """Lets the server know the time zone."""
        command = ["mariadb-tzinfo-to-sql", f"/usr/share/zoneinfo/{zone}", zone]
        statements = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
        self.query(f"use mysql; {statements}; flush tables")


@contextmanager
def run_mariadb(password: str) -> Iterator[MariaServer]:
    """Starts a server on the clock of +05:00, with the database `plant` and the user `grid`; stops it at the end."""
    install, program = shutil.which("mariadb-install-db"), shutil.which("mariadbd")
    if install is None or program is None:
        pytest.skip("no MariaDB here: apt-get install mariadb-server")
    folder = Path(tempfile.mkdtemp())  # not in tmp_path, which is too long for the path of a socket
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = [f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
    (folder / "own").mkdir()  # a server that starts removes the temporary tables of others in its folder
    shared += [f"--tmpdir={folder}/own"]
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    command = [install, "--no-defaults", *shared, *options]
    installed = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if installed.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"MariaDB cannot create a database here: {' '.join(re.findall('.*ERROR.*', installed.stdout))}")
    options = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
    options += ["--default-time-zone=+05:00", "--skip-name-resolve", f"--log-error={folder}/log"]
    try:
        with subprocess.Popen([program, "--no-defaults", *shared, *options]) as process:
            try:
                yield _prepare(folder, port, password)
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder)


def _prepare(folder: Path, port: int, password: str) -> MariaServer:
    deadline = time.monotonic() + 60
    command = ["mariadb", "--no-defaults", "-uroot", "-S", f"{folder}/socket", "-e"]
    create = f"create database plant; create user grid identified by '{password}'; grant all on plant.* to grid"
    while subprocess.run([*command, "select 1"], check=False, capture_output=True).returncode:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    subprocess.run([*command, create], check=True)
    return MariaServer(folder / "socket", f"grid:{password}@127.0.0.1:{port}/plant")
