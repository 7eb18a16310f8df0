"""The training sets of a lake, by their manifests."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridtide.curated import Input
from gridtide.errors import StorageError, TrainingError
from gridtide.lake import Lake
from gridtide.training.manifest import read_manifest

logger = logging.getLogger("gridtide.catalog")

SETS = "features"
"""The folder of training sets in a lake."""


@dataclass(frozen=True, slots=True)
class SetRecord:
    """A training set: its `name`, the path of its manifest, its fingerprint, and the files that it was made from.

    `period` are the first hour and the one after the last; `locations` and `targets` are names; `versions` are those of
    Gridtide and of the packages that made it; `corrections` are the series that were shifted and renamed as they were
    read, as in the manifest.
    """

    name: str
    path: str
    fingerprint: str
    period: Sequence[str]
    locations: Sequence[str]
    targets: Sequence[str]
    versions: Mapping[str, str]
    inputs: Sequence[Input]
    corrections: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of_manifest(cls, path: str, manifest: Mapping[str, Any]) -> SetRecord:
        """Returns the record of the `manifest` at `path`; raises `ValueError` if a part is missing or of another
        type."""
        try:
            return cls(
                str(manifest["spec"]["name"]),
                path,
                str(manifest["fingerprint"]),
                tuple(manifest["period"]),
                tuple(location["name"] for location in manifest["locations"]),
                tuple(sorted({target for location in manifest["locations"] for target in location["targets"]})),
                dict(manifest["versions"]),
                tuple(Input(pinned["entry"], pinned["path"], pinned["content_hash"]) for pinned in manifest["inputs"]),
                {kind: list(records) for kind, records in manifest.get("corrections", {}).items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is not a manifest that can be read: {error!r}") from error

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as JSON, without the files."""
        return {
            "name": self.name,
            "manifest": self.path,
            "fingerprint": self.fingerprint,
            "period": list(self.period),
            "locations": list(self.locations),
            "targets": list(self.targets),
            "versions": dict(self.versions),
            "files": len(self.inputs),
            "corrections": {kind: list(map(dict, records)) for kind, records in self.corrections.items()},
        }


async def read_sets(lake: Lake) -> list[SetRecord]:
    """Reads the manifests of the training sets in `lake`, sorted by name; one that cannot be read is left out with a
    warning. Raises `StorageError` if the lake cannot be listed."""
    folders, _ = await lake.store.list_folder(SETS)
    records = await asyncio.gather(*(_read_set(lake, f"{folder}/manifest.json") for folder in folders))
    return sorted((record for record in records if record), key=lambda record: record.name)


async def _read_set(lake: Lake, path: str) -> SetRecord | None:
    try:
        return SetRecord.of_manifest(path, json.loads(await lake.store.read(path)))
    except (StorageError, ValueError) as error:
        logger.warning("%s: its lineage is not known: %s", path, error)
        return None


async def load_set(lake: Lake, name: str) -> SetRecord:
    """Returns the set called `name` in `lake`, or the one with the manifest at the path `name`, here or in the lake.

    Raises `TrainingError` if there is none.
    """
    path = name if name.endswith(".json") else f"{SETS}/{name}/manifest.json"
    try:
        return SetRecord.of_manifest(path, await read_manifest(path, lake))
    except ValueError as error:
        raise TrainingError(path, str(error), "Prepare the set again") from error


def find_users(sets: Iterable[SetRecord]) -> dict[str, list[str]]:
    """Returns the names of the sets that were made from each file, by its path."""
    names_by_file: dict[str, list[str]] = defaultdict(list)
    for record in sets:
        for pinned in record.inputs:
            names_by_file[pinned.path].append(record.name)
    return dict(names_by_file)
