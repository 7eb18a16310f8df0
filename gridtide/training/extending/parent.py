"""The stored set that is to be extended: what is read of it, and whether it can be extended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gridtide import __version__
from gridtide.curated import Input
from gridtide.errors import TrainingError
from gridtide.periods import Period
from gridtide.training import tensors
from gridtide.training.features.bases import Derivation
from gridtide.training.manifest import DERIVATION, finish_interrupted, list_changed_keys, set_folder
from gridtide.training.realtime import fix_splits
from gridtide.training.spec import TrainingSpec, load_spec

if TYPE_CHECKING:
    from gridtide.lake import Lake

MAY_CHANGE = frozenset({"end", "as_of", "splits", "export", "pictures", "description"})
"""The keys of a spec that may differ from those of the set that it extends: they change none of its hours."""


@dataclass(frozen=True)
class Parent:
    """A stored set over `period`: its manifest, its tensors, how its rows were derived, by location, and its `spec`
    with the splits fixed."""

    manifest: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    derivations: tuple[Derivation, ...]
    spec: TrainingSpec

    @property
    def period(self) -> Period:
        """The steps of the set."""
        return Period(*map(datetime.fromisoformat, self.manifest["period"]))

    @property
    def inputs(self) -> int:
        """I, the number of its columns that are inputs."""
        return int(self.arrays["quality"].shape[2])

    def units(self) -> dict[str, str]:
        """Returns the unit of each series that its rows were derived from."""
        return {series: unit for derivation in self.derivations for series, unit in derivation.units.items()}

    def limits(self, location: int) -> dict[str, Any]:
        """Returns the lowest and highest accepted value of each input, target and forecast of `location`."""
        of_targets = {f"target {name}": bounds for name, bounds in self.derivations[location].limits.items()}
        return {**self.manifest["locations"][location]["limits"], **of_targets}


async def read_parent(spec: TrainingSpec, lake: Lake) -> Parent:
    """Reads the set in `lake` that `spec` extends; moves of its files that were interrupted are finished first.

    Raises `TrainingError` if there is none, if it was made from a spec that differs in more than `MAY_CHANGE`, or by
    other versions, or before sets could be extended.
    """
    path = f"{set_folder(spec)}/sequences.safetensors"
    if not await lake.store.exists(path):
        raise TrainingError(
            spec.name,
            f"there is no set to extend in {lake.uri}/{set_folder(spec)}",
            "Prepare it first, without --extend",
        )
    arrays, metadata = tensors.decode_tensors(await lake.store.read(path))
    manifest = json.loads(metadata.get("manifest", "{}"))
    _check_versions(spec, manifest, metadata)
    await finish_interrupted(lake, set_folder(spec), manifest["fingerprint"])
    if changed := sorted({*list_changed_keys(manifest, spec)} - MAY_CHANGE):
        raise TrainingError(
            spec.name,
            f"cannot be extended by another spec ({', '.join(changed)} differ): its earlier hours would be others too",
            "Extend it with its own spec, or prepare it anew: gridtide prepare SPEC --replace",
        )
    derivations = tuple(Derivation(**part) for part in json.loads(metadata[DERIVATION]))
    return Parent(manifest, arrays, derivations, fix_splits(load_spec(manifest["spec"]), manifest))


def _check_versions(spec: TrainingSpec, manifest: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Raises `TrainingError` unless the set of `manifest` was made by the present versions."""
    fix = "Prepare it anew once, without --extend; sets that are prepared now can be extended"
    if not manifest or DERIVATION not in metadata:
        raise TrainingError(
            spec.name, "was made by an older version of Gridtide, which did not store how its rows were derived", fix
        )
    present = {name: __version__ if name == "gridtide" else version(name) for name in manifest["versions"]}
    changed = [
        f"{name} {old} then, {present[name]} now" for name, old in manifest["versions"].items() if old != present[name]
    ]
    if changed:
        raise TrainingError(spec.name, f"its hours were made by other versions ({', '.join(changed)})", fix)


def fix_later_splits(spec: TrainingSpec, parent: Parent) -> TrainingSpec:
    """Returns `spec` with the splits of the set that it extends, or its own if it changes them; hours after those of
    `parent` belong to test.

    Raises `TrainingError` if the train hours would end before those on which scales and columns were fitted, or if the
    cleaning was fitted on train hours and these change.
    """
    changed = list_changed_keys(parent.manifest, spec)
    rules = spec.splits if "splits" in changed else parent.spec.splits
    if rules.train_end is None or rules.validation_end is None:
        raise TrainingError(
            spec.name,
            "its splits are given as other shares than those of the set, and shares would move with every extension",
            "Leave the splits as they were, or give train_end and validation_end",
        )
    fitted_end = parent.spec.splits.train_end
    if fitted_end and (rules.train_end < fitted_end or (spec.cleaning.is_fitted and rules.train_end != fitted_end)):
        raise TrainingError(
            spec.name,
            f"its scales, columns and rules were fitted on hours up to {fitted_end:%Y-%m-%dT%H:%MZ}, so that training "
            f"cannot end at {rules.train_end:%Y-%m-%dT%H:%MZ}",
            "Choose a later train_end, or prepare it anew: gridtide prepare SPEC --replace",
        )
    test = rules.test or (1 - rules.validation) / 2  # any share but 0: moments are given
    return spec.model_copy(update={"splits": rules.model_copy(update={"test": test})})


def list_removed_files(parent: Parent, files: Iterable[Input]) -> list[Input]:
    """Returns the files that `parent` was made from and that are not among `files`, as superseded ones."""
    present = {(file.path, file.content_hash) for file in files}
    earlier = (Input(**file) for file in parent.manifest["inputs"])
    return [file for file in earlier if (file.path, file.content_hash) not in present]


def list_added_files(parent: Parent, files: Iterable[Input]) -> list[Input]:
    """Returns those of `files` that `parent` was not made from."""
    earlier = {(file["path"], file["content_hash"]) for file in parent.manifest["inputs"]}
    return [file for file in files if (file.path, file.content_hash) not in earlier]
