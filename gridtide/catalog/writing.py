"""Writes the catalogue to `catalog/` in the lake."""

from __future__ import annotations

import json
from typing import Any

from gridtide.catalog.records import Catalogue
from gridtide.lake import Lake

CATALOG_FOLDER = "catalog"


async def write_catalog(lake: Lake, catalogue: Catalogue) -> dict[str, int]:
    """Writes `catalogue` to the lake, in place of the one before; returns the bytes of each file by its path.

    Raises `StorageError` if the lake cannot be written.
    """
    bodies = {f"{CATALOG_FOLDER}/catalog.json": encode_json(catalogue.as_dict())}
    for path, body in bodies.items():
        await lake.store.put(path, body, replace=True)
    return {path: len(body) for path, body in bodies.items()}


def encode_json(document: Any) -> bytes:
    """Encodes `document` as JSON for people and programs, with the keys in their order; the same for equal data."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
