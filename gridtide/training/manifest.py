"""What is written of a training set: tensors, manifest, report."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridtide import __version__
from gridtide.curated import Input
from gridtide.errors import StorageError
from gridtide.periods import microseconds
from gridtide.training import report_page, tensors
from gridtide.training.series.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.training.training_set import TrainingSet

if TYPE_CHECKING:
    from gridtide.lake import Lake


logger = logging.getLogger("gridtide.training")


OPTIONAL = {"sequences.npz", "report.html"}
"""Files that a spec may leave out."""


FORMAT = 1
"""Version of the files written here."""


async def write_set(training_set: TrainingSet, inputs: Sequence[Input], lake: Lake) -> dict[str, Any]:
    """Write `training_set`, made from the files `inputs`, to `lake`; returns what `report_set` describes.

    An earlier set of this name is replaced whole: all files are stored beside it first and then moved into their
    places, so that what fails before, such as a full disk, leaves it as it was.
    """
    manifest = describe_set(training_set, inputs)
    bodies = build_files(training_set, manifest)
    folder = f"features/{training_set.spec.name}"
    staging = f"{folder}/new-{manifest['fingerprint'][:16]}"
    try:
        for name, parts in bodies.items():
            await lake.store.put_parts(f"{staging}/{name}", parts)
        for name in bodies:
            await lake.store.move(f"{staging}/{name}", f"{folder}/{name}")
    except BaseException:
        with suppress(StorageError):  # what happened before is what is to be told
            await lake.store.remove([f"{staging}/{name}" for name in bodies])
        raise
    finally:
        await lake.store.prune([staging])
    await lake.store.remove([f"{folder}/{name}" for name in sorted(OPTIONAL - bodies.keys())])  # of the set before
    sizes = {name: sum(map(len, parts)) for name, parts in bodies.items()}
    return report_set(training_set, manifest, folder, sizes)


def build_files(training_set: TrainingSet, manifest: Mapping[str, Any]) -> dict[str, list[bytes | memoryview]]:
    """What is written of `training_set` with its manifest `manifest`, by name, in parts; the sequences come first."""
    arrays = to_tensors(training_set)
    files = {"sequences.safetensors": tensors.encode_tensors(arrays, {"manifest": to_json(manifest)})}
    if "npz" in training_set.spec.export:
        files["sequences.npz"] = [_encode_npz(arrays)]
    if training_set.spec.pictures and find_spec("matplotlib"):
        files["report.html"] = [report_page.render_page(training_set, manifest).encode()]
    elif training_set.spec.pictures:
        logger.warning("%s: no pictures are drawn; install gridtide[report] for them", training_set.spec.name)
    return files | {"manifest.json": [to_json(manifest, indent=2).encode()]}


def _encode_npz(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """`arrays` as `numpy.load` opens them; the same bytes for the same arrays."""
    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return body.getvalue()


def to_tensors(training_set: TrainingSet) -> dict[str, npt.NDArray[np.generic]]:
    """What the file holds: the arrays of the set, the time of each step (T,) in seconds since 1970, the scales."""
    seconds = microseconds(training_set.period.start) // 1_000_000 + 3600 * np.arange(training_set.bounds.steps)
    return {
        "values": training_set.values,
        "mask": training_set.mask,
        "quality": training_set.quality,
        "targets": training_set.targets,
        "target_mask": training_set.target_mask,
        "time": seconds,
        "mean": _stack_float32(scale.mean for scale in training_set.scales),
        "deviation": _stack_float32(scale.deviation for scale in training_set.scales),
        "target_mean": _stack_float32(scale.mean for scale in training_set.target_scales),
        "target_deviation": _stack_float32(scale.deviation for scale in training_set.target_scales),
        **{f"windows.{name}": windows for name, windows in training_set.windows.items()},
    }


def _stack_float32(rows: Iterable[npt.NDArray[np.float64]]) -> npt.NDArray[np.float32]:
    return np.stack(list(rows)).astype(np.float32)


def describe_set(training_set: TrainingSet, inputs: Sequence[Input]) -> dict[str, Any]:
    """Everything the set was made from, and what its columns mean; the same for the same inputs."""
    spec = training_set.spec.model_dump(mode="json")
    files = [asdict(file) for file in inputs]
    used = ("numpy", "pyarrow", "holidays", *(("scikit-learn",) if training_set.spec.cleaning.is_fitted else ()))
    versions = {"gridtide": __version__, **{name: version(name) for name in used}}
    mark = hashlib.sha256(to_json([FORMAT, spec, files, versions]).encode()).hexdigest()
    return {
        "format": FORMAT,
        "spec": spec,
        "period": [training_set.period.start.isoformat(), training_set.period.end.isoformat()],
        "bounds": asdict(training_set.bounds),
        "locations": [
            {
                "name": base.location,
                "columns": [asdict(feature) for feature in base.columns],
                "targets": list(base.target_names),
                "imputed": {
                    feature.name: int((cells == IMPUTED).sum())
                    for feature, cells in zip(base.columns, base.quality.T, strict=False)
                    if feature.series is not None
                },
                "rejected": base.rejected,
                "repeats": base.repeats,
                "limits": base.limits,
                "unscaled": list(training_set.unscaled[number]),
                "largest": _describe_largest(training_set, number),
            }
            for number, base in enumerate(training_set.bases)
        ],
        "dropped": list(training_set.dropped),
        "inputs": files,
        "versions": versions,
        "fingerprint": mark,
    }


def _describe_largest(training_set: TrainingSet, location: int) -> dict[str, dict[str, float]]:
    """By column and split the largest scaled value of `location`, of columns that it has."""
    largest = training_set.largest_scaled(location)
    return {
        column.name: {split: round(float(values[number]), 2) for split, values in largest.items()}
        for number, column in enumerate(training_set.bases[location].columns)
        if column.name != "absent"
    }


def report_set(
    training_set: TrainingSet, manifest: Mapping[str, Any], folder: str, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """What a person or a flow wants to know of the set `training_set`, JSON-able; `sizes`: bytes by file in `folder`.

    `name`, `path` and `bytes` of the sequences, `pictures` (a path, or None), `period`, `shape`, `splits`:
    windows of each, `locations`: targets, columns, of the inputs the shares that are reported, imputed,
    rejected and missing, how many cells each rule `rejected`, what is `unscaled` and was left out, and the
    `largest` scaled values by column and split; `dropped` columns, number of `inputs`, `fingerprint`.
    """
    codes = {"reported": REPORTED, "imputed": IMPUTED, "rejected": REJECTED, "missing": MISSING}
    locations = {
        base.location: {
            "targets": list(base.target_names),
            "columns": [feature.name for feature in base.columns],
            "inputs": {
                feature.name: {name: round(float((cells == code).mean()), 4) for name, code in codes.items()}
                for feature, cells in zip(base.columns, base.quality.T, strict=False)
                if feature.series is not None
            },
            "rejected": {name: counts for name, counts in base.rejected.items() if any(counts.values())},
            "unscaled": list(training_set.unscaled[number]),
            "largest": _describe_largest(training_set, number),
        }
        for number, base in enumerate(training_set.bases)
    }
    count, steps, features = training_set.values.shape
    spec = training_set.spec
    first = next(iter(sizes))
    return {
        "name": spec.name,
        "path": f"{folder}/{first}",
        "bytes": sizes[first],
        "pictures": f"{folder}/report.html" if "report.html" in sizes else None,
        "period": str(training_set.period),
        "shape": {
            "locations": count,
            "steps": steps,
            "features": features,
            "targets": training_set.targets.shape[2],
            "seq_len": spec.seq_len,
            "horizon": spec.horizon,
        },
        "splits": {name: len(windows) for name, windows in training_set.windows.items()},
        "locations": locations,
        "dropped": list(training_set.dropped),
        "inputs": len(manifest["inputs"]),
        "fingerprint": manifest["fingerprint"],
    }


def to_json(data: Any, indent: int | None = None) -> str:
    """`data` as JSON that is the same for equal data."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=indent)
