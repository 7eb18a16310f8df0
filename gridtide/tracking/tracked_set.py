"""What a tracker is told of a training set: its spec, manifest, statistics, report and fingerprint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError
from gridtide.lake import Lake
from gridtide.training.stored.opening import SEQUENCES_FILE, open_stored_set
from gridtide.training.windows import splits

SET_DOCUMENTS = ("README.md", "croissant.json", "report.html")
"""The files beside the sequences that people and programs read; sets of older versions lack some."""

LONGEST_PARAMETER = 500
"""The most characters of a value of the spec that is told as a parameter of a run; `spec.json` has every value."""

SHORT_DIGITS = 32
"""The hexadecimal digits of a fingerprint that stand for it where MLflow allows 36 characters."""


@dataclass(frozen=True)
class TrackedSet:
    """A training set for trackers. `address` is the URI of its folder; `statistics` are those of `gather_statistics`;
    `documents` are files by name: spec.json, manifest.json, statistics.json, and those of `SET_DOCUMENTS`."""

    address: str
    manifest: Mapping[str, Any]
    statistics: Mapping[str, Any]
    documents: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """The name of the set."""
        return str(self.manifest["spec"]["name"])

    @property
    def fingerprint(self) -> str:
        """The hash of everything that the set was made from."""
        return str(self.manifest["fingerprint"])

    @property
    def digest(self) -> str:
        """The first digits of the fingerprint."""
        return self.fingerprint[:SHORT_DIGITS]

    @property
    def parameters(self) -> dict[str, str]:
        """The keys of the spec with short values; keys of keys are joined by a dot."""
        return _flatten_spec(self.manifest["spec"])

    @property
    def metrics(self) -> dict[str, float]:
        """The sizes of the set as numbers by name: `windows_train`, `locations`, `steps`, `features` and such."""
        windows = {f"windows_{split}": count for split, count in self.statistics["windows"].items()}
        return {name: float(number) for name, number in (self.statistics["shape"] | windows).items()}

    @property
    def tags(self) -> dict[str, str]:
        """What runs are found by."""
        return {
            "gridtide.set": self.name,
            "gridtide.fingerprint": self.fingerprint,
            "gridtide.address": self.address,
            "gridtide.version": str(self.manifest["versions"]["gridtide"]),
        }


def open_tracked_set(address: str | Path) -> TrackedSet:
    """Returns what trackers are told of the training set in the folder, or at the URI of the folder, `address`.

    Raises `StorageError` if there is none, or if it is damaged. Not for code that runs in an event loop: see
    `read_tracked_set`.
    """
    folder = str(address).removesuffix(SEQUENCES_FILE).rstrip("/")
    return asyncio.run(read_tracked_set(Lake.open(folder, make=False), ""))


async def read_tracked_set(lake: Lake, folder: str) -> TrackedSet:
    """Returns what trackers are told of the training set in `folder` of `lake`; "" if the set is all that `lake` has.

    Raises `StorageError` if there is none, or if it is damaged.
    """
    view = await open_stored_set(folder, lake)
    manifest = view.manifest
    if "fingerprint" not in manifest:
        raise StorageError(folder or lake.uri, "has a manifest without a fingerprint", "Prepare the set again")
    statistics = gather_statistics(manifest, view.mapped)
    contents = {"spec.json": manifest["spec"], "manifest.json": manifest, "statistics.json": statistics}
    documents = {name: _encode_document(content) for name, content in contents.items()}
    for name in SET_DOCUMENTS:
        path = f"{folder}/{name}".lstrip("/")
        if await lake.store.exists(path):
            documents[name] = await lake.store.read(path)
    return TrackedSet(_name_address(lake, folder), manifest, statistics, documents)


def _name_address(lake: Lake, folder: str) -> str:
    """Returns the URI of `folder` in `lake`; of a local one the absolute path."""
    address = f"{lake.uri}/{folder}".rstrip("/")
    return address if "://" in address else str(Path(address).absolute())


def _encode_document(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=2).encode()


def _flatten_spec(keys: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Returns the values of `keys` as texts by their dotted names, without those that are not set or too long."""
    flat: dict[str, str] = {}
    for key, value in keys.items():
        if isinstance(value, Mapping):
            flat |= _flatten_spec(value, f"{prefix}{key}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if len(text) <= LONGEST_PARAMETER:
                flat[f"{prefix}{key}"] = text
    return flat


def gather_statistics(manifest: Mapping[str, Any], mapped: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Returns the statistics of a set: its `shape`, the number of `windows` of each split, and by location the train
    `mean` and `deviation` of each column and target, with the cells of a column that were `imputed`, and those of a
    series that the rules `rejected`.

    A column that is stored by other scales than mean and deviation has those that are stored: 0 and 1.
    """
    locations, steps, features = mapped["values"].shape
    shape = {"locations": locations, "steps": steps, "features": features, "targets": mapped["targets"].shape[2]}
    return {
        "shape": shape,
        "windows": {split: len(mapped[f"windows.{split}"]) for split in splits.SPLITS},
        "locations": {
            location["name"]: {
                "columns": _pair_scales(
                    [column["name"] for column in location["columns"]],
                    mapped["mean"][number],
                    mapped["deviation"][number],
                    location["imputed"],
                ),
                "targets": _pair_scales(
                    location["targets"], mapped["target_mean"][number], mapped["target_deviation"][number], {}
                ),
                "rejected": location["rejected"],
            }
            for number, location in enumerate(manifest["locations"])
        },
    }


def _pair_scales(
    names: list[str],
    means: npt.NDArray[np.float32],
    deviations: npt.NDArray[np.float32],
    imputed: Mapping[str, int],
) -> dict[str, dict[str, float]]:
    """Returns mean and deviation by name, and the number of imputed cells where there is one."""
    return {
        name: {"mean": float(mean), "deviation": float(deviation)}
        | ({"imputed": imputed[name]} if name in imputed else {})
        for name, mean, deviation in zip(names, means, deviations, strict=True)
    }
