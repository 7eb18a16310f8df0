"""What a model is asked with now: the newest hours of the lake, in the columns and scales of a training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridtide import curated
from gridtide.entries.entry import Config
from gridtide.errors import TrainingError
from gridtide.observations.times import microseconds
from gridtide.periods import HOUR, Period
from gridtide.training import reach, training_set
from gridtide.training.series.bases import Base, build_bases, parse_shifts
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.windows.scaling import Scale

if TYPE_CHECKING:
    from gridtide.lake import Lake


@dataclass(frozen=True)
class Context:
    """The last L hours of R locations, F inputs: `values` (R, L, F) float32, scaled, 0 where missing;
    `mask` (R, L, F) what was observed; `time` (L,) int64 when each hour begins, in seconds since 1970."""

    values: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    time: npt.NDArray[np.int64]


def take_last_hours(manifest: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], hours: int) -> Context:
    """The last `hours` hours of a training set itself; only they are read of its mapped `tensors`.

    Raises `TrainingError` where it has not as many.
    """
    steps = len(tensors["time"])
    if not 0 < hours <= steps:
        raise TrainingError(manifest["spec"]["name"], f"has {steps} hours, not {hours}", f"Ask for 1 to {steps}")
    values, mask = (np.ascontiguousarray(tensors[name][:, steps - hours :]) for name in ("values", "mask"))
    return Context(values, mask, np.array(tensors["time"][steps - hours :]))


async def gather_newest_hours(
    manifest: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    config: Config,
    lake: Lake,
    hours: int,
    until: datetime | None = None,
) -> Context:
    """The `hours` hours before `until` (by default the last that are over) from the newest files of `lake`.

    `manifest` and `tensors` are those of the training set whose columns and scales they get: the numbers
    are those that the set would hold, had it been prepared up to `until` with the statistics it has.
    A column of which nothing is in the lake is missing throughout. Raises `TrainingError` where that is so
    of all its series, for no hours, for a moment without a time zone, for hours before the set's where its
    cleaning was fitted, and as `build_bases` does.
    """
    wanted = _pinned(manifest)
    if hours < 1:
        raise TrainingError(wanted.name, f"lookback_hours is {hours}", "Ask for one hour at least")
    if until and until.tzinfo is None:
        raise TrainingError(wanted.name, f"until is {until}, without a time zone", "Give it one, such as UTC")
    end = (until or datetime.now(UTC)).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    set_start = datetime.fromisoformat(manifest["period"][0])
    first, last = _first(wanted, set_start, end - hours * HOUR), end
    if wanted.cleaning.is_fitted:
        first, last = set_start, max(end, wanted.splits.train_end or end)  # the hours it was fitted on
        if end - hours * HOUR < first:
            raise TrainingError(
                wanted.name,
                f"its cleaning was fitted on hours from {first:%Y-%m-%dT%H:%MZ} on, not before",
                f"Ask for at most {max((end - first) // HOUR, 0)} hours before {end:%Y-%m-%dT%H:%MZ}",
            )
    entries = {entry.name: entry for entry in reach.select_entries(wanted, config)}
    reading = Period(first - reach.history_length(wanted, entries), last + reach.lead_length(wanted))
    pinned = await curated.inputs(lake, entries.values(), reading)
    grid = await reach.gather(wanted, entries, lake, pinned, reading)
    columns = manifest["locations"][0]["columns"][: tensors["quality"].shape[2]]
    _expect(grid, manifest, reading)
    made = build_bases(
        wanted, grid.finish(), Period(first, last), grid.seen, parse_shifts(column["key"] for column in columns)
    )
    stop = (end - first) // HOUR
    found = [
        _aligned(base, [column["name"] for column in location["columns"]], slice(stop - hours, stop))
        for base, location in zip(made, manifest["locations"], strict=True)
    ]
    scales = [Scale(*pair) for pair in zip(tensors["mean"], tensors["deviation"], strict=True)]
    seconds = microseconds(end) // 1_000_000 - 3600 * np.arange(hours, 0, -1)
    return Context(
        training_set.scale_bases([values for values, _ in found], scales),
        np.stack([mask for _, mask in found]),
        seconds,
    )


def _expect(grid: HourlyGrid, manifest: Mapping[str, Any], reading: Period) -> None:
    """Have `grid` count in all series that the set was made of; raises `TrainingError` where none of them came."""
    columns = [column for location in manifest["locations"] for column in location["columns"] if column["series"]]
    units = {column["series"]: column["unit"] for column in reversed(columns)}  # the first is the series itself
    if not units.keys() & grid.seen:
        there = f"In these hours it has {', '.join(sorted(grid.seen)[:5])}" if grid.seen else "Ingest or backfill them"
        raise TrainingError(
            manifest["spec"]["name"], f"the lake has none of its {len(units)} input series over {reading}", there
        )
    for series, unit in units.items():
        grid.expect(series, unit)


def _pinned(manifest: Mapping[str, Any]) -> TrainingSpec:
    """The set's spec, its splits where they were: what is fitted on train hours is fitted on the same.

    Without targets: what is still to be predicted needs not be there.
    """
    wanted = load_spec(manifest["spec"])
    start, bounds = datetime.fromisoformat(manifest["period"][0]), manifest["bounds"]
    moments = {name: start + bounds[name] * HOUR for name in ("train_end", "validation_end")}
    places = tuple(place.model_copy(update={"targets": ()}) for place in wanted.locations)
    return wanted.model_copy(update={"splits": wanted.splits.model_copy(update=moments), "locations": places})


def _first(wanted: TrainingSpec, set_start: datetime, wanted_from: datetime) -> datetime:
    """The first hour to make, so early that nothing before it matters, and whole days from the set's own."""
    rules = wanted.cleaning
    back = wanted_from - (rules.stale + rules.fill_limit) * HOUR
    return set_start + (back - set_start) // timedelta(days=1) * timedelta(days=1)


def _aligned(base: Base, names: list[str], rows: slice) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Those `rows` of `base` in the columns `names`: values, NaN where missing, and mask (rows, F)."""
    have = {feature.name: number for number, feature in enumerate(base.columns)}
    values = np.full((rows.stop - rows.start, len(names)), np.nan, base.values.dtype)
    mask = np.zeros(values.shape, bool)
    there = [number for number, name in enumerate(names) if name in have and name != "absent"]
    chosen = [have[names[number]] for number in there]
    values[:, there], mask[:, there] = base.values[rows, chosen], base.mask[rows, chosen]
    return values, mask
