"""Five-field crons, as Prefect and CronSim both read them."""

from __future__ import annotations

import re

from gridtide.periods import EPOCH


def _cron(text: str) -> None:
    fields = text.split()
    if len(fields) != 5 or not all(_is_cron_field(f, *r) for f, r in zip(fields, CRON_FIELDS, strict=True)):
        raise ValueError(f'"{text}" is no cron; use five fields such as "12 * * * *"')
    if fields[2] != "*":
        from cronsim import CronSim, CronSimError

        try:
            CronSim(text, EPOCH)
        except CronSimError as error:
            raise ValueError(f'"{text}" never comes; name a day that one of its months has') from error


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


CRON_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, MONTHS),
    (0, 7, DAYS),
)
"""The least and the greatest number of each field of a cron, and the names of its numbers."""


def _is_cron_field(text: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    for number, name in enumerate(names, low):
        text = re.sub(rf"\b{name}\b", str(number), text, flags=re.IGNORECASE)
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
        if match is None:
            return False
        bounds = [int(n) for n in match.group(1, 2) if n is not None]
        if any(not low <= n <= high for n in bounds) or bounds != sorted(bounds):
            return False
    return True


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
