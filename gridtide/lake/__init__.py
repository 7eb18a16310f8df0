"""The lake: the one door to storage, for local folders, S3 and other object stores alike.

    <output_folder>/<prefix>_<stamp>[_<from>_<to>].parquet      observations; Metadata in the footer
    <output_folder>/<prefix>_<stamp>[_<from>_<to>].csv          the same columns
    <output_folder>/<prefix>_<stamp>[_<from>_<to>].csv.meta.json    its Metadata, put before it
    <any of these>.superseded_<moment>                          superseded by other files from then on, by a replay
    raw/…                                                       response bodies, see `gridtide.collect.raw_bodies`
    processed/…                                                 compacted months, see `gridtide.curated`
    failed/…                                                    see `gridtide.coverage.failed_periods`

Files of observations are immutable: written whole under a name that was free, never replaced; a reader sees a file
whole or not at all. If the name is in use, the content hash decides: the same content
is success, other content goes to the next free second. A sidecar without its file is a name that a writer claimed
before it ended; it stays unused.

Arrow is imported when first needed, not with this package: the first request to an upstream is on its way before it
is loaded. What a file holds is the matter of `Lake`; its store, a `ByteStore`, knows paths and bytes only.
"""

from gridtide.lake.files.draft import Draft
from gridtide.lake.files.metadata import Metadata, Provenance
from gridtide.lake.lake import Lake, Stored
from gridtide.lake.listings import Object
from gridtide.lake.names import EXTENSIONS, File, Name, file_name, folder_name, parse_folder_name
from gridtide.lake.store import ByteStore

__all__ = [
    "EXTENSIONS",
    "ByteStore",
    "Draft",
    "File",
    "Lake",
    "Metadata",
    "Name",
    "Object",
    "Provenance",
    "Stored",
    "file_name",
    "folder_name",
    "parse_folder_name",
]
