"""An upstream in this process that can delay all answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gridtide.periods import EPOCH

HOUR = timedelta(hours=1)


class WaitingUpstream(ThreadingHTTPServer):
    """An upstream with a value for every hour, the number of the hour since 1970; it answers while it is `willing`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.willing = threading.Event()
        self.asked = threading.Semaphore(0)
        """Released by each question."""

    def entry(self, name: str, schedule: str | None = None) -> dict[str, Any]:
        """An entry that requests its data by day."""
        return {
            "name": name,
            "url": f"http://127.0.0.1:{self.server_port}/{name}?start={{start}}&end={{end}}",
            "output_folder": name,
            "time": "time",
            "value": "mw",
            "interval": "PT1H",
            "chunk": "P1D",
            "timeout": 600,
            "concurrency": 2,
            "schedule": schedule,
        }


class Answer(BaseHTTPRequestHandler):
    """Answers with the hours from start to end."""

    server: WaitingUpstream

    def do_GET(self) -> None:
        """Answer, once the upstream is willing."""
        self.server.asked.release()
        self.server.willing.wait()
        asked = parse_qs(urlsplit(self.path).query)
        start, end = (datetime.fromisoformat(asked[key][0]) for key in ("start", "end"))
        hours = [start + n * HOUR for n in range((end - start) // HOUR)]
        body = json.dumps([{"time": hour.isoformat(), "mw": (hour - EPOCH) / HOUR} for hour in hours]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def upstream() -> Iterator[WaitingUpstream]:
    """A `WaitingUpstream` that does not answer yet."""
    with WaitingUpstream() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.willing.set()
            server.shutdown()
            thread.join()
