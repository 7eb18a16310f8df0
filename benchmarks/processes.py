"""Runs whole processes and measures their time and memory."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True)
class Run:
    """The measured run of a process: wall and CPU seconds, peak memory in MB, and its output."""

    wall: float
    cpu: float
    peak_mb: float
    output: str


def run(program: str, *arguments: str) -> Run:
    """Run `programs/<program>.py` as a cold process; raises `RuntimeError` with its output if it fails."""
    command = [sys.executable, str(PROGRAMS / f"{program}.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS.parents[1])}
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{program} failed:\n{output.decode(errors='replace')[-3000:]}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale, output.decode())


@contextlib.contextmanager
def serving(*command: str) -> Iterator[str]:
    """Start `command --port N` on a free local port, and stop it at the end; gives its URL once it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"{' '.join(command)} does not listen")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
