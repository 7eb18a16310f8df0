"""What is written of a training set: tensors, manifest, report."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridtide import __version__
from gridtide.curated import Input
from gridtide.observations.times import microseconds
from gridtide.training import report_page, tensors
from gridtide.training.series.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.training.training_set import TrainingSet

if TYPE_CHECKING:
    pass


logger = logging.getLogger("gridtide.training")


OPTIONAL = {"sequences.npz", "report.html"}
"""Files that a spec may leave out."""


FORMAT = 1
"""Version of the files written here."""


def build_files(made: TrainingSet, described: Mapping[str, Any]) -> dict[str, list[bytes | memoryview]]:
    """What is written of `made` with its manifest `described`, by name, in parts; the sequences come first."""
    arrays = to_tensors(made)
    found = {"sequences.safetensors": tensors.encode_tensors(arrays, {"manifest": to_json(described)})}
    if "npz" in made.spec.export:
        found["sequences.npz"] = [_npz(arrays)]
    if made.spec.pictures and find_spec("matplotlib"):
        found["report.html"] = [report_page.render_page(made, described).encode()]
    elif made.spec.pictures:
        logger.warning("%s: no pictures are drawn; install gridtide[report] for them", made.spec.name)
    return found | {"manifest.json": [to_json(described, indent=2).encode()]}


def _npz(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """`arrays` as `numpy.load` opens them; the same bytes for the same arrays."""
    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return body.getvalue()


def to_tensors(made: TrainingSet) -> dict[str, npt.NDArray[np.generic]]:
    """What the file holds: the arrays of `made`, the time of each step (T,) in seconds since 1970, the scales."""
    seconds = microseconds(made.period.start) // 1_000_000 + 3600 * np.arange(made.bounds.steps)
    return {
        "values": made.values,
        "mask": made.mask,
        "quality": made.quality,
        "targets": made.targets,
        "target_mask": made.target_mask,
        "time": seconds,
        "mean": _float32(scale.mean for scale in made.scales),
        "deviation": _float32(scale.deviation for scale in made.scales),
        "target_mean": _float32(scale.mean for scale in made.target_scales),
        "target_deviation": _float32(scale.deviation for scale in made.target_scales),
        **{f"windows.{name}": windows for name, windows in made.windows.items()},
    }


def _float32(rows: Iterable[npt.NDArray[np.float64]]) -> npt.NDArray[np.float32]:
    return np.stack(list(rows)).astype(np.float32)


def describe_set(made: TrainingSet, pinned: Sequence[Input]) -> dict[str, Any]:
    """Everything the set was made from, and what its columns mean; the same for the same inputs."""
    asked = made.spec.model_dump(mode="json")
    files = [asdict(one) for one in pinned]
    used = ("numpy", "pyarrow", "holidays", *(("scikit-learn",) if made.spec.cleaning.is_fitted else ()))
    versions = {"gridtide": __version__, **{name: version(name) for name in used}}
    mark = hashlib.sha256(to_json([FORMAT, asked, files, versions]).encode()).hexdigest()
    return {
        "format": FORMAT,
        "spec": asked,
        "period": [made.period.start.isoformat(), made.period.end.isoformat()],
        "bounds": asdict(made.bounds),
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
            }
            for base in made.bases
        ],
        "dropped": list(made.dropped),
        "inputs": files,
        "versions": versions,
        "fingerprint": mark,
    }


def report_set(
    made: TrainingSet, described: Mapping[str, Any], folder: str, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """What a person or a flow wants to know of the set `made`, JSON-able; `sizes`: bytes by file in `folder`.

    `name`, `path` and `bytes` of the sequences, `pictures` (a path, or None), `period`, `shape`, `splits`:
    windows of each, `locations`: targets, columns, of the inputs the shares that are reported, imputed,
    rejected and missing, and how many cells each rule `rejected`; `dropped` columns, number of `inputs`, `fingerprint`.
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
        }
        for base in made.bases
    }
    count, steps, features = made.values.shape
    wanted = made.spec
    first = next(iter(sizes))
    return {
        "name": wanted.name,
        "path": f"{folder}/{first}",
        "bytes": sizes[first],
        "pictures": f"{folder}/report.html" if "report.html" in sizes else None,
        "period": str(made.period),
        "shape": {
            "locations": count,
            "steps": steps,
            "features": features,
            "targets": made.targets.shape[2],
            "seq_len": wanted.seq_len,
            "horizon": wanted.horizon,
        },
        "splits": {name: len(windows) for name, windows in made.windows.items()},
        "locations": locations,
        "dropped": list(made.dropped),
        "inputs": len(described["inputs"]),
        "fingerprint": described["fingerprint"],
    }


def to_json(data: Any, indent: int | None = None) -> str:
    """`data` as JSON that is the same for equal data."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=indent)
