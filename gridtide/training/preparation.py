"""Prepares a training set: `features/<name>/sequences.safetensors` and `manifest.json`, in the lake or elsewhere.

spec ─► plan ─► gather ─► derive ─► assemble ─► write
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridtide.curated import Input
from gridtide.entries.entry import Config
from gridtide.errors import TrainingError
from gridtide.training.extending.extension import extend_set
from gridtide.training.features.bases import Base, build_bases
from gridtide.training.manifest import check_writable, refuse_another_spec, write_set
from gridtide.training.reading import ReadingPlan, gather_series, plan_reading
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.training_set import assemble

if TYPE_CHECKING:
    from gridtide.lake import Lake


BaseMaker = Callable[[ReadingPlan, "Lake"], Awaitable[list[Base]]]
"""Gathers the series of a plan from a lake and derives the bases of its locations."""


async def make_bases(plan: ReadingPlan, lake: Lake) -> list[Base]:
    """Makes all bases in this process, one after the other."""
    gathered = await gather_series(plan, lake)
    return build_bases(plan.spec, gathered.hourly, plan.rows, gathered.stored)


async def prepare(
    spec: TrainingSpec | Mapping[str, Any] | str | Path,
    config: Config,
    lake: Lake,
    *,
    out: Lake | None = None,
    inputs: Sequence[Input | Mapping[str, str]] | None = None,
    replace: bool = False,
    extend: bool = False,
    make: BaseMaker = make_bases,
) -> dict[str, Any]:
    """Prepares the training set of `spec` from the files of `config`'s entries in `lake`, and writes it to `out`.

    `out` is `lake` by default; if it is another lake, `lake` is only read.

    Beside the sequences it writes a manifest, a page of pictures, and the formats in `export`. Returns the summary
    that `report_set` describes. With `inputs`, as listed in an earlier manifest, exactly those files are read: the same
    inputs give the same bytes.

    With `extend`, the set of this spec in `out` gets the hours after its last one, as `extend_set` describes; the
    others stay as they are.

    Raises `TrainingError` if the lake does not hold what the spec asks for, and if `out` has a set of the same name
    with another spec, unless it is to be replaced (`replace`), and for `inputs` that are not those of a manifest;
    raises `StorageError`, before the series are read, if `out` cannot be written.
    """
    loaded, target = load_spec(spec), out or lake
    pinned = _pin_files(loaded.name, inputs) if inputs is not None else None
    if extend:
        return await extend_set(loaded, config, lake, target, pinned)
    if not replace:
        await refuse_another_spec(loaded, target)
    plan = await plan_reading(loaded, config, lake, pinned)
    await check_writable(target, loaded)
    training_set = assemble(plan.spec, plan.rows, await make(plan, lake))
    return await write_set(training_set, plan.files, target)


def _pin_files(name: str, inputs: Sequence[Input | Mapping[str, str]]) -> list[Input]:
    """Returns the files `inputs` of a manifest; raises `TrainingError` for what is none, for the set `name`."""
    keys = [field.name for field in fields(Input)]
    for file in inputs:
        if not isinstance(file, Input) and not (isinstance(file, Mapping) and file.keys() == set(keys)):
            raise TrainingError(
                name,
                f"inputs: {file!r} is not a file as a manifest lists it",
                f'Give the list "inputs" of a manifest, whose items have {", ".join(keys)}',
            )
    return [file if isinstance(file, Input) else Input(**file) for file in inputs]
