"""`gridtide serve` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


def synthetic(name: str, schedule: str) -> dict[str, Any]:
    """An entry without an upstream."""
    params = {"variables": ["demand"]}
    return {"name": name, "source": "synthetic", "output_folder": name, "params": params, "schedule": schedule}


@contextmanager
def served(config: dict[str, Any], folder: Path, server: str, home: Path, **variables: str) -> Iterator[Path]:
    """Serve `config` from `folder` with the Prefect server at `server`; gives the log of the process."""
    (folder / "api_config.json").write_text(json.dumps(config))
    environment = {
        "PREFECT_API_URL": server,
        "PREFECT_HOME": str(home),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",  # how often it asks for runs; the default is 10 s
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "serve"],
            cwd=folder,
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )
    try:
        while "Serving" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
