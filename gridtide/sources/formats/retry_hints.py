"""How long an upstream asks us to wait, in its own words; pure."""

from __future__ import annotations

import re
from datetime import datetime


def asked_to_wait(said: str, now: datetime) -> float | None:
    """The seconds from `now` (UTC) that `said` asks for, None where it names no time: CAISO's "after 5 seconds",
    Open-Meteo's minute, next hour or tomorrow.

    >>> from datetime import UTC
    >>> asked_to_wait("Please try again in the next hour.", datetime(2024, 1, 1, 5, 59, 30, tzinfo=UTC))
    30.0
    """
    hour_left = 3600.0 - now.minute * 60 - now.second
    if match := re.search(r"after (\d+(?:\.\d+)?) second", said):
        return float(match[1])
    if re.search(r"(?i)one minute|minutely", said):
        return 60.0
    if re.search(r"(?i)next hour|hourly", said):
        return hour_left
    if re.search(r"(?i)tomorrow|daily", said):
        return hour_left + 3600.0 * (23 - now.hour)
    return None
