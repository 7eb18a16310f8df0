"""The table of quality in the lake: what every check said of every series and day, with its history.

catalog/quality/20260701_042500.parquet        only the rows that are new or differ from the files before
catalog/quality/20260702_042500.parquet

The newest row of a series, day and check counts. The bytes of a file depend on its rows only: its time is in its name.
Files that cannot be read are left out with one warning; their rows are judged and written again.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from gridtide import __version__
from gridtide.errors import StorageError, list_first, one_line
from gridtide.quality.flags import Flag
from gridtide.threads import run_computing
from gridtide.variables import SeriesName

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.lake import Lake
    from gridtide.quality.daily import DayVerdict


logger = logging.getLogger("gridtide.quality")

VerdictKey = tuple[str, date, str]
"""A series, a day and a check."""

QUALITY_FOLDER = "catalog/quality"

VERDICT_TYPES = {
    "series": "string",
    "day": "date32",
    "check": "string",
    "flag": "uint8",
    "value": "float64",
    "threshold": "float64",
}
"""The columns of a verdict and their types, in the order of `DayVerdict`."""


MONTHLY = ("agreement.", "forecast.")
"""The beginnings of the checks of a whole month, whose verdicts have its first day."""


def is_monthly(check: str) -> bool:
    """Whether a verdict of `check` is about the month that begins with its day."""
    return check.startswith(MONTHLY)


def is_shared(check: str) -> bool:
    """Whether a verdict of `check` is about several series, which may be of different entries."""
    return check.startswith("consistency") or is_monthly(check)


async def read_verdicts(lake: Lake, since: date | None = None) -> dict[VerdictKey, DayVerdict]:
    """Returns the newest verdict of each series, day and check in `lake`, only of the days from `since` on if it is
    set; one warning names the files that cannot be read.

    Raises `StorageError` if the lake cannot be listed.
    """
    verdicts: dict[VerdictKey, DayVerdict] = {}
    damages: list[str] = []
    for item in sorted(await lake.store.list_objects(QUALITY_FOLDER), key=lambda item: item.path):
        if not item.path.endswith(".parquet") or _precedes(item.path, since):
            continue
        try:
            rows = await run_computing(decode_verdicts, await lake.store.read(item.path), since)
        except (StorageError, OSError, ValueError, KeyError) as error:
            damages.append(f"{item.path}: {one_line(error)}")
        else:
            verdicts.update({verdict[:3]: verdict for verdict in rows})
    if damages:
        logger.warning("Left out, as they cannot be read; they may be deleted: %s", list_first(damages, 3, "; "))
    return verdicts


def _precedes(path: str, since: date | None) -> bool:
    """Whether the time in the name of a file is before `since`: a day is judged when it is over, so it has no row."""
    stamp = path.rpartition("/")[2].partition("_")[0]
    return since is not None and stamp.isdigit() and stamp < f"{since:%Y%m%d}"


async def write_verdicts(
    lake: Lake,
    verdicts: Sequence[DayVerdict],
    stored_verdicts: Mapping[VerdictKey, DayVerdict],
    stamp: datetime,
    *,
    judges_all: bool = True,
) -> list[DayVerdict]:
    """Writes those of `verdicts` that are new or differ from `stored_verdicts`, in a file of `stamp`, or of the next
    second in which no other run wrote one, and returns them; no file if there are none.

    What was stored of the same days and is not said any more is withdrawn; what series of several entries say together
    only if all entries were judged (`judges_all`). Raises `StorageError`.
    """
    withdrawn_verdicts = [
        verdict for verdict in _withdraw(verdicts, stored_verdicts) if judges_all or not is_shared(verdict.check)
    ]
    current = [*verdicts, *withdrawn_verdicts]
    changed_verdicts = [verdict for verdict in current if not _is_same(verdict, stored_verdicts.get(verdict[:3]))]
    if changed_verdicts:
        body = await run_computing(encode_verdicts, changed_verdicts)
        while not await lake.store.create(_name_file(stamp), body, _name_file(stamp)):
            stamp += timedelta(seconds=1)
    return changed_verdicts


def _name_file(stamp: datetime) -> str:
    return f"{QUALITY_FOLDER}/{stamp:%Y%m%d_%H%M%S}.parquet"


def _withdraw(verdicts: Sequence[DayVerdict], stored_verdicts: Mapping[VerdictKey, DayVerdict]) -> Iterator[DayVerdict]:
    """Yields what replaces `stored_verdicts` of days that were judged again: no hour is flagged any more, or nothing
    was measured. Timeliness is that of the day on which it was judged, and stays."""
    judged_days = {verdict[:2] for verdict in verdicts}
    keys = {verdict[:3] for verdict in verdicts}
    for key, verdict in stored_verdicts.items():
        if key[:2] in judged_days and key not in keys and verdict.check != "timeliness":
            counts_hours = verdict.check.startswith("accuracy.")
            flag, value = (Flag.GOOD, 0.0) if counts_hours else (Flag.NOT_EVALUATED, float("nan"))
            yield verdict._replace(flag=flag, value=value)


def _is_same(verdict: DayVerdict, stored_verdict: DayVerdict | None) -> bool:
    return stored_verdict is not None and all(
        new == old or (new != new and old != old) for new, old in zip(verdict, stored_verdict, strict=True)
    )


def to_table(verdicts: Iterable[DayVerdict]) -> pa.Table:
    """Returns `verdicts` as a table: `series`, `day`, `check`, `flag` (the number of QARTOD), `value` (null if nothing
    was measured), `threshold`, and `code_version`, that of Gridtide."""
    import pyarrow as pa

    names, days, checks, flags, values, thresholds = list(zip(*verdicts, strict=True)) or [()] * 6
    return pa.table(
        {
            "series": pa.array(names, pa.string()).dictionary_encode(),
            "day": pa.array(days, pa.date32()),
            "check": pa.array(checks, pa.string()).dictionary_encode(),
            "flag": pa.array([int(flag) for flag in flags], pa.uint8()),
            "value": pa.array([None if value != value else value for value in values], pa.float64()),
            "threshold": pa.array(thresholds, pa.float64()),
            "code_version": pa.array([__version__] * len(names), pa.string()).dictionary_encode(),
        }
    )


def encode_verdicts(verdicts: Iterable[DayVerdict]) -> bytes:
    """Encodes `verdicts` as Parquet, sorted; the same bytes for the same verdicts in any order."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(to_table(sorted(verdicts, key=lambda verdict: verdict[:3])), sink, compression="zstd")
    return sink.getvalue()


def _check_texts(table: pa.Table) -> None:
    """Raises `ValueError` if a row of `table` is about no series, or about a month without naming a reference."""
    for name in table["series"].unique().to_pylist():
        SeriesName.parse(name)
    for check in table["check"].unique().to_pylist():
        if is_monthly(check) and check.count(".") < 2:
            raise ValueError(f"its check {check} names no series that is compared")


def decode_verdicts(body: bytes, since: date | None = None) -> list[DayVerdict]:
    """Decodes a file of verdicts, only those of the days from `since` on if it is set; raises `ValueError` or
    `KeyError` if it is none."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from gridtide.quality.daily import DayVerdict

    try:
        table = pq.read_table(io.BytesIO(body)).select(list(VERDICT_TYPES)).cast(pa.schema(VERDICT_TYPES))
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"its columns are not those of verdicts: {error}") from None
    incomplete = [name for name in VERDICT_TYPES if name != "value" and table[name].null_count]
    if incomplete:
        raise ValueError(f"its column {incomplete[0]} lacks values")
    _check_texts(table)
    if since is not None:
        table = table.filter(pc.greater_equal(table["day"], pa.scalar(since, pa.date32())))
    return [
        DayVerdict(series, day, check, Flag(flag), float("nan") if value is None else value, threshold)
        for series, day, check, flag, value, threshold in zip(
            *(column.to_pylist() for column in table.itercolumns()), strict=True
        )
    ]
