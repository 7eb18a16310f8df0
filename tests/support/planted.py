"""Searches for planted secrets in all files, in any compression and encoding."""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.parquet as pq


def spellings(secret: str) -> set[bytes]:
    """The encodings of `secret` in texts: plain, JSON (also twice), URLs, HTML, hexadecimal and Base64."""
    once = json.dumps(secret)[1:-1]
    said = {secret, repr(secret)[1:-1], once, json.dumps(once)[1:-1], secret.replace("/", "\\/"), html.escape(secret)}
    url = quote(secret, safe="")
    said |= {url, re.sub("%..", lambda escape: escape[0].lower(), url), quote(url), quote_plus(secret)}
    return {text.encode() for text in said} | {secret.encode().hex().encode()} | set(_in_base64(secret.encode()))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """The three forms of `secret` in Base64, by the number of bytes before it."""
    for before in range(3):
        packed = base64.b64encode(bytes(before) + secret)
        whole = packed[-(-before * 4 // 3) : (before + len(secret)) // 3 * 4]  # what depends on nothing else
        yield from (whole, whole.translate(bytes.maketrans(b"+/", b"-_")))


def holding(files: Iterable[Path], secrets: Iterable[str]) -> set[tuple[Path, str]]:
    """The files that contain a secret in any encoding, with that secret."""
    sought = {secret: spellings(secret) for secret in secrets}
    read = {path: path.read_bytes() for path in files}  # before a database is opened, which tidies up beside it
    return {
        (path, secret)
        for path, raw in read.items()
        for content in (raw, *_unpacked(path, raw))
        for secret, spelled in sought.items()
        if any(one in content for one in spelled)
    }


def _unpacked(path: Path, raw: bytes) -> Iterator[bytes]:
    """The contents of compressed files, Parquet files and databases, in which text cannot be found directly."""
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.BufferReader(raw), "zstd") as stream:
            yield stream.read()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield str(table.schema.metadata).encode() + str(table.to_pylist()).encode()
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as database:
            for (name,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                for row in database.execute(f'select * from "{name}"'):  # its own name
                    yield b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
