"""Compares two training sets: files, columns, cells and windows that differ, with the reason.

Cells are compared in their units, over the hours and columns that both sets have: a set with other scales has the same
cells. The reasons follow from the manifests: an equal spec, equal files and equal versions give equal sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Mask
from gridtide.training.stored.choices import SetView
from gridtide.training.stored.scales import ScaledPart, find_scale
from gridtide.training.windows.splits import SPLITS

ROUNDING_SHARE = 1e-5
"""The share of a column's deviation by which values may differ, because float32 stores them scaled."""

CELL_KEYS = ("locations", "resolution", "leads", "features", "cleaning", "as_of")
"""The keys of a spec that decide about cells."""

SCALE_KEYS = ("scaling", "target_scaling", "unscaled_inputs", "unscaled_targets", "splits", "start", "end")
"""The keys of a spec that decide about scales, apart from cells."""

WINDOW_KEYS = ("seq_len", "horizon", "stride", "gap", "gate", "start", "end", "splits", "min_inputs", "min_targets")
"""The keys of a spec that decide about windows, apart from cells."""

EXTENDED = "one of them extends an earlier set, whose hours and scales it keeps"

UNEXPLAINED = "a file of one of them was changed: spec, files and versions are equal"


class Pair(NamedTuple):
    """Two sets, or what they have at one place."""

    first: Any
    second: Any


def compare_sets(first: SetView, second: SetView) -> dict[str, Any]:
    """Returns what differs between the sets `first` and `second`, JSON-able.

    `equal`: whether nothing does. `spec`, `versions`, `period`: by key, both values. `files`: the paths
    `only_in_first`, `only_in_second`, and those `changed` under one path. `only_in_first`, `only_in_second`: locations.
    `locations`: by name, the columns `only_in_first`, `only_in_second`, those whose `formulas` and whose `scales`
    differ, and `cells`: by column or target, the number of cells whose value or mask differs, of how many, with the
    first and the last hour. `windows`: by split, the number in both, and those in one only. `reasons`: sentences. Only
    `equal` and `reasons` are always there.
    """
    sets = Pair(first, second)
    manifests = Pair(*(view.manifest for view in sets))
    names = Pair(*([place["name"] for place in manifest["locations"]] for manifest in manifests))
    locations = {
        name: _compare_location(sets, Pair(*(listed.index(name) for listed in names)))
        for name in names.first
        if name in names.second
    }
    windows = {split: _compare_windows(sets, names, split) for split in SPLITS}
    compared = {
        "spec": _list_different(*(_describe_spec(manifest) for manifest in manifests)),
        "versions": _list_different(*(manifest.get("versions", {}) for manifest in manifests)),
        "period": _list_different(*({"period": manifest["period"]} for manifest in manifests)),
        "files": _compare_files(manifests),
        **_list_unshared(*names),
        "locations": {name: differences for name, differences in locations.items() if differences},
        "windows": {
            split: counts for split, counts in windows.items() if counts["only_in_first"] + counts["only_in_second"]
        },
    }
    differing = {key: value for key, value in compared.items() if value}
    is_extended = any("extends" in manifest for manifest in manifests)
    return {"equal": not differing, **differing, "reasons": _explain(differing, is_extended=is_extended)}


def _describe_spec(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the spec of `manifest` without what changes nothing in its arrays."""
    return {key: value for key, value in manifest["spec"].items() if key not in WITHOUT_EFFECT}


WITHOUT_EFFECT = frozenset({"name", "description", "export", "pictures"})
"""The keys of a spec that change nothing in the arrays of a set."""


def _list_different(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Returns, by key, the values of both that are not equal; None where one has none."""
    keys = sorted({*first, *second})
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}


def _list_unshared(first: Iterable[str], second: Iterable[str]) -> dict[str, list[str]]:
    """Returns what only one of both has, by which."""
    return {"only_in_first": sorted({*first} - {*second}), "only_in_second": sorted({*second} - {*first})}


def _compare_files(manifests: Pair) -> dict[str, list[str]]:
    """Returns the paths of input files that only one of the manifests has, or that have other content; only kinds that
    have some."""
    hashes = Pair(*({file["path"]: file["content_hash"] for file in manifest["inputs"]} for manifest in manifests))
    changed = sorted(path for path, digest in hashes.first.items() if hashes.second.get(path, digest) != digest)
    kinds = _list_unshared(*hashes) | {"changed": changed}
    return {kind: paths for kind, paths in kinds.items() if paths}


def _compare_location(sets: Pair, places: Pair) -> dict[str, Any]:
    """Returns what differs at the locations with the numbers `places`; only what does."""
    columns = Pair(
        *(
            {
                column["name"]: (position, column)
                for position, column in enumerate(view.manifest["locations"][place]["columns"])
                if column["name"] != "absent"
            }
            for view, place in zip(sets, places, strict=True)
        )
    )
    shared = {
        name: Pair(position, columns.second[name][0])
        for name, (position, _) in columns.first.items()
        if name in columns.second
    }
    scales = Pair(
        *(find_scale(view.manifest, view.mapped, "inputs", place) for view, place in zip(sets, places, strict=True))
    )
    described = {
        **_list_unshared(*columns),
        "formulas": [name for name in shared if len({side[name][1]["formula"] for side in columns}) > 1],
        "scales": [
            name
            for name, positions in shared.items()
            if any(
                getattr(scales.first, part)[positions.first] != getattr(scales.second, part)[positions.second]
                for part in ("mean", "deviation")
            )
        ],
        "cells": _compare_cells(sets, places, shared),
    }
    return {kind: entries for kind, entries in described.items() if entries}


def _compare_cells(sets: Pair, places: Pair, columns: Mapping[str, Pair]) -> dict[str, dict[str, Any]]:
    """Returns, by column and target, how many cells differ in the hours that both sets have; only those with any."""
    times = Pair(*(np.asarray(view.mapped["time"], np.int64) for view in sets))
    hours, *rows = np.intersect1d(times.first, times.second, assume_unique=True, return_indices=True)
    targets = Pair(*(view.manifest["locations"][place]["targets"] for view, place in zip(sets, places, strict=True)))
    shared_targets = {
        name: Pair(number, targets.second.index(name))
        for number, name in enumerate(targets.first)
        if name in targets.second
    }
    parts: tuple[tuple[ScaledPart, str, Mapping[str, Pair]], ...] = (
        ("inputs", "", columns),
        ("targets", "target ", shared_targets),
    )
    cells = {}
    for part, prefix, shared in parts:
        chosen = np.array(list(shared.values()), np.int64).reshape(-1, 2).T
        sides = (_read_cells(*side) for side in zip(sets, (part, part), places, rows, chosen, strict=True))
        is_different = _find_different(*sides)
        for position, name in enumerate(shared):
            different = np.flatnonzero(is_different[:, position])
            if len(different):
                begin, end = (datetime.fromtimestamp(int(hours[row]), UTC).isoformat() for row in different[[0, -1]])
                cells[f"{prefix}{name}"] = {"cells": len(different), "of": len(hours), "from": begin, "to": end}
    return cells


class _Cells(NamedTuple):
    """Cells of one set (T, C): `values` in their units, where they are `observed` and where `missing`; `tolerance`:
    what float32 may change."""

    values: Floats
    observed: Mask
    missing: Mask
    tolerance: Floats


def _read_cells(
    view: SetView, part: ScaledPart, place: int, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> _Cells:
    """Returns the cells of `columns` of inputs or targets at the location `place`."""
    tensor, mask_tensor = ("values", "mask") if part == "inputs" else ("targets", "target_mask")
    scale = find_scale(*view[:2], part, place)
    scaled = np.asarray(view.mapped[tensor][place])[rows]
    observed = np.asarray(view.mapped[mask_tensor][place])[rows][:, columns]
    values = scale.invert(scaled.astype(np.float64))[:, columns]
    tolerance = ROUNDING_SHARE * (np.abs(scale.deviation[columns]) + ROUNDING_SHARE * np.abs(values))
    return _Cells(values, observed, ~observed & (scaled[:, columns] == 0), tolerance)


def _find_different(first: _Cells, second: _Cells) -> Mask:
    """Returns the cells that differ in whether they are observed or missing, or in their value."""
    is_far = np.abs(first.values - second.values) > np.maximum(first.tolerance, second.tolerance)
    is_far &= ~(first.missing & second.missing)
    different: Mask = (first.observed != second.observed) | (first.missing != second.missing) | is_far
    return different


def _compare_windows(sets: Pair, names: Pair, split: str) -> dict[str, int]:
    """Returns the number of windows of `split` in both sets, and in one only; a window is its location, the hour at
    which it begins, and the numbers of steps of context and to predict."""
    windows = []
    for view, places in zip(sets, names, strict=True):
        time, spec = view.mapped["time"], view.manifest["spec"]
        rows = view.mapped[f"windows.{split}"]
        steps = view.mapped.get(f"target_steps.{split}")
        lengths = np.full(len(rows), spec["horizon"]) if steps is None else steps[:, 1] - steps[:, 0]
        windows.append(
            {
                (places[place], int(time[start]), spec["seq_len"], length)
                for (place, start), length in zip(rows.tolist(), lengths.tolist(), strict=True)
            }
        )
    return {
        "both": len(windows[0] & windows[1]),
        "only_in_first": len(windows[0] - windows[1]),
        "only_in_second": len(windows[1] - windows[0]),
    }


def _explain(differing: Mapping[str, Any], *, is_extended: bool) -> list[str]:
    """Returns why cells, scales and windows differ, as far as the manifests tell: a sentence each; `is_extended`: one
    of the sets extends an earlier one."""
    spec_keys = set(differing.get("spec", {}))
    locations = differing.get("locations", {}).values()
    cells, scales = (any(kind in location for location in locations) for kind in ("cells", "scales"))
    of_cells = _name_keys(CELL_KEYS, spec_keys)
    of_cells += [_describe_files(differing["files"])] if "files" in differing else []
    of_cells += [f"other versions made them ({', '.join(differing['versions'])})"] if "versions" in differing else []
    of_cells += [EXTENDED] if is_extended else []
    of_all = ["their periods differ"] if "period" in differing else []
    of_all += [EXTENDED] if is_extended else []
    of_scales = [*_name_keys(SCALE_KEYS, spec_keys), *of_all, *(["cells of train hours may differ"] if cells else [])]
    of_windows = [*_name_keys(WINDOW_KEYS, spec_keys), *of_all, *(["other cells are observed"] if cells else [])]
    causes = {
        "Cells": (cells, of_cells),
        "Scales": (scales, of_scales),
        "Windows": ("windows" in differing, of_windows),
    }
    return [
        f"{subject} differ because {' and '.join(reasons) or UNEXPLAINED}"
        for subject, (differs, reasons) in causes.items()
        if differs
    ]


def _name_keys(keys: Iterable[str], different: Set[str]) -> list[str]:
    """Returns the words for those of `keys` that are `different`; none if there are none."""
    names = [key for key in keys if key in different]
    return [f"the specs differ in {', '.join(names)}"] if names else []


def _describe_files(files: Mapping[str, list[str]]) -> str:
    words = {"only_in_first": "only in the first", "only_in_second": "only in the second", "changed": "changed"}
    counts = ", ".join(f"{len(paths)} {words[kind]}" for kind, paths in files.items())
    return f"they were made from other files ({counts})"


def write_comparison(comparison: Mapping[str, Any], names: Iterable[str]) -> str:
    """Returns the `comparison` of the sets called `names` as text, a line for each thing that differs."""
    first, second = names
    if comparison["equal"]:
        return f"{first} and {second} are equal"
    lines = [f"first: {first}", f"second: {second}"]
    for kind in ("spec", "versions", "period"):
        lines += [f"{kind} {key}: {values[0]} | {values[1]}" for key, values in comparison.get(kind, {}).items()]
    for kind, paths in comparison.get("files", {}).items():
        lines += [f"file {kind.replace('_', ' ')}: {path}" for path in paths]
    for kind in ("only_in_first", "only_in_second"):
        lines += [f"location {kind.replace('_', ' ')}: {name}" for name in comparison.get(kind, [])]
    for location, differences in comparison.get("locations", {}).items():
        for kind in ("only_in_first", "only_in_second", "formulas", "scales"):
            lines += [f"{location}, column, {kind.replace('_', ' ')}: {name}" for name in differences.get(kind, [])]
        for name, counts in differences.get("cells", {}).items():
            span = f"from {counts['from']} to {counts['to']}"
            lines.append(f"{location}, {name}: {counts['cells']} of {counts['of']} cells differ, {span}")
    for split, counts in comparison.get("windows", {}).items():
        numbers = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
        lines.append(f"windows of {split}: {numbers}")
    return "\n".join([*lines, *comparison["reasons"]])
