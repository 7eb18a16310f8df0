"""Writes the log records of `gridtide`, such as warnings of foreign files, to the log of the flow run in the UI."""

from __future__ import annotations

import logging

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler


def forward_logs() -> None:
    """Forward the records of `gridtide`'s loggers within a run to the log of that run; a second call does nothing."""
    logger = logging.getLogger("gridtide")
    if any(isinstance(handler, _Handler) for handler in logger.handlers):
        return
    logger.addHandler(_Handler(logging.INFO))


class _Handler(APILogHandler):
    """Prefect's handler, but without a warning for each record outside of a run."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` was logged within a run."""
        return FlowRunContext.get() is not None
