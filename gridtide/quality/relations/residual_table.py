"""The hourly residuals of sums in the lake: what each sum lacks, by total and hour.

catalog/residuals.parquet      the hours that the last run of the flow `quality` judged

The days are in the table of quality, with their history; this file is for a closer look and has none.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from gridtide.errors import StorageError, one_line
from gridtide.observations.array_types import Floats, Integers
from gridtide.observations.times import MICROSECONDS_PER_HOUR
from gridtide.periods import microseconds
from gridtide.quality.relations.sum_verdicts import RelationResiduals
from gridtide.threads import run_computing

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.lake import Lake

logger = logging.getLogger("gridtide.quality")

RESIDUALS_PATH = "catalog/residuals.parquet"


async def write_residuals(
    lake: Lake, residuals: Sequence[RelationResiduals], start: datetime, *, replaces_all: bool
) -> None:
    """Writes `residuals`, whose hours count from `start`, to `lake`; those of other sums stay unless `replaces_all`.

    A file that cannot be read is replaced, with a warning. Raises `StorageError` if the lake cannot be written.
    """
    table = await run_computing(to_residual_table, residuals, start)
    if not replaces_all and await lake.store.exists(RESIDUALS_PATH):
        try:
            body = await lake.store.read(RESIDUALS_PATH)
            table = await run_computing(_join_residuals, table, body)
        except (StorageError, OSError, ValueError, KeyError) as error:
            logger.warning("%s: replaced, as it cannot be read: %s", RESIDUALS_PATH, one_line(error))
    await lake.store.put(RESIDUALS_PATH, await run_computing(_encode_residuals, table), replace=True)


def to_residual_table(residuals: Sequence[RelationResiduals], start: datetime) -> pa.Table:
    """Returns `residuals`, whose hours count from `start`, as a table: `series`, the total; `relation`; `hour`, its
    start in UTC; `total`; and `residual`, the sum of the parts less the total."""
    import pyarrow as pa

    counts = [len(residual.hours) for residual in residuals]
    texts = {
        name: pa.DictionaryArray.from_arrays(
            np.repeat(np.arange(len(residuals), dtype=np.int32), counts),
            pa.array([getattr(residual, name) for residual in residuals], pa.string()),
        ).cast(pa.string())
        for name in ("series", "relation")
    }
    moments = microseconds(start) + MICROSECONDS_PER_HOUR * _concatenate([row.hours for row in residuals])
    return pa.table(
        {
            **texts,
            "hour": pa.array(moments.astype(np.int64), pa.timestamp("us", "UTC")),
            "total": pa.array(_concatenate([row.totals for row in residuals])),
            "residual": pa.array(_concatenate([row.residuals for row in residuals])),
        }
    )


def _concatenate(columns: Sequence[Floats | Integers]) -> Floats:
    return np.concatenate([*columns, np.empty(0)])


def _join_residuals(table: pa.Table, body: bytes) -> pa.Table:
    """Returns `table` with the rows in `body`, an earlier file, of sums that `table` does not have; raises `ValueError`
    if that is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    earlier = pq.read_table(io.BytesIO(body)).select(table.column_names).cast(table.schema)
    replaced_names = set(zip(table["series"].to_pylist(), table["relation"].to_pylist(), strict=True))
    names = zip(earlier["series"].to_pylist(), earlier["relation"].to_pylist(), strict=True)
    is_current = pa.array([name not in replaced_names for name in names], pa.bool_())
    return pa.concat_tables([table, earlier.filter(is_current)])


def _encode_residuals(table: pa.Table) -> bytes:
    """Encodes `table` as Parquet, sorted; the same bytes for the same rows."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    order = [(name, "ascending") for name in ("series", "relation", "hour")]
    pq.write_table(table.sort_by(order), sink, compression="zstd")
    return sink.getvalue()
