"""Makes the catalogue of a lake, and writes it to `catalog/` there, with `datapackage.json` at the top of the lake.

catalog/catalog.json            every entry, series, training set and schedule, for programs
catalog/index.html              the same for people, with sparks.js, series/<n>.js and files/<n>.js
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gridtide.catalog.datapackage import PACKAGE_PATH, describe_package
from gridtide.catalog.entry_files import EntryFiles
from gridtide.catalog.lineage.kept_bodies import Body, list_bodies_by_file
from gridtide.catalog.lineage.training_sets import read_sets
from gridtide.catalog.making import describe_lake, read_entries
from gridtide.catalog.page.page_data import LakePicture
from gridtide.catalog.page.rendering import render_pages
from gridtide.catalog.quality_blocks import read_quality
from gridtide.entries.entry import Config
from gridtide.lake import Lake

CATALOG_FOLDER = "catalog"

DETAILS = ("files", "series")
"""The folders of the details, whose files are removed if the page has no use for them any more."""


async def picture_lake(
    lake: Lake,
    config: Config,
    now: datetime,
    *,
    schedules: Sequence[Mapping[str, Any]] | None = None,
) -> LakePicture:
    """Reads all that the catalogue of `lake` shows at `now`: the entries of `config`, their series and quality, the
    training sets, and the bodies of each file; `schedules` describe the deployments. Raises `StorageError`."""
    parts, sets, quality = await asyncio.gather(
        read_entries(lake, config.apis, now), read_sets(lake), read_quality(lake)
    )
    bodies = await asyncio.gather(*(_list_bodies(lake, entry_parts.files) for entry_parts in parts))
    by_entry = {entry_parts.files.entry.name: of_files for entry_parts, of_files in zip(parts, bodies, strict=True)}
    return LakePicture(describe_lake(config, parts, now, quality), parts, sets, by_entry, schedules)


async def _list_bodies(lake: Lake, entry_files: EntryFiles) -> dict[str, list[Body]]:
    entry = entry_files.entry
    files = [listed_file.file for listed_file in (*entry_files.files, *entry_files.superseded_files)]
    return await list_bodies_by_file(lake, entry.output_folder, entry.file_prefix, files)


async def write_catalog(lake: Lake, picture: LakePicture) -> dict[str, int]:
    """Writes the catalogue of `picture` to the lake, in place of the one before; returns the bytes of each file by its
    path. The page is written last, after all that it loads. Raises `StorageError` if the lake cannot be written."""
    pages = {"catalog.json": encode_json(document_of(picture)), **render_pages(picture)}
    bodies = {PACKAGE_PATH: encode_json(describe_package(picture))}
    bodies |= {f"{CATALOG_FOLDER}/{name}": body for name, body in pages.items()}
    *first, (page_path, page) = bodies.items()
    await asyncio.gather(*(lake.store.put(path, body, replace=True) for path, body in first))  # a store waits at each
    await lake.store.put(page_path, page, replace=True)
    details = await asyncio.gather(*(lake.store.list_objects(f"{CATALOG_FOLDER}/{folder}") for folder in DETAILS))
    obsolete = [stored.path for listed in details for stored in listed if stored.path not in bodies]
    if obsolete:
        await lake.store.remove(obsolete)
    return {path: len(body) for path, body in bodies.items()}


def document_of(picture: LakePicture) -> dict[str, Any]:
    """Returns the catalogue with the training sets and schedules, as in `catalog.json`."""
    return {
        **picture.catalogue.as_dict(),
        "sets": [record.as_dict() for record in picture.sets],
        "schedules": None if picture.schedules is None else list(picture.schedules),
    }


def encode_json(document: Any) -> bytes:
    """Encodes `document` as JSON for people and programs, with the keys in their order; the same for equal data."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"  # Python's own takes ten times as long
