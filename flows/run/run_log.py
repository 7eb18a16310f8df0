"""What the domain warns of, such as a foreign file in the lake, in the log of the run, as the UI shows it."""

from __future__ import annotations

import logging

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler


def follow() -> None:
    """From now on, what `gridtide`'s loggers say within a run goes to its log too; twice is once."""
    logger = logging.getLogger("gridtide")
    if any(isinstance(handler, _Handler) for handler in logger.handlers):
        return
    logger.addHandler(_Handler(logging.INFO))


class _Handler(APILogHandler):
    """Prefect's own, which outside of a run would warn of each record that it has no run for."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether there is a run that `record` is of."""
        return FlowRunContext.get() is not None
