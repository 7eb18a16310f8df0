"""Writes a training set: tensors, manifest, report."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridtide import __version__
from gridtide.curated import Input
from gridtide.errors import StorageError, TrainingError
from gridtide.periods import microseconds
from gridtide.threads import run_blocking
from gridtide.training import tensors
from gridtide.training.features.future import FUTURE_ARRAYS
from gridtide.training.reports import data_card, report_page, set_report
from gridtide.training.series.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.training.series.steps import name_steps
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.tensors import AnyTensor, EncodedFile
from gridtide.training.training_set import TrainingSet
from gridtide.training.windows.weighting import weigh_steps

if TYPE_CHECKING:
    from gridtide.lake import Lake


OPTIONAL = {"sequences.npz", "report.html"}
"""Files that a training set may lack."""


FORMAT = 1
"""The version of the file format."""


STAGING = "new-"
"""The first characters of the name of a folder in that of a set, with the files of its successor until it has all."""


ABANDONED = timedelta(days=1)
"""Files of a successor that no process has changed for so long are those of one that was killed."""


DERIVATION = "derivation"
"""The key of the file's metadata for how its rows were derived (`Derivation`), by location; not in sets of 0.1.0."""


async def check_writable(lake: Lake, spec: TrainingSpec) -> None:
    """Raises `StorageError` unless files of the set of `spec` can be written to `lake`, and removed again."""
    folder = set_folder(spec)
    try:
        await lake.store.check_writable(folder)
    except StorageError as error:
        fix = f"{error.fix}; or write the set elsewhere: gridtide prepare --out FOLDER"
        raise StorageError(error.subject, error.happened, fix) from error


def set_folder(spec: TrainingSpec) -> str:
    """Returns the folder of the set that is made from `spec`, in a lake or elsewhere."""
    return f"features/{spec.name}"


async def read_manifest(path: str, lake: Lake) -> dict[str, Any]:
    """Reads the manifest at `path`, on this machine or else in `lake`; raises `TrainingError` if it is not a
    manifest."""
    try:
        local = await run_blocking(_read_local_file, path)
        manifest = json.loads(await lake.store.read(path) if local is None else local)
    except (StorageError, OSError, ValueError) as error:
        raise TrainingError(
            path, f"cannot be read as a manifest: {error}", "Name the manifest.json of a set, here or in the lake"
        ) from error
    if not isinstance(manifest, dict) or not {"spec", "inputs"} <= manifest.keys():
        raise TrainingError(path, "is not a manifest: it has no spec and inputs", "Name the manifest.json of a set")
    return manifest


def _read_local_file(path: str) -> bytes | None:
    return Path(path).read_bytes() if Path(path).is_file() else None


async def refuse_another_spec(spec: TrainingSpec, lake: Lake) -> None:
    """Raises `TrainingError` if `lake` has a set with the name of `spec` that was made from another spec."""
    path = f"{set_folder(spec)}/manifest.json"
    if not await lake.store.exists(path):
        return
    manifest = json.loads(await lake.store.read(path))
    if changed := list_changed_keys(manifest, spec):
        raise TrainingError(
            spec.name,
            f"{set_folder(spec)}/ holds a set of another spec ({', '.join(changed)} differ)",
            'Give the spec another name, or replace the set: "gridtide prepare SPEC --replace"',
        )


def list_changed_keys(manifest: Mapping[str, Any], spec: TrainingSpec) -> list[str]:
    """Returns the keys in which `spec` differs from the spec of the set of `manifest`, and, if it extends another one,
    from the spec that was given for it, whose splits are not fixed."""
    specs = [manifest["spec"], *([manifest["extends"]["spec"]] if "extends" in manifest else [])]
    return min((_list_different_keys(stored, spec) for stored in reversed(specs)), key=len)


def _list_different_keys(stored: dict[str, Any], spec: TrainingSpec) -> list[str]:
    """Returns the keys in which `spec` differs from the spec `stored`."""
    stored.get("cleaning", {}).setdefault("screening", spec.cleaning.screening)  # sets made before there was any
    with suppress(TrainingError):
        stored = load_spec(stored).model_dump(mode="json")  # with the defaults of keys that came since
    document = spec.model_dump(mode="json")
    return sorted(key for key in {*stored, *document} if stored.get(key) != document.get(key))


async def finish_interrupted(lake: Lake, folder: str, fingerprint: str) -> None:
    """Moves the remaining files of the set with this `fingerprint` into `folder`, whose sequences are there already, if
    a process ended while it moved them."""
    staging = f"{folder}/{_staging_name(fingerprint)}"
    for file in await lake.store.list_objects(staging):
        await lake.store.move(file.path, f"{folder}/{file.path.rpartition('/')[2]}")
    await lake.store.prune([staging])


def _staging_name(fingerprint: str) -> str:
    return f"{STAGING}{fingerprint[:16]}"


async def _remove_abandoned(lake: Lake, folder: str) -> None:
    """Removes what killed processes left of the sets that they wrote to `folder`, which can be gigabytes."""
    folders, _ = await lake.store.list_folder(folder)
    for staging in folders:
        if staging.startswith(f"{folder}/{STAGING}"):
            await lake.store.remove_abandoned(staging, datetime.now(UTC) - ABANDONED)


async def write_set(training_set: TrainingSet, inputs: Sequence[Input], lake: Lake) -> dict[str, Any]:
    """Writes `training_set`, made from the files `inputs`, to `lake`; returns the summary that `report_set` describes.

    An earlier set of this name is replaced as a whole: all files are first stored beside it and then moved into place,
    so that an earlier failure, such as a full disk, leaves the earlier set unchanged. What processes that were killed
    have left beside it is removed first.
    """
    manifest = describe_set(training_set, inputs)
    folder = set_folder(training_set.spec)
    bodies = build_files(training_set, manifest)
    sizes = {name: body.measure() for name, body in bodies.items()}
    report = report_set(training_set, manifest, folder, sizes)
    staging = f"{folder}/{_staging_name(manifest['fingerprint'])}"
    names = [*bodies, "README.md", "croissant.json"]
    await _remove_abandoned(lake, folder)
    try:
        hashes = {name: await _store_body(lake, f"{staging}/{name}", body) for name, body in bodies.items()}
        for name, card in _build_card(manifest, report, sizes, hashes).items():
            await _store_body(lake, f"{staging}/{name}", card)
        await _check_no_folders(lake, folder, names)
    except BaseException:
        with suppress(StorageError):  # the first error is the one to report
            await lake.store.remove([f"{staging}/{name}" for name in names])
        await lake.store.prune([staging])
        raise
    for name in names:
        await lake.store.move(f"{staging}/{name}", f"{folder}/{name}")
    await lake.store.prune([staging])
    await lake.store.remove([f"{folder}/{name}" for name in sorted(OPTIONAL - bodies.keys())])  # of the earlier set
    return report


async def _check_no_folders(lake: Lake, folder: str, names: Iterable[str]) -> None:
    """Raises `StorageError` if a folder has the name of a file of the set in `folder`: it cannot be replaced, and then
    the set would have files of two sets."""
    folders, _ = await lake.store.list_folder(folder)
    if clashing := sorted({f"{folder}/{name}" for name in names} & set(folders)):
        happened, fix = "is a folder, so that no file of the set can have its name", "Rename or move the folder"
        raise StorageError(clashing[0], happened, fix)


async def _store_body(lake: Lake, path: str, body: EncodedFile) -> str:
    """Stores the file `body` at `path`; returns its SHA-256, which is computed on the way, as it can be gigabytes."""
    digest = hashlib.sha256()

    def pass_parts() -> Iterator[bytes | memoryview]:
        for part in body:
            digest.update(part)
            yield part

    await lake.store.put_parts(path, pass_parts())
    return digest.hexdigest()


def _build_card(
    manifest: Mapping[str, Any], report: Mapping[str, Any], sizes: Mapping[str, int], hashes: Mapping[str, str]
) -> dict[str, EncodedFile]:
    """Returns the data card of the set whose other files have these `sizes` and `hashes`: README.md and
    croissant.json."""
    findings = set_report.list_findings(report)
    card = data_card.write_card(manifest, report, findings)
    croissant = data_card.write_croissant(manifest, sizes, hashes, findings)
    return {"README.md": EncodedFile([card.encode()]), "croissant.json": EncodedFile([croissant.encode()])}


def build_files(training_set: TrainingSet, manifest: Mapping[str, Any]) -> dict[str, EncodedFile]:
    """Returns the files of `training_set` with its manifest `manifest`, by name, in parts; the sequences come first."""
    arrays = to_tensors(training_set)
    derivation = [asdict(base.derivation) for base in training_set.bases]
    metadata = {"manifest": to_json(manifest), DERIVATION: to_json(derivation)}
    files = {"sequences.safetensors": tensors.encode_tensors(arrays, metadata)}
    if "npz" in training_set.spec.export:
        files["sequences.npz"] = EncodedFile([_encode_npz(arrays)])
    if training_set.spec.pictures:
        files["report.html"] = EncodedFile([report_page.render_page(training_set, manifest).encode()])
    return files | {"manifest.json": EncodedFile([to_json(manifest, indent=2).encode()])}


def _encode_npz(arrays: Mapping[str, AnyTensor]) -> memoryview:
    """Encodes `arrays` for `numpy.load`; the same bytes for the same arrays."""
    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return body.getbuffer()


def to_tensors(training_set: TrainingSet) -> dict[str, AnyTensor]:
    """Returns the tensors of the file: the arrays of the set, the time of each step (T,) in seconds since 1970, and the
    scales."""
    step = int(training_set.spec.resolution.total_seconds())
    seconds = microseconds(training_set.period.start) // 1_000_000 + step * np.arange(training_set.bounds.steps)
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
        **_optional_tensors(training_set),
    }


def _optional_tensors(training_set: TrainingSet) -> dict[str, AnyTensor]:
    """Returns the tensors that a set has only if its spec asks for them: the range of steps to predict of each window
    (N, 2), with a gap or a gate; the covariates of all steps (see `FutureBase`) and their scales (R, G); the train
    quantiles of columns scaled by them (R, F, Q); the weights of steps (R, T); and the static covariates (R, S)."""
    spec, future = training_set.spec, training_set.future
    optional: dict[str, AnyTensor] = {}
    if spec.gap or spec.gate:
        optional |= {f"target_steps.{name}": steps for name, steps in training_set.target_steps.items()}
    if spec.has_future:
        optional |= {f"future_{name}": getattr(future.base, name) for name in FUTURE_ARRAYS}
        optional["future_mean"] = _stack_float32(scale.mean for scale in future.scales)
        optional["future_deviation"] = _stack_float32(scale.deviation for scale in future.scales)
    for prefix, scales in (
        ("", training_set.scales),
        ("target_", training_set.target_scales),
        ("future_", future.scales),
    ):
        knots = [scale.knots for scale in scales if scale.knots is not None]
        if knots:
            optional[f"{prefix}knots"] = _stack_float32(knots)
    if spec.weights is not None:
        mask, train_end = training_set.target_mask, training_set.bounds.train_end
        optional["weights"] = weigh_steps(spec, spec.weights, training_set.targets, mask, train_end)
    if spec.locations[0].static:
        names = sorted(spec.locations[0].static)
        optional["static"] = np.array([[place.static[name] for name in names] for place in spec.locations], np.float32)
    return optional


def _stack_float32(rows: Iterable[npt.NDArray[np.float64]]) -> npt.NDArray[np.float32]:
    return np.stack(list(rows)).astype(np.float32)


def describe_set(training_set: TrainingSet, inputs: Sequence[Input]) -> dict[str, Any]:
    """Returns the manifest: everything that the set was made from, and what its columns mean; the same for the same
    inputs."""
    spec = training_set.spec.model_dump(mode="json")
    files = [asdict(file) for file in inputs]
    packages = ("numpy", "pyarrow", "holidays", *(("scikit-learn",) if training_set.spec.cleaning.is_fitted else ()))
    versions = {"gridtide": __version__, **{name: version(name) for name in packages}}
    corrections = _collect_corrections(training_set)
    extends = training_set.extends
    identity = [FORMAT, spec, files, versions, *([corrections] if corrections else []), *([extends] if extends else [])]
    fingerprint = hashlib.sha256(to_json(identity).encode()).hexdigest()
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
                    feature.name: int(np.count_nonzero(cells == IMPUTED))
                    for feature, cells in zip(base.columns, base.quality.T, strict=False)
                    if feature.series is not None
                },
                "rejected": base.rejected,
                "repeats": base.repeats,
                "limits": base.limits,
                "unscaled": list(training_set.unscaled[number]),
                "largest": _describe_largest(training_set, number),
                "known_before": dict(training_set.known_before[number]),
                **(
                    {"future": [asdict(column) for column in training_set.future.columns[number]]}
                    if training_set.spec.has_future
                    else {}
                ),
            }
            for number, base in enumerate(training_set.bases)
        ],
        "dropped": list(training_set.dropped),
        **({"corrections": corrections} if corrections else {}),
        **({"extends": dict(extends)} if extends else {}),
        "inputs": files,
        "versions": versions,
        "fingerprint": fingerprint,
    }


def _collect_corrections(training_set: TrainingSet) -> dict[str, list[Mapping[str, Any]]]:
    """Returns the records of the series that were shifted and renamed, by kind; only kinds that have some."""
    by_kind: dict[str, dict[str, Mapping[str, Any]]] = {}
    for base in training_set.bases:
        for kind, records in base.corrections.items():
            if records:
                by_kind.setdefault(kind, {}).update({to_json(record): record for record in records})
    return {kind: [record for _, record in sorted(records.items())] for kind, records in by_kind.items()}


def _describe_largest(training_set: TrainingSet, location: int) -> dict[str, dict[str, float]]:
    """Returns, by column and split, the largest scaled value of `location`, for the columns that it has."""
    largest = training_set.largest_scaled(location)
    return {
        column.name: {split: round(float(values[number]), 2) for split, values in largest.items()}
        for number, column in enumerate(training_set.bases[location].columns)
        if column.name != "absent"
    }


def report_set(
    training_set: TrainingSet, manifest: Mapping[str, Any], folder: str, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """Returns a summary of the set for people and flows, JSON-able; `sizes` are bytes by file in `folder`.

    `name`, `path` and `bytes` of the sequences, `pictures` (a path, or None), `period`, `shape`, `unit`: what its steps
    are called, `splits`: the number of windows of each, `extends`, if it extends a set: its `fingerprint`, which
    `period` and `inputs` were added, and what is `different` in the hours before, `locations`: targets, columns, for
    each input the shares that are reported, imputed, rejected and missing, the number of cells that each rule
    `rejected`, what is `unscaled` and was left out, the `largest` scaled values by column and split, and the share of
    each target that was `known_before`
    t0; `dropped` columns, number of `inputs`, `fingerprint`, and `corrections` as in the manifest, if series were
    shifted or renamed.
    """
    codes_by_quality = {"reported": REPORTED, "imputed": IMPUTED, "rejected": REJECTED, "missing": MISSING}
    locations = {
        base.location: {
            "targets": list(base.target_names),
            "columns": [feature.name for feature in base.columns],
            "inputs": {
                feature.name: {name: round(float((cells == code).mean()), 4) for name, code in codes_by_quality.items()}
                for feature, cells in zip(base.columns, base.quality.T, strict=False)
                if feature.series is not None
            },
            "rejected": {name: counts for name, counts in base.rejected.items() if any(counts.values())},
            "unscaled": list(training_set.unscaled[number]),
            "largest": manifest["locations"][number]["largest"],
            "known_before": manifest["locations"][number]["known_before"],
        }
        for number, base in enumerate(training_set.bases)
    }
    location_count, steps, features = training_set.values.shape
    spec = training_set.spec
    sequences_name = next(iter(sizes))
    return {
        "name": spec.name,
        "path": f"{folder}/{sequences_name}",
        "bytes": sizes[sequences_name],
        "pictures": f"{folder}/report.html" if "report.html" in sizes else None,
        "period": str(training_set.period),
        "shape": {
            "locations": location_count,
            "steps": steps,
            "features": features,
            "targets": training_set.targets.shape[2],
            "seq_len": spec.seq_len,
            "horizon": spec.horizon,
        },
        "unit": name_steps(spec.resolution),
        "splits": {name: len(windows) for name, windows in training_set.windows.items()},
        "locations": locations,
        "dropped": list(training_set.dropped),
        "inputs": len(manifest["inputs"]),
        **({"corrections": manifest["corrections"]} if "corrections" in manifest else {}),
        **({"extends": _report_extension(manifest["extends"])} if "extends" in manifest else {}),
        "fingerprint": manifest["fingerprint"],
    }


def _report_extension(extends: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a report says of the set that was extended."""
    added = extends["added"]
    return {
        "fingerprint": extends["fingerprint"],
        "period": added["period"],
        "inputs": len(added["inputs"]),
        "different": extends["different"],
    }


def to_json(document: Any, indent: int | None = None) -> str:
    """Encodes `document` as JSON, the same for equal data."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=indent)
