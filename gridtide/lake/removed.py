"""The record of files that were removed after they were compacted.

    processed/<output_folder>/<file_prefix>/removed_<moment>.json
        {"<path>": {"size": …, "months": […], "metadata": {…}}}

A record is stored before its files are removed, and is never replaced. It is not a cache: without it, neither coverage
nor the rows of a month can be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gridtide.lake.files.metadata import Metadata
from gridtide.lake.names import File, RemovedFile, parse_name

_PREFIX = "removed_"


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    size: int
    months: tuple[str, ...]
    metadata: dict[str, Any]


def removed_name(moment: datetime) -> str:
    """Returns the name of the list of files that are removed at `moment`."""
    return f"{_PREFIX}{moment.astimezone(UTC):%Y%m%dT%H%M%S%f}.json"


def is_removed_name(name: str) -> bool:
    """Whether `name` is the name of a list of removed files."""
    return name.startswith(_PREFIX) and name.endswith(".json")


def encode_removed(files: Mapping[str, tuple[int, RemovedFile]]) -> bytes:
    """Encodes size and description of removed files, by path, as JSON."""
    entries = {
        path: _Entry(file_size, removed.months, removed.metadata.as_texts())
        for path, (file_size, removed) in files.items()
    }
    return msgspec.json.format(msgspec.json.encode(entries, order="sorted"), indent=1) + b"\n"


def decode_removed(body: bytes) -> list[File]:
    """Decodes the removed files that `encode_removed` wrote; raises `ValueError` if `body` is damaged."""
    files = []
    for path, entry in msgspec.json.decode(body, type=dict[str, _Entry]).items():
        parsed_name = parse_name(path.rpartition("/")[2])
        if parsed_name is None:
            raise ValueError(f"{path} is not the name of a lake file")
        removed = RemovedFile(Metadata.from_texts(entry.metadata), entry.months)
        files.append(
            File(path, parsed_name.stamp, parsed_name.period, parsed_name.extension, entry.size, removed=removed)
        )
    return files
