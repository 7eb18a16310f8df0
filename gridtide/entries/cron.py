"""Crons of five fields that Prefect and CronSim read the same way."""

from __future__ import annotations

import re

from gridtide.periods import EPOCH

_EXTENSIONS = re.compile(r"(?i)[#?]|(?<![a-z])(L|W|LW)(?![a-z])")
"""What CronSim reads beyond the five fields that Prefect reads the same way: `L`, `LW`, `15W`, `MON#2`, `?`."""


def check_cron(text: str) -> None:
    """Raises `ValueError` if `text` is not a cron, or no date ever matches it."""
    fields = text.split()
    if _is_cron(fields):
        return
    # CronSim gives the same error for the 30th of February and for a 32nd day; checking each field alone tells which.
    if len(fields) == 5 and _is_cron([*fields[:3], "*", fields[4]]) and _is_cron(["*", "*", "*", fields[3], "*"]):
        raise ValueError(f'"{text}" never comes; name a day that one of its months has')
    raise ValueError(f'"{text}" is not a cron; use five fields such as "12 * * * *"')


def _is_cron(fields: list[str]) -> bool:
    from cronsim import CronSim, CronSimError  # not needed for a configuration without schedules

    cron = " ".join(fields)
    if len(fields) != 5 or _EXTENSIONS.search(cron):
        return False
    try:
        CronSim(cron, EPOCH)
    except CronSimError:
        return False
    return True
