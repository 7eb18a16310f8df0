"""From a training spec to a training set in the lake: `features/<name>/sequences.safetensors` and `manifest.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridtide import curated
from gridtide.curated import Input
from gridtide.entries.entry import Config, Entry
from gridtide.periods import Period
from gridtide.training.manifest import OPTIONAL, build_files, describe_set, report_set
from gridtide.training.reach import gather, reading_period, resolve_period, select_entries
from gridtide.training.series.bases import Base, build_bases
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.training_set import assemble
from gridtide.training.windows import splits

if TYPE_CHECKING:
    from gridtide.lake import Lake


Maker = Callable[[TrainingSpec, Mapping[str, Entry], "Lake", Sequence[Input], Period], Awaitable[list[Base]]]
"""Makes the bases of a spec over a period, of the series in files of entries (by name) in a lake."""


async def make_bases(
    wanted: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, pinned: Sequence[Input], period: Period
) -> list[Base]:
    """Make all bases here, one after the other."""
    grid = await gather(wanted, entries, lake, pinned, reading_period(wanted, entries, period))
    return build_bases(wanted, grid.finish(), period, grid.seen)


async def prepare(
    wanted: TrainingSpec | Mapping[str, Any] | str | Path,
    config: Config,
    lake: Lake,
    *,
    inputs: Sequence[Input] | None = None,
    make: Maker = make_bases,
) -> dict[str, Any]:
    """Make the training set of spec `wanted` from the files of `config`'s entries, and write it to `lake`.

    Beside the sequences go a manifest, a page of pictures where matplotlib is installed, and what else
    `export` asks for. Returns what `report_set` describes. With `inputs` (of an earlier manifest) exactly
    those files are read: same inputs, same bytes. Raises `TrainingError` where the spec asks for what
    the lake does not hold.
    """
    made = load_spec(wanted)
    entries = {entry.name: entry for entry in select_entries(made, config)}
    period = await resolve_period(made, entries, lake, inputs)
    splits.find_bounds(made, period)  # what it refuses need not be read
    pinned = inputs
    if pinned is None:
        pinned = await curated.inputs(lake, entries.values(), reading_period(made, entries, period), made.as_of)
    else:
        await curated.verify(lake, pinned)
    training_set = assemble(made, period, await make(made, entries, lake, pinned, period))
    described = describe_set(training_set, pinned)
    written = build_files(training_set, described)
    folder = f"features/{made.name}"
    for name in OPTIONAL - written.keys():  # those of an earlier set of this name are none of this one
        await lake.remove([f"{folder}/{name}"])
    for name, body in written.items():
        await lake.put_parts(f"{folder}/{name}", body)
    return report_set(training_set, described, folder, {name: sum(map(len, body)) for name, body in written.items()})
