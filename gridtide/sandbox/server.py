"""The sandbox's HTTP server: the imitated upstreams on one loopback port, distinguished by their paths.

A request is counted, delayed by the latency, checked against its upstream's quota, answered by its module, and possibly
changed by a fault. `GET /__log` returns the log of requests, `POST /__faults` changes the rules, `POST /__reset` resets
counts, log and quotas.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from gridtide.sandbox import SPEED, faults
from gridtide.sandbox.faults import Faults, Rule
from gridtide.sandbox.formats.exchange import Question, WireAnswer
from gridtide.sandbox.quota import Quota
from gridtide.sandbox.upstreams import find_upstream, list_secrets, load_upstreams
from gridtide.simulation import Grid

LOGGED_REQUESTS = 20_000
"""The number of requests in the log."""

HANG_SECONDS, SLOW_SECONDS = 3600.0, 2.0
"""The duration of these faults unless their rule gives another."""


class Sandbox:
    """One simulated grid with one set of faults and quotas, and one log."""

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = SPEED,
        latency: float = 0.0,
        rules: Iterable[Rule] = (),
        now: datetime | None = None,
    ) -> None:
        self.grid, self.speed, self.latency, self.fixed_now = Grid(seed), speed, latency, now
        self.faults = Faults(rules)
        self.forget()
        self.live = 0

    def forget(self) -> None:
        """Resets counts, log and quotas; the rules stay."""
        self.log: deque[dict[str, Any]] = deque(maxlen=LOGGED_REQUESTS)
        self.requests = self.refused = self.peak = 0
        self.faults = Faults(self.faults.rules)
        self.quotas = {name: Quota(upstream.RATE_LIMITS, self.speed) for name, upstream in load_upstreams().items()}

    def application(self) -> web.Application:
        """Returns the web application."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/__log", self._show_log),
                web.post("/__reset", self._reset),
                web.post("/__faults", self._change_faults),
                web.get("/{path:.*}", self._serve),
                web.post("/{path:.*}", self._serve),
            ]
        )
        return application

    async def _show_log(self, request: web.Request) -> web.Response:
        counts = {"requests": self.requests, "refused": self.refused, "peak": self.peak}
        return web.json_response({**counts, "log": list(self.log)})

    async def _reset(self, request: web.Request) -> web.Response:
        self.forget()
        return web.json_response({})

    async def _change_faults(self, request: web.Request) -> web.Response:
        try:
            self.faults = Faults(faults.parse_rules(await request.json()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"rules": len(self.faults.rules)})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Answers as the upstream with this path, and logs the request."""
        self.requests += 1
        self.live += 1
        self.peak = max(self.peak, self.live)
        start_time = time.monotonic()
        rule = self.faults.next(request.path_qs)
        log_entry = {"number": self.requests, "path": request.path, "query": redact_path(request.query_string)}
        log_entry |= {"fault": rule.fault if rule else None, "status": None}
        try:
            await asyncio.sleep(self.latency)
            answer = self._answer(request, await request.read(), rule)
            log_entry["status"] = answer.status
            return await _send_answer(request, answer, rule)
        finally:
            self.live -= 1
            self.log.append({**log_entry, "seconds": round(time.monotonic() - start_time, 4)})

    def _answer(self, request: web.Request, body: bytes, rule: Rule | None) -> WireAnswer:
        name = find_upstream(request.path)
        if name is None:
            message = f"The sandbox imitates {', '.join(load_upstreams())}; none of them has {request.path}"
            return WireAnswer(message.encode(), 404, "text/plain")
        upstream = load_upstreams()[name]
        now = self.fixed_now or datetime.now(UTC)
        if request.method not in (*upstream.METHODS, "HEAD"):
            return upstream.write_refusal(405)
        query = tuple(request.query.items())
        question = Question(request.path, query, request.headers, self.grid, now, request.method, body)
        exceeded = self.quotas[name].take(upstream.count_calls(question))
        if exceeded is not None:
            self.refused += 1
            return upstream.write_refusal(429, exceeded, self.speed)
        if rule is not None and isinstance(rule.fault, int):
            answer = upstream.write_refusal(
                rule.fault, upstream.RATE_LIMITS[0][1] if upstream.RATE_LIMITS else 1.0, self.speed
            )
            return replace(answer, headers={**answer.headers, **_read_location(request, rule.fault)})
        return upstream.answer_request(question)


def redact_path(query: str) -> str:
    """Returns `query` without keys and passwords."""
    query = re.sub(r"(?i)((?:^|&)[^=&]*(?:key|token|secret|password)=)[^&]*", r"\1REDACTED", query)
    for secret in list_secrets().values():
        query = query.replace(secret, "REDACTED")
    return query


def _read_location(request: web.Request, status: int) -> dict[str, str]:
    """Returns a redirect to the requested URL itself."""
    return {"Location": request.path_qs} if status < 400 else {}


async def _send_answer(request: web.Request, answer: WireAnswer, rule: Rule | None) -> web.StreamResponse:
    """Sends `answer`, changed by the fault of `rule`."""
    fault, seconds = (rule.fault, rule.seconds) if rule else (None, None)
    match fault:
        case "html":
            answer = WireAnswer(b"<html><body><h1>Scheduled maintenance</h1></body></html>", content_type="text/html")
        case "badjson":
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        case "wrong_total":
            answer = replace(answer, body=faults.refuse_one_too_many(answer.body))
        case "hang":
            await asyncio.sleep(HANG_SECONDS if seconds is None else seconds)
        case "reset":
            return _reset_connection(request)
        case "cut" | "slow":
            return await _drip_body(request, answer, fault, SLOW_SECONDS if seconds is None else seconds)
    return web.Response(
        body=answer.body, status=answer.status, content_type=answer.content_type, headers=answer.headers
    )


def _reset_connection(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _drip_body(request: web.Request, answer: WireAnswer, fault: str, seconds: float) -> web.StreamResponse:
    """Sends half of the body and closes the connection, or sends all of it in twenty parts over `seconds`."""
    headers = {**answer.headers, "Content-Length": str(len(answer.body)), "Content-Type": answer.content_type}
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    if fault == "cut":
        await response.write(answer.body[: len(answer.body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response
    part_size = max(1, -(-len(answer.body) // 20))
    for start in range(0, len(answer.body), part_size):
        await asyncio.sleep(seconds / 20)
        await response.write(answer.body[start : start + part_size])
    return response
