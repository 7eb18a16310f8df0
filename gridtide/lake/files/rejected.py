"""Files of rows that rules reject: the columns of observations, then `rule` and `reason`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from gridtide.lake.files.metadata import Metadata, Provenance
from gridtide.observations.identity import content_hash
from gridtide.observations.table import LABEL, concat

RULE, REASON = "rule", "reason"


def encode_rejected(groups: Sequence[tuple[str, str, pa.Table]], provenance: Provenance) -> tuple[bytes, Metadata]:
    """Returns the Parquet file of rejected rows, and its metadata; `groups` are a rule, a reason and the rows that they
    are about."""
    rows = concat([table for _, _, table in groups])
    counts = [table.num_rows for _, _, table in groups]
    digest = content_hash(
        rows, hashlib.sha256(repr([(rule, count) for (rule, _, _), count in zip(groups, counts, strict=True)]).encode())
    )
    for name, texts in ((RULE, [rule for rule, _, _ in groups]), (REASON, [reason for _, reason, _ in groups])):
        labels = [pa.repeat(text, count) for text, count in zip(texts, counts, strict=True)]
        rows = rows.append_column(pa.field(name, LABEL, nullable=False), pa.chunked_array(labels).cast(LABEL))
    metadata = Metadata.now(provenance, rows.num_rows, digest.hexdigest())
    sink = io.BytesIO()
    described = rows.replace_schema_metadata(metadata.as_footer())
    pq.write_table(described, sink, compression="lz4")
    return sink.getvalue(), metadata
