"""The table of quality in the lake: what every check said of every series and day, with its history.

catalog/quality/20260701_042500.parquet        only the rows that are new or differ from the files before
catalog/quality/20260702_042500.parquet

The newest row of a series, day and check counts. The bytes of a file depend on its rows only: its time is in its name.
A file that cannot be read is left out with a warning; its rows are judged and written again.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gridtide import __version__
from gridtide.errors import StorageError
from gridtide.quality.daily import DayVerdict
from gridtide.quality.flags import Flag
from gridtide.threads import run_computing

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from gridtide.lake import Lake

    VerdictKey = tuple[str, date, str]
    """A series, a day and a check."""

logger = logging.getLogger("gridtide.quality")

QUALITY_FOLDER = "catalog/quality"


async def read_verdicts(lake: Lake) -> dict[VerdictKey, DayVerdict]:
    """Returns the newest verdict of each series, day and check in `lake`; warns of each file that cannot be read.

    Raises `StorageError` if the lake cannot be listed.
    """
    verdicts: dict[VerdictKey, DayVerdict] = {}
    for item in sorted(await lake.store.list_objects(QUALITY_FOLDER), key=lambda item: item.path):
        if item.path.endswith(".parquet"):
            try:
                rows = await run_computing(decode_verdicts, await lake.store.read(item.path))
            except (StorageError, OSError, ValueError, KeyError) as error:
                logger.warning("%s cannot be read and is left out: %s; it may be deleted", item.path, error)
            else:
                verdicts.update({verdict[:3]: verdict for verdict in rows})
    return verdicts


async def write_verdicts(
    lake: Lake, verdicts: Sequence[DayVerdict], stored: Mapping[VerdictKey, DayVerdict], stamp: datetime
) -> list[DayVerdict]:
    """Writes those of `verdicts` that are new or differ from the `stored` ones, in a file of `stamp`, and returns
    them; no file if there are none. What was stored of the same days and is not said any more is withdrawn. Raises
    `StorageError`."""
    current = [*verdicts, *_withdraw(verdicts, stored)]
    changed = [verdict for verdict in current if not _is_same(verdict, stored.get(verdict[:3]))]
    if changed:
        body = await run_computing(encode_verdicts, changed)
        await lake.store.put(f"{QUALITY_FOLDER}/{stamp:%Y%m%d_%H%M%S}.parquet", body, replace=True)
    return changed


def _withdraw(verdicts: Sequence[DayVerdict], stored: Mapping[VerdictKey, DayVerdict]) -> Iterator[DayVerdict]:
    """Yields what replaces `stored` verdicts of days that were judged again: no hour is flagged any more, or nothing
    was measured. Timeliness is that of the day on which it was judged, and stays."""
    judged_days = {verdict[:2] for verdict in verdicts}
    keys = {verdict[:3] for verdict in verdicts}
    for key, verdict in stored.items():
        if key[:2] in judged_days and key not in keys and verdict.check != "timeliness":
            counts_hours = verdict.check.startswith("accuracy.")
            flag, value = (Flag.GOOD, 0.0) if counts_hours else (Flag.NOT_EVALUATED, float("nan"))
            yield verdict._replace(flag=flag, value=value)


def _is_same(verdict: DayVerdict, stored: DayVerdict | None) -> bool:
    return stored is not None and all(
        new == old or (new != new and old != old) for new, old in zip(verdict, stored, strict=True)
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


def decode_verdicts(body: bytes) -> list[DayVerdict]:
    """Decodes a file of verdicts; raises `ValueError` or `KeyError` if it is none."""
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(body))
    columns = (table[name].to_pylist() for name in ("series", "day", "check", "flag", "value", "threshold"))
    return [
        DayVerdict(series, day, check, Flag(flag), float("nan") if value is None else value, threshold)
        for series, day, check, flag, value, threshold in zip(*columns, strict=True)
    ]
