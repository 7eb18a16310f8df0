"""Receivers of notifications in this process: a webhook and an SMTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Inbox:
    """What arrived of all that says `about`: subject and body, and when (monotonic seconds).

    A server may tell of an event a quarter of an hour late, while another test of the same module listens.
    """

    about: str = ""
    messages: list[tuple[str, str]] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)

    def add(self, subject: str, body: str) -> None:
        """Add a message."""
        if self.about in f"{subject}\n{body}":
            self.arrived.append(time.monotonic())
            self.messages.append((subject, body))

    def until(self, number: int, seconds: float = 240) -> list[tuple[str, str]]:
        """The messages, once there are `number`; fails where there are fewer after `seconds`, which are many more than
        a message takes: a loaded machine is slow, and a wait that is in vain is rare."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < number:
            assert time.monotonic() < deadline, f"{len(self.messages)} of {number} arrived: {self.messages}"
            time.sleep(0.05)
        return self.messages

    @property
    def subjects(self) -> list[str]:
        """The subjects of the messages."""
        return [subject for subject, _ in self.messages]


@contextmanager
def webhook(inbox: Inbox, port: int = 0) -> Iterator[str]:
    """The URL of a webhook that adds its messages to `inbox`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.add(data["title"], data["message"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def mailbox(inbox: Inbox, port: int) -> Iterator[str]:
    """The URL of an SMTP server at `port` that adds its messages to `inbox`."""

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # its name
            mail = message_from_bytes(envelope.content, policy=policy.default)
            text = mail.get_body(("plain", "html"))
            inbox.add(str(mail["subject"]), text.get_content() if text else "")
            return "250 OK"

    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"mailto://127.0.0.1:{port}?from=gridtide@example.com&to=you@example.com"
    finally:
        controller.stop()
