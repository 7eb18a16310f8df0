"""A `gridtide serve` of its own process."""

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

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

ROOT = Path(__file__).resolve().parents[2]


def synthetic(name: str, schedule: str) -> dict[str, Any]:
    """An entry that needs no upstream."""
    params = {"variables": ["demand"]}
    return {"name": name, "source": "synthetic", "output_folder": name, "params": params, "schedule": schedule}


@contextmanager
def served(config: dict[str, Any], folder: Path, server: str, home: Path) -> Iterator[Path]:
    """Serve `config` from `folder` with the Prefect server at `server`; gives the process's log."""
    (folder / "api_config.json").write_text(json.dumps(config))
    environment = {"PREFECT_API_URL": server, "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)}
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
        with get_client(sync_client=True) as client:
            while not _is_served(client, folder):
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _is_served(client: SyncPrefectClient, folder: Path) -> bool:
    """Whether the last deployment is there, and of `folder`."""
    try:
        last = client.read_deployment_by_name("backfill/by-hand")
    except ObjectNotFound:
        return False
    return bool(last.parameters["config"] == str(folder / "api_config.json"))
