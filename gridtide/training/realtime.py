"""The newest hours of the lake in the columns and scales of a training set, as input for predictions.

manifest ─► plan ─► gather ─► derive ─► the set's columns, by name ─► scale
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from gridtide import curated
from gridtide.entries.aliases import keep_names
from gridtide.entries.entry import Config, Entry
from gridtide.errors import TrainingError
from gridtide.observations.array_types import Mask
from gridtide.periods import DAY, HOUR, Period, floor, microseconds
from gridtide.training import training_set
from gridtide.training.features.bases import Base, derive_bases
from gridtide.training.future_set import build_next_future
from gridtide.training.reading import (
    GatheredSeries,
    ReadingPlan,
    find_history_length,
    find_lead_length,
    gather_series,
    select_entries,
)
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import LocationSeries, SeriesKind, parse_key, parse_shifts
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.stored.scales import find_scale
from gridtide.variables import matches_any

if TYPE_CHECKING:
    from gridtide.lake import Lake


logger = logging.getLogger("gridtide.training")


@dataclass(frozen=True)
class Context:
    """The last L hours of R locations with F inputs: `values` (R, L, F) float32, scaled, 0 where missing; `mask` (R, L,
    F) where observed; `time` (L,) int64, the start of each hour in seconds since 1970.

    `future` (R, H, G) float32: the covariates of the hours to predict, NaN where not known; None if the set has none,
    or if the hours are those of the set itself.
    """

    values: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    time: npt.NDArray[np.int64]
    future: npt.NDArray[np.float32] | None = None


def take_last_hours(manifest: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], hours: int) -> Context:
    """Returns the last `hours` hours of the training set itself; only these are read from its memory-mapped `tensors`.

    Raises `TrainingError` if the set has fewer hours.
    """
    time = tensors["time"]
    steps = len(time)
    seconds = int(time[1] - time[0]) if steps > 1 else 3600
    count, available = hours * 3600 // seconds, steps * seconds // 3600
    if not 0 < count <= steps:
        raise TrainingError(
            manifest["spec"]["name"], f"has {available} hours, not {hours}", f"Ask for 1 to {available}"
        )
    values, mask = (np.ascontiguousarray(tensors[name][:, steps - count :]) for name in ("values", "mask"))
    return Context(values, mask, np.array(time[steps - count :]))


def _count_steps(spec: TrainingSpec, hours: int) -> int:
    """Returns the steps of `spec` in the last `hours`; raises `TrainingError` if it is less than one."""
    count = hours * HOUR // spec.resolution
    if count < 1:
        least = "one hour" if spec.resolution <= HOUR else f"{spec.resolution // HOUR} hours"
        raise TrainingError(spec.name, f"lookback_hours is {hours}", f"Ask for {least} at least")
    return count


async def gather_newest_hours(
    manifest: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    config: Config,
    lake: Lake,
    hours: int,
    until: datetime | None = None,
) -> Context:
    """Returns the `hours` hours before `until` (default: the last complete ones) from the newest files of `lake`.

    `manifest` and `tensors` are those of the training set that defines the columns and scales. The numbers are the same
    as in that set, had it been prepared up to `until` with its present statistics. Columns are matched by the names of
    their series: a new series that the spec matches is left out with a warning. A column without any value in the lake
    is missing throughout.

    Raises `TrainingError` if the lake has none of the set's series, for less than one hour, for a moment without a time
    zone, for hours before the set's first if its cleaning was fitted, and for a series in another unit.
    """
    spec = _fitted_spec(manifest)
    if until and until.tzinfo is None:
        raise TrainingError(spec.name, f"until is {until}, without a time zone", "Give it one, such as UTC")
    step, last_end = spec.resolution, floor((until or datetime.now(UTC)).astimezone(UTC), spec.resolution)
    count = _count_steps(spec, hours)
    plan = await _plan_newest(spec, manifest, config, lake, Period(last_end - count * step, last_end))
    gathered = await gather_series(plan, lake)
    _check_series(manifest, plan, gathered)
    inputs = [location["columns"][: tensors["quality"].shape[2]] for location in manifest["locations"]]
    located = [LocationSeries(_numbers_by_kind(columns, gathered.hourly), {}) for columns in inputs]
    shifts = parse_shifts((column["key"] for column in inputs[0]), step)
    limits = [location.get("limits", {}) for location in manifest["locations"]]  # sets of 0.1.0 have none
    bases = derive_bases(spec, gathered.hourly, plan.rows, located, shifts, limits)
    end_row = (last_end - plan.rows.start) // step
    columns_by_location = [
        take_named_columns(base, [column["name"] for column in location["columns"]], slice(end_row - count, end_row))
        for base, location in zip(bases, manifest["locations"], strict=True)
    ]
    scales = [find_scale(manifest, tensors, "inputs", number) for number in range(len(spec.locations))]
    return Context(
        training_set.scale_bases([values for values, _ in columns_by_location], scales),
        np.stack([mask for _, mask in columns_by_location]),
        microseconds(last_end) // 1_000_000 - int(step.total_seconds()) * np.arange(count, 0, -1),
        _build_future(spec, manifest, tensors, gathered.hourly, last_end) if spec.has_future else None,
    )


def _build_future(
    spec: TrainingSpec,
    manifest: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    hourly: Hourly,
    t0: datetime,
) -> npt.NDArray[np.float32]:
    """Returns the covariates of the hours that are predicted at `t0`, (R, H, G), in the columns and scales of the
    set."""
    return np.stack(
        [
            build_next_future(
                spec,
                place,
                manifest["locations"][number]["future"],
                find_scale(manifest, tensors, "future", number),
                manifest["locations"][number].get("limits", {}),
                hourly,
                t0,
            )
            for number, place in enumerate(spec.locations)
        ]
    )


async def _plan_newest(
    spec: TrainingSpec, manifest: Mapping[str, Any], config: Config, lake: Lake, asked_for: Period
) -> ReadingPlan:
    """Plans the reading for the hours `asked_for`: from early enough that nothing before matters, or, if the set's
    cleaning was fitted, from the set's first hour."""
    set_start = datetime.fromisoformat(manifest["period"][0])
    end = asked_for.end
    rows_start, rows_end = find_first_row(spec, set_start, asked_for.start), end
    if spec.cleaning.is_fitted:
        rows_start, rows_end = set_start, max(end, spec.splits.train_end or end)  # the hours that it was fitted on
        if asked_for.start < set_start:
            raise TrainingError(
                spec.name,
                f"its cleaning was fitted on hours from {set_start:%Y-%m-%dT%H:%MZ} on, not before",
                f"Ask for at most {max((end - set_start) // HOUR, 0)} hours before {end:%Y-%m-%dT%H:%MZ}",
            )
    columns = [column for location in manifest["locations"] for column in location["columns"] if column["series"]]
    units = {column["series"]: column["unit"] for column in reversed(columns)}  # the first is the series itself
    for column in (column for location in manifest["locations"] for column in location.get("future", [])):
        if column["series"] and not column["name"].endswith(" age"):
            units.setdefault(column["series"], column["unit"])
    entries = select_named_entries(spec, config, units)
    reading = Period(
        rows_start - find_history_length(spec, entries), rows_end + find_lead_length(spec, with_targets=True)
    )
    files = await curated.list_inputs(lake, entries.values(), reading)
    return ReadingPlan(spec, entries, Period(rows_start, rows_end), reading, tuple(files), units)


def select_named_entries(spec: TrainingSpec, config: Config, series_names: Iterable[str]) -> dict[str, Entry]:
    """Returns, by name, the entries whose files may contain the series of `spec`, under the names that a set knows them
    by; raises as `select_entries` does."""
    return {
        entry.name: msgspec.structs.replace(entry, aliases=keep_names(entry.aliases, series_names))
        for entry in select_entries(spec, config)
    }


def _check_series(manifest: Mapping[str, Any], plan: ReadingPlan, gathered: GatheredSeries) -> None:
    """Warns of series in the lake that match the set's spec but are not in the set; raises `TrainingError` if the lake
    has none of the set's series."""
    if not plan.expected.keys() & gathered.stored:
        names = ", ".join(sorted(gathered.stored)[:5])
        raise TrainingError(
            plan.spec.name,
            f"the lake has none of its {len(plan.expected)} input series over {plan.hours}",
            f"In these hours it has {names}" if names else "Ingest or backfill them",
        )
    dropped = tuple(manifest["dropped"])
    unused_series = [
        name
        for name in sorted(gathered.stored - plan.expected.keys())
        if matches_any(name, plan.patterns) and not any(column.startswith(name) for column in dropped)
    ]
    if unused_series:
        logger.warning(
            "%s: left out %s: the spec matches them, but the set has no columns of them; prepare it anew to use them",
            plan.spec.name,
            ", ".join(unused_series),
        )


def _numbers_by_kind(columns: Sequence[Mapping[str, Any]], hourly: Hourly) -> dict[SeriesKind, int]:
    """Returns, by kind, the number in `hourly` of each series that the input `columns` of a location are made of."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    return {
        parse_key(column["key"], hourly.step)[0]: numbers[column["series"]] for column in columns if column["series"]
    }


def _fitted_spec(manifest: Mapping[str, Any]) -> TrainingSpec:
    """Returns the set's spec with its splits fixed, so that what was fitted on train hours is fitted on the same hours.

    Targets are removed, because the values to predict do not exist yet.
    """
    spec = fix_splits(load_spec(manifest["spec"]), manifest)
    locations = tuple(location.model_copy(update={"targets": ()}) for location in spec.locations)
    return spec.model_copy(update={"locations": locations})


def fix_splits(spec: TrainingSpec, manifest: Mapping[str, Any]) -> TrainingSpec:
    """Returns `spec` with the moments at which the splits of the set of `manifest` end."""
    start, bounds = datetime.fromisoformat(manifest["period"][0]), manifest["bounds"]
    moments = {name: start + bounds[name] * spec.resolution for name in ("train_end", "validation_end")}
    return spec.model_copy(update={"splits": spec.splits.model_copy(update=moments)})


def find_first_row(spec: TrainingSpec, set_start: datetime, first: datetime) -> datetime:
    """Returns the first row needed for hours from `first` on: early enough that nothing before it matters, and a whole
    number of days from the set's first row."""
    cleaning = spec.cleaning
    longest_run = 0 if cleaning.is_screened else max(cleaning.stale, cleaning.repeat)
    earliest = first - (longest_run + cleaning.fill_limit) * HOUR
    return set_start + (earliest - set_start) // DAY * DAY


def take_named_columns(base: Base, names: Sequence[str], rows: slice) -> tuple[npt.NDArray[np.float32], Mask]:
    """Returns the `rows` of `base` in the columns `names`: values, NaN where missing, and mask (rows, F)."""
    numbers_by_name = {feature.name: number for number, feature in enumerate(base.columns)}
    values = np.full((rows.stop - rows.start, len(names)), np.nan, base.values.dtype)
    mask = np.zeros(values.shape, bool)
    present = [number for number, name in enumerate(names) if name in numbers_by_name and name != "absent"]
    column_numbers = [numbers_by_name[names[number]] for number in present]
    values[:, present], mask[:, present] = base.values[rows, column_numbers], base.mask[rows, column_numbers]
    return values, mask
