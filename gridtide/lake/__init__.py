"""The lake: the one door to storage, for local folders, S3 and other object stores alike.

    <output_folder>/<prefix>_<stamp>[_<from>_<to>].parquet      observations; Metadata in the footer
    <output_folder>/<prefix>_<stamp>[_<from>_<to>].csv          the same columns
    <output_folder>/<prefix>_<stamp>[_<from>_<to>].csv.meta.json    its Metadata, stored before it
    <any of these>.superseded_<moment>                          superseded by other files from then on, by a replay
    raw/…                                                       response bodies, see `gridtide.collect.raw_bodies`
    processed/…                                                 compacted months, see `gridtide.curated`
    rejected/<output_folder>/<prefix>_<stamp>….parquet          rows that rules of `expect` reject, with rule and reason
    failed/…                                                    see `gridtide.coverage.failed_periods`

Files of observations are immutable: written whole under a free name, never replaced; a reader sees a whole file or
none. If the name is taken, the content hash decides: the same content counts as success, other content gets the next
free second. A sidecar without its file is a name that a writer claimed before it was interrupted; it stays unused.

Arrow is imported at its first use, not with this package, so that the first request to an upstream is sent before Arrow
is loaded. `Lake` knows the content of files; its store, a `ByteStore`, knows only paths and bytes.
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
