"""The index of a folder of the lake: the metadata of its Parquet files, so that their footers are read once.

    .index/<output_folder>.zst      a digest, then the rows, compressed

An index is only a cache. A row counts only for a file that the store lists with the size and the tag of that row, so an
index that was removed, that is stale, or that is not as it was written costs time and nothing else. Rows of files that
were removed stay in it; remove `.index/` at any time to start anew.

Code that needs the metadata of many files calls `gridtide.lake.soundness.read_metadata`, which looks into the index,
reads the footers that it lacks, and adds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Protocol

import msgspec

from gridtide.lake.files.metadata import Metadata
from gridtide.periods import Period

INDEX_FOLDER = ".index"
"""The folder of the indexes; hidden, so that readers of the lake ignore it."""

_FORMAT = "1 " + " ".join(sorted(metadata_field.name for metadata_field in fields(Metadata)))
"""An index of code with other fields is not used: its rows may lack what the footers say."""

_DIGEST_BYTES = hashlib.sha256().digest_size


class ListedFile(Protocol):
    """What a listing knows of a file, as `gridtide.lake.File` has it."""

    @property
    def path(self) -> str:
        """The path in the lake."""
        ...

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    @property
    def tag(self) -> str | None:
        """What changes with the content; None if the store has no such tags."""
        ...


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The metadata of the file `name`, where it differs from that of its `kind`; `tag` and `size` as the store lists
    them."""

    name: str
    tag: str
    size: int
    kind: int
    start: datetime | None
    end: datetime | None
    rows: int
    content_hash: str
    stored_at: datetime
    reach: datetime | None


class _Content(msgspec.Struct, array_like=True, frozen=True):
    """The whole index; `kinds` are the texts of metadata that many files share."""

    format: str
    kinds: list[dict[str, str]]
    rows: list[_Row]


@dataclass(frozen=True)
class FooterIndex:
    """The rows of an index by the name of their file, and the metadata that they share."""

    kinds: tuple[Metadata, ...] = ()
    rows: Mapping[str, _Row] = field(default_factory=dict)

    def find(self, file: ListedFile) -> Metadata | None:
        """Returns the metadata of `file`; None if the index has no row for it as the store lists it now."""
        row = self.rows.get(file.path.rpartition("/")[2])
        if row is None or row.tag != file.tag or row.size != file.size:
            return None
        shared = self.kinds[row.kind]
        return Metadata(
            shared.entry,
            None if row.start is None or row.end is None else Period(row.start, row.end),
            shared.fingerprint,
            row.rows,
            row.content_hash,
            row.stored_at,
            shared.version,
            shared.size,
            shared.skipped,
            shared.scope,
            shared.series,
            shared.absent,
            row.reach,
        )

    def extend(self, read: Iterable[tuple[ListedFile, Metadata]]) -> FooterIndex:
        """Returns the index with a row for each file of `read`, for which `is_indexed` holds."""
        numbers = {_write_shared(shared): number for number, shared in enumerate(self.kinds)}
        kinds, rows = list(self.kinds), dict(self.rows)
        for file, metadata in read:
            key = _write_shared(metadata)
            if key not in numbers:
                numbers[key] = len(kinds)
                kinds.append(metadata)
            name, period = file.path.rpartition("/")[2], metadata.period
            rows[name] = _Row(
                name,
                str(file.tag),
                file.size,
                numbers[key],
                period.start if period else None,
                period.end if period else None,
                metadata.rows,
                metadata.content_hash,
                metadata.stored_at,
                metadata.reach,
            )
        return FooterIndex(tuple(kinds), rows)


def index_path(folder: str) -> str:
    """Returns the path in the lake of the index of `folder`."""
    return f"{INDEX_FOLDER}/{folder}.zst"


def is_indexed(file: ListedFile) -> bool:
    """Whether an index can have a row for `file`: the metadata of other formats is not in the file, but beside it, and
    a store without tags does not tell that a file was replaced."""
    return file.path.endswith(".parquet") and file.tag is not None


def encode_index(index: FooterIndex) -> bytes:
    """Returns `index` as the bytes of its file."""
    from gridtide.lake.files import encoding

    kinds = [replace(shared, period=None, rows=0, content_hash="", reach=None).as_texts() for shared in index.kinds]
    content = msgspec.msgpack.encode(_Content(_FORMAT, kinds, list(index.rows.values())))
    return hashlib.sha256(content).digest() + bytes(encoding.compress_body(content))


def decode_index(body: bytes) -> FooterIndex:
    """Parses the output of `encode_index`; an index that is damaged, or that other code wrote, is empty."""
    from gridtide.lake.files import encoding

    try:
        content = encoding.decompress_body(memoryview(body)[_DIGEST_BYTES:])
        if hashlib.sha256(content).digest() != body[:_DIGEST_BYTES]:
            return FooterIndex()
        parsed = msgspec.msgpack.decode(content, type=_Content)
        kinds = tuple(Metadata.from_texts(texts) for texts in parsed.kinds)
    except (ValueError, msgspec.MsgspecError, OSError):
        return FooterIndex()
    complete = parsed.format == _FORMAT and all(0 <= row.kind < len(kinds) for row in parsed.rows)
    return FooterIndex(kinds, {row.name: row for row in parsed.rows}) if complete else FooterIndex()


def _write_shared(metadata: Metadata) -> tuple[object, ...]:
    """Returns what many files share of their `metadata`, as a key."""
    texts = (metadata.entry, metadata.fingerprint, metadata.version, metadata.scope, metadata.series)
    return (*texts, metadata.size, repr(metadata.skipped), repr(metadata.absent))
