"""The lineage of a training set, a file, a compacted month or a response body: what it was made from, and what was made
from it.

    raw bodies ─► files ─► compacted months
                    └────► training sets
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from gridtide.catalog.lineage.kept_bodies import Body, list_bodies_by_file, read_bodies
from gridtide.catalog.lineage.training_sets import SetRecord, find_users, load_set, read_sets
from gridtide.catalog.records import format_bounds, format_moment
from gridtide.curated.dataset import Dataset
from gridtide.curated.months import Month
from gridtide.errors import DamagedError, StorageError
from gridtide.lake import File, Lake, Metadata, parse_folder_name
from gridtide.lake.names import PROCESSED, parse_name
from gridtide.lake.soundness import read_metadata
from gridtide.periods import Period

State = Literal["present", "removed", "superseded", "changed", "damaged", "missing"]
"""`removed`: its rows are in compacted months. `changed`: its content is not the one that a training set was made from.
"""


@dataclass(frozen=True, slots=True)
class FileLineage:
    """A file of observations: the `bodies` that it was made from, and the `months` and training `sets` that were made
    from it.

    `content_hash` is that of its rows, as of now; if the file is missing, as its training set names it. `version` is
    that of the code that wrote it, `fingerprint` that of the entry's configuration then.
    """

    path: str
    entry: str
    state: State
    content_hash: str
    period: Period | None = None
    stored_at: datetime | None = None
    rows: int | None = None
    version: str = ""
    fingerprint: str = ""
    bodies: Sequence[Body] = ()
    months: Sequence[str] = ()
    sets: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns the lineage as JSON."""
        return {
            "path": self.path,
            "entry": self.entry,
            "state": self.state,
            "content_hash": self.content_hash,
            "period": format_bounds(self.period),
            "stored_at": format_moment(self.stored_at),
            "rows": self.rows,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "bodies": [kept_body.as_dict() for kept_body in self.bodies],
            "months": list(self.months),
            "sets": list(self.sets),
        }


@dataclass(frozen=True, slots=True)
class Lineage:
    """The lineage of `subject`, which is of a `kind`: the `files` that it was made from, is, or was made into.
    `training_set` describes a set."""

    subject: str
    kind: Literal["set", "file", "month", "body"]
    files: Sequence[FileLineage]
    training_set: SetRecord | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns the lineage as JSON."""
        described = {"set": self.training_set.as_dict()} if self.training_set else {}
        return {
            "subject": self.subject,
            "kind": self.kind,
            **described,
            "files": [traced_file.as_dict() for traced_file in self.files],
        }


async def trace_lineage(lake: Lake, subject: str) -> Lineage:
    """Traces `subject`: the name of a training set or the path of its manifest, or the path in the lake of a file, of a
    compacted month, or of a body under `raw/`.

    Every body is read for its hash. Raises `TrainingError` if there is no such set, `StorageError` if there is no such
    file in the lake or the lake cannot be read.
    """
    sets = await read_sets(lake)
    if subject.startswith("raw/"):
        return Lineage(subject, "body", await _trace_body(lake, subject, sets))
    if subject.startswith(f"{PROCESSED}/"):
        month = Month.of_footer(await _read_footer(lake, subject))
        return Lineage(subject, "month", await trace_files(lake, month.inputs, sets))
    if parse_name(subject.rpartition("/")[2]):
        files = await trace_files(lake, {subject: ""}, sets)
        if files[0].state == "missing" and not files[0].sets:
            raise StorageError(subject, f"is no file of {lake.uri}", "Name a file as gridtide status prints it")
        return Lineage(subject, "file", files)
    record = await load_set(lake, subject)
    hashes = {pinned.path: pinned.content_hash for pinned in record.inputs}
    return Lineage(subject, "set", await trace_files(lake, hashes, [*sets, record]), record)


async def _read_footer(lake: Lake, path: str) -> Any:
    if not await lake.store.exists(path):
        raise StorageError(path, f"is no file of {lake.uri}", "Name a month as gridtide lineage FILE prints it")
    return await lake.read_footer(path)


async def _trace_body(lake: Lake, path: str, sets: Sequence[SetRecord]) -> list[FileLineage]:
    """Traces the files that were made from the body at `path`."""
    *folders, collection, _ = path.removeprefix("raw/").split("/")
    name = parse_folder_name(collection)
    if name is None or not await lake.store.exists(path):
        raise StorageError(path, f"is no body in {lake.uri}", "Name a body as gridtide lineage FILE prints it")
    if name.period is not None:
        folders = folders[:-1]
    folder = "/".join(folders)
    files = await lake.list_files(folder, name.prefix, superseded=True)
    bodies = await list_bodies_by_file(lake, folder, name.prefix, files)
    paths = [origin_path for origin_path, origins in bodies.items() if any(body.path == path for body in origins)]
    return await trace_files(lake, dict.fromkeys(sorted(paths), ""), sets)


async def trace_files(lake: Lake, hashes: Mapping[str, str], sets: Iterable[SetRecord]) -> list[FileLineage]:
    """Traces the files at the paths of `hashes`, in their order; a file with another content hash than given there has
    changed, unless that is empty."""
    users = find_users(sets)
    by_place: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in hashes:
        folder, _, name = path.rpartition("/")
        parsed = parse_name(name)
        by_place[folder, parsed.prefix if parsed else ""].append(path)
    traced: dict[str, FileLineage] = {}
    for (folder, prefix), paths in by_place.items():
        traced |= await _trace_place(lake, folder, prefix, {path: hashes[path] for path in paths})
    bodies = await read_bodies(lake, (kept_body for lineage in traced.values() for kept_body in lineage.bodies))
    return [
        replace(
            lineage,
            bodies=await _select_used(lake, lineage, [bodies[kept_body.path] for kept_body in lineage.bodies]),
            sets=sorted(set(users.get(lineage.path, ()))),
        )
        for lineage in map(traced.__getitem__, hashes)
    ]


async def _select_used(lake: Lake, lineage: FileLineage, bodies: Sequence[Body]) -> list[Body]:
    """Returns those of `bodies` from which the file has rows; of its own collection, which is the newest, all."""
    folders = {kept_body.folder for kept_body in bodies}
    if len(folders) < 2 or lineage.state not in ("present", "superseded", "changed"):
        return list(bodies)
    moments = set((await lake.read_table(lineage.path))["retrieved_at"].unique().to_pylist())
    own_folder = max(folders, key=lambda folder: folder.rpartition("/")[2])
    return [body for body in bodies if body.folder == own_folder or body.retrieved_at in moments]


async def _trace_place(lake: Lake, folder: str, prefix: str, hashes: Mapping[str, str]) -> dict[str, FileLineage]:
    """Traces the files at the paths of `hashes`, which are in `folder` and have `prefix`, by path."""
    dataset = await Dataset.open(lake, folder, prefix)
    listed = {listed_file.path: listed_file for listed_file in await lake.list_files(folder, prefix, superseded=True)}
    listed |= dataset.files
    chosen = [listed[path] for path in hashes if path in listed]
    contents = dict(zip((listed_file.path for listed_file in chosen), await read_metadata(lake, chosen), strict=True))
    bodies = await list_bodies_by_file(lake, folder, prefix, listed.values())
    traced = {}
    for path, content_hash in hashes.items():
        compacted = dataset.record.files.get(path)
        described = _describe_file(path, content_hash, listed.get(path), contents.get(path))
        traced[path] = replace(
            described, bodies=bodies.get(path, ()), months=sorted(compacted.months) if compacted else ()
        )
    return traced


def _describe_file(
    path: str, content_hash: str, file: File | None, content: Metadata | StorageError | None
) -> FileLineage:
    """Returns what is known of the file at `path` itself, without what it was made from."""
    if file is None or content is None:
        return FileLineage(path, "", "missing", content_hash)
    if isinstance(content, StorageError):
        return FileLineage(path, "", "damaged" if isinstance(content, DamagedError) else "missing", content_hash)
    state: State = "present"
    if content_hash not in ("", content.content_hash):
        state = "changed"
    elif file.removed:
        state = "removed"
    elif file.superseded_at:
        state = "superseded"
    return FileLineage(
        path,
        content.entry,
        state,
        content.content_hash,
        content.period,
        content.stored_at,
        content.rows,
        content.version,
        content.fingerprint,
    )
