"""Extends a stored set by the hours that the lake has after it.

    set ─► plan ─► gather ─► derive the new steps, and the last old ones ─► join ─► write

The old steps stay as they are, to the bit. Those that the lake's newer files may change are derived too, only to tell
how many differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gridtide import curated
from gridtide.curated import Input
from gridtide.entries.entry import Config, Entry
from gridtide.entries.shifts import FURTHEST_MOVE
from gridtide.errors import TrainingError
from gridtide.lake.names import parse_name
from gridtide.periods import HOUR, Period
from gridtide.quality.screening import CAUSAL_LIMITS
from gridtide.training.extending.joining import derive_steps, find_different, join_set
from gridtide.training.extending.parent import (
    Parent,
    fix_later_splits,
    list_added_files,
    list_removed_files,
    read_parent,
)
from gridtide.training.manifest import check_writable, write_set
from gridtide.training.reading import (
    ReadingPlan,
    find_history_length,
    find_lead_length,
    find_steps_of_targets,
    gather_series,
)
from gridtide.training.realtime import find_first_row, select_named_entries
from gridtide.training.spec import TrainingSpec

if TYPE_CHECKING:
    from gridtide.lake import Lake


@dataclass(frozen=True)
class ExtensionPlan:
    """What is read to extend a set: `reading`, whose rows are the new steps; `compared`: the last old steps, which are
    derived anew only to tell what differs; `files`: all files that the extended set is made from."""

    reading: ReadingPlan
    compared: Period
    files: tuple[Input, ...]


async def extend_set(
    spec: TrainingSpec, config: Config, lake: Lake, out: Lake, inputs: Sequence[Input] | None = None
) -> dict[str, Any]:
    """Adds to the set of `spec` in `out` the steps after it that `lake` has, up to the end of `spec` if it has one, and
    returns the summary that `report_set` describes.

    Splits, scales, columns and roles are those of the set; new steps belong to test. With `inputs`, only these files
    are read. Raises `TrainingError` as `read_parent` and `fix_later_splits` do, and if there is no step to add.
    """
    parent = await read_parent(spec, out)
    fixed = fix_later_splits(spec, parent)
    plan = await _plan_extension(fixed, parent, config, lake, inputs)
    await check_writable(out, spec)
    hourly = (await gather_series(plan.reading, lake)).hourly
    compared, added = (derive_steps(parent, fixed, hourly, period) for period in (plan.compared, plan.reading.rows))
    extends = {
        "fingerprint": parent.manifest["fingerprint"],
        "period": parent.manifest["period"],
        "inputs": parent.manifest["inputs"],
        "ancestors": _list_ancestors(parent.manifest),
        "spec": spec.model_dump(mode="json"),
        "added": {
            "period": [moment.isoformat() for moment in (added.period.start, added.period.end)],
            "inputs": [asdict(file) for file in list_added_files(parent, plan.files)],
        },
        "different": find_different(parent, compared),
    }
    return await write_set(join_set(parent, fixed, compared, added, extends), plan.files, out)


def _list_ancestors(manifest: Mapping[str, Any]) -> list[str]:
    """Returns the fingerprints of the sets that the set of `manifest` extends, the first one first."""
    extends = manifest.get("extends")
    return [*extends["ancestors"], extends["fingerprint"]] if extends else []


async def _plan_extension(
    spec: TrainingSpec, parent: Parent, config: Config, lake: Lake, inputs: Sequence[Input] | None
) -> ExtensionPlan:
    """Plans what to read: the new steps, and those old ones that files which the set does not know may change."""
    entries = select_named_entries(spec, config, parent.units())
    if inputs is not None:
        await curated.verify(lake, inputs)
    rows = await _find_new_steps(spec, parent, entries, lake, inputs)
    end = rows.end + find_lead_length(spec)
    before = parent.period.start - find_history_length(spec, entries)

    async def list_files(period: Period) -> list[Input]:
        return await curated.list_inputs(lake, entries.values(), period, spec.as_of) if inputs is None else list(inputs)

    present = await list_files(Period(before, end))
    changed_files = [*list_added_files(parent, present), *list_removed_files(parent, present)]
    changed_from = _find_changed_from(changed_files, entries, parent)
    reach = max(*spec.leads, 0) * spec.resolution
    compared = Period(_find_compared(spec, parent, changed_from - reach), rows.start)
    first = (
        parent.period.start if spec.cleaning.is_fitted else find_first_row(spec, parent.period.start, compared.start)
    )
    hours = Period(first - find_history_length(spec, entries), end)
    files = await list_files(hours)
    reading = ReadingPlan(spec, entries, rows, hours, tuple(files), parent.units())
    earlier = [Input(**file) for file in parent.manifest["inputs"]]
    return ExtensionPlan(reading, compared, (*earlier, *list_added_files(parent, files)))


async def _find_new_steps(
    spec: TrainingSpec,
    parent: Parent,
    entries: Mapping[str, Entry],
    lake: Lake,
    inputs: Sequence[Input] | None,
) -> Period:
    """Returns the steps after those of `parent` up to the end of `spec`, or else of the values of its targets; raises
    `TrainingError` if there are none."""
    begin = parent.period.end
    end = spec.end
    if end is None:
        _, end = await find_steps_of_targets(spec.model_copy(update={"start": begin}), entries, lake, inputs)
    if end <= begin:
        raise TrainingError(
            spec.name,
            f"the set ends at {begin:%Y-%m-%dT%H:%MZ}, and there are no steps after it up to {end:%Y-%m-%dT%H:%MZ}",
            "Ingest or backfill newer hours first, or give the spec a later end",
        )
    return Period(begin, end)


def _find_changed_from(changed: Iterable[Input], entries: Mapping[str, Entry], parent: Parent) -> datetime:
    """Returns the first hour that the files `changed`, added or removed, may change, at the latest the end of
    `parent`."""
    earliest = parent.period.end
    for file in changed:
        name = parse_name(file.path.rpartition("/")[2])
        if name is None or name.period is None:
            return parent.period.start
        earliest = min(
            earliest,
            name.period.start - (FURTHEST_MOVE if any(entry.shifts for entry in entries.values()) else 0 * HOUR),
        )
    return earliest


def _find_compared(spec: TrainingSpec, parent: Parent, changed_from: datetime) -> datetime:
    """Returns the first of the old steps that are compared: that at `changed_from`, and at the latest the first one
    that new steps may change, because later values tell that a run of equal ones is wrong, or whose windows are new."""
    if spec.cleaning.is_fitted:
        return parent.period.start
    run_length = CAUSAL_LIMITS.repeat if spec.cleaning.is_screened else spec.cleaning.repeat
    steps = -((changed_from - parent.period.end) // spec.resolution)
    steps = max(steps, -(-run_length * HOUR // spec.resolution), spec.horizon, 1)
    return max(parent.period.start, parent.period.end - steps * spec.resolution)
