"""From a training spec to a training set in the lake: `features/<name>/sequences.safetensors` and `manifest.json`."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from gridtide import __version__, curated, pictures, scaling, sequences, spec, splits, tensors
from gridtide.bases import Base, alike, bases
from gridtide.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.config import Config, Entry
from gridtide.curated import Input
from gridtide.errors import TrainingError
from gridtide.hourly import HOUR, Grid, Numbers, floats, microseconds, times
from gridtide.periods import EPOCH, Period
from gridtide.spec import TrainingSpec
from gridtide.training_set import TrainingSet

if TYPE_CHECKING:
    from gridtide.lake import Lake

logger = logging.getLogger("gridtide.training")

A = TypeVar("A", bound=np.generic)
Cells = tuple[int, slice]
"""Rows of one of several bases."""

DAY = timedelta(days=1)

HISTORY, PUNCTUAL = 15 * DAY, 8 * DAY
"""How far before the period values are read at least, for cleaning and for inputs that become known so many days after
they begin; for later ones further."""

BLOCK = 4096
"""Rows that are scaled at a time."""

OPTIONAL = {"sequences.npz", "report.html"}
"""Files that a spec may leave out."""

FORMAT = 1
"""Version of the files written here."""

Maker = Callable[[TrainingSpec, Mapping[str, Entry], "Lake", Sequence[Input], Period], Awaitable[list[Base]]]
"""Makes the bases of a spec over a period, of the series in files of entries (by name) in a lake."""


async def make_bases(
    wanted: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, pinned: Sequence[Input], period: Period
) -> list[Base]:
    """Make all bases here, one after the other."""
    grid = await gather(wanted, entries, lake, pinned, around(wanted, entries, period))
    return bases(wanted, grid.finish(), period, grid.seen)


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
    `export` asks for. Returns what `report` describes. With `inputs` (of an earlier manifest) exactly
    those files are read: same inputs, same bytes. Raises `TrainingError` where the spec asks for what
    the lake does not hold.
    """
    made = spec.load(wanted)
    entries = {entry.name: entry for entry in sources_of(made, config)}
    period = await resolve_period(made, entries, lake, inputs)
    splits.bounds(made, period)  # what it refuses need not be read
    pinned = inputs
    if pinned is None:
        pinned = await curated.inputs(lake, entries.values(), around(made, entries, period), made.as_of)
    else:
        await curated.verify(lake, pinned)
    training_set = assemble(made, period, await make(made, entries, lake, pinned, period))
    described = manifest(training_set, pinned)
    written = files(training_set, described)
    folder = f"features/{made.name}"
    for name in OPTIONAL - written.keys():  # those of an earlier set of this name are none of this one
        await lake.remove([f"{folder}/{name}"])
    for name, body in written.items():
        await lake.put_parts(f"{folder}/{name}", body)
    return report(training_set, described, folder, {name: sum(map(len, body)) for name, body in written.items()})


def around(wanted: TrainingSpec, entries: Mapping[str, Entry], period: Period) -> Period:
    """The hours of which values are read for the rows `period` of `wanted`, from files of `entries`."""
    return Period(period.start - history(wanted, entries), period.end + ahead(wanted))


def history(wanted: TrainingSpec, entries: Mapping[str, Entry]) -> timedelta:
    """How far before its first row values of `entries` are read for `wanted`."""
    late = max((one.available.lag + one.resolution for one in entries.values() if one.available.lag), default=PUNCTUAL)
    back = timedelta(hours=max((*wanted.features.lags, *wanted.features.rolling), default=0))
    return HISTORY + max(-((PUNCTUAL - late) // DAY), 0) * DAY + back  # whole days: rows are hours


def ahead(wanted: TrainingSpec) -> timedelta:
    """How far after its last row values are read for `wanted`: what is known ahead."""
    return timedelta(hours=max(wanted.leads, default=0))


async def gather(
    wanted: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, pinned: Sequence[Input], reading: Period
) -> Grid:
    """The series of `wanted` in the files `pinned` of `entries` (by name), over the hours `reading`."""
    patterns = [p for location in wanted.locations for p in (*location.inputs, *location.targets)]
    grid = Grid(reading, lambda name: any(fnmatchcase(name, pattern) for pattern in patterns))
    async for name, table in curated.tables(lake, entries.values(), pinned, reading, places(patterns)):
        grid.add(table, entries[name].available)
    return grid


def places(patterns: Iterable[str]) -> set[str] | None:
    """The locations that series patterns name, None where one may match any.

    >>> sorted(places(["eia/ISNE/*", "open_meteo/boston/temperature_2m"]))
    ['ISNE', 'boston']
    """
    found = set()
    for pattern in patterns:
        place, _, _ = pattern.rpartition("/")
        if not place or set(place) & set("*?["):
            return None
        found.add(place.partition("/")[2])
    return found


def files(made: TrainingSet, described: Mapping[str, Any]) -> dict[str, list[bytes | memoryview]]:
    """What is written of `made` with its manifest `described`, by name, in parts; the sequences come first."""
    arrays = as_tensors(made)
    found = {"sequences.safetensors": tensors.encode(arrays, {"manifest": to_json(described)})}
    if "npz" in made.spec.export:
        found["sequences.npz"] = [_npz(arrays)]
    if made.spec.pictures and find_spec("matplotlib"):
        found["report.html"] = [pictures.page(made, described).encode()]
    elif made.spec.pictures:
        logger.warning("%s: no pictures are drawn; install gridtide[report] for them", made.spec.name)
    return found | {"manifest.json": [to_json(described, indent=2).encode()]}


def _npz(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """`arrays` as `numpy.load` opens them; the same bytes for the same arrays."""
    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return body.getvalue()


def sources_of(wanted: TrainingSpec, config: Config) -> list[Entry]:
    """The entries whose files may hold what `wanted` names; raises `TrainingError` when there are none."""
    patterns = {p.split("/", 1)[0] for place in wanted.locations for p in (*place.inputs, *place.targets)}
    entries = [e for e in config.apis if e.tabular and any(fnmatchcase(e.source, p) for p in patterns)]
    if not entries:
        there = sorted({entry.source for entry in config.apis if entry.tabular})
        raise TrainingError(
            wanted.name, f"no entry has source {', '.join(sorted(patterns))}", f"The sources are: {', '.join(there)}"
        )
    return entries


async def resolve_period(
    wanted: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, inputs: Sequence[Input] | None
) -> Period:
    """The period of `wanted`; an end it leaves open is where the values of its targets end.

    Raises `TrainingError` when they have none, or the period is shorter than one window.
    """
    start, end = wanted.start, wanted.end
    if start is None or end is None:
        always = Period(start or EPOCH, end or datetime.max.replace(tzinfo=EPOCH.tzinfo))
        goals = {p for location in wanted.locations for p in location.targets}
        pinned = inputs
        if pinned is None:
            of_targets = [e for e in entries.values() if any(fnmatchcase(e.source, g.split("/", 1)[0]) for g in goals)]
            pinned = await curated.inputs(lake, of_targets, always, wanted.as_of)
        found, seen = await extent(curated.tables(lake, entries.values(), pinned, always), goals)
        if found is None:
            limits = {"from": wanted.start, "before": wanted.end, "as of": wanted.as_of}
            asked = "".join(f" {word} {moment:%Y-%m-%dT%H:%M%z}" for word, moment in limits.items() if moment)
            others = {name for name in seen if not any(fnmatchcase(name, goal) for goal in goals)}
            there = (
                f"Of these entries there are {', '.join(alike(min(goals), others))}"
                if others
                else "There are no others"
            )
            raise TrainingError(
                wanted.name,
                f"no values of {', '.join(sorted(goals))} are stored{asked}",
                f"{there}; choose one that is there, or ingest or backfill it first",
            )
        start, end = start or found.start, end or found.end
    steps, window = (end - start) // timedelta(hours=1), wanted.seq_len + wanted.horizon
    if steps < window:
        raise TrainingError(
            wanted.name,
            f"a window is {window} hours long (seq_len {wanted.seq_len} + horizon {wanted.horizon}), "
            f"but there are only {max(steps, 0)} hours of targets from {start:%Y-%m-%dT%HZ} to {end:%Y-%m-%dT%HZ}",
            "Backfill more, or shorten seq_len or horizon",
        )
    return Period(start, end)


async def extent(tables: AsyncIterator[tuple[str, Any]], patterns: Iterable[str]) -> tuple[Period | None, set[str]]:
    """The whole hours over which series that match `patterns` have values, None where they have none; and the names
    of all that came by."""
    first, last = None, None
    wanted, seen = sorted(patterns), set[str]()

    def number(source: str, location: str, variable: str, unit: str) -> int:
        name = f"{source}/{location}/{variable}"
        seen.add(name)
        return 0 if any(fnmatchcase(name, pattern) for pattern in wanted) else -1

    goals = Numbers(number)
    async for _, table in tables:
        there = (goals.of(table) == 0) & ~np.isnan(floats(table["value"]))
        if there.any():
            begin = int(times(table, "interval_start")[there].min()) // HOUR
            until = -(
                -int(np.maximum(times(table, "interval_end"), times(table, "interval_start") + 1)[there].max()) // HOUR
            )
            first, last = min(begin, begin if first is None else first), max(until, until if last is None else last)
    if first is None or last is None:
        return None, seen
    return Period(EPOCH + first * timedelta(hours=1), EPOCH + last * timedelta(hours=1)), seen


def assemble(wanted: TrainingSpec, period: Period, made: Sequence[Base]) -> TrainingSet:
    """Windows, splits and scaling of the bases `made`, each T steps of the same columns.

    Columns that no location observes in a train step are dropped, and told with the inputs without one.
    Raises `TrainingError` for a split without windows that is asked for.
    """
    bounds = splits.bounds(wanted, period)
    train = slice(0, bounds.train_end)
    alive = np.any([base.mask[train].any(axis=0) for base in made], axis=0)
    if not alive.any():
        raise TrainingError(wanted.name, "no input is observed in any train step", "Choose another period or inputs")
    dead = {c.name for base in made for c, keep in zip(base.columns, alive, strict=True) if not keep}
    dropped = sorted(dead | {name for base in made for name in _unused(base)})
    made = list(made) if alive.all() else [_keep(base, alive) for base in made]
    windows = _windows(wanted, period, bounds, made)
    standard = wanted.scaling == "standard"
    scales = [
        scaling.fit(base.values[train], base.mask[train]) if standard else scaling.identity(len(base.columns))
        for base in made
    ]
    target_masks = [~np.isnan(base.targets) for base in made]
    target_scales = [
        scaling.fit(base.targets[train], seen[train]) if standard else scaling.identity(base.targets.shape[1])
        for base, seen in zip(made, target_masks, strict=True)
    ]
    return TrainingSet(
        wanted,
        period,
        bounds,
        tuple(made),
        tuple(dropped),
        scaled([base.values for base in made], scales),
        stacked([base.mask for base in made]),
        stacked([base.quality for base in made]),
        scaled([base.targets for base in made], target_scales),
        np.stack(target_masks),
        windows,
        tuple(scales),
        tuple(target_scales),
    )


def _windows(
    wanted: TrainingSpec, period: Period, bounds: splits.Bounds, made: Sequence[Base]
) -> dict[str, npt.NDArray[np.int64]]:
    """Location and start (N, 2) of the windows of each split."""
    shape = {"seq_len": wanted.seq_len, "horizon": wanted.horizon}
    candidates = sequences.starts(bounds.steps, **shape, stride=wanted.stride)
    found: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in splits.NAMES}
    for number, base in enumerate(made):
        own = [feature.series is not None for feature in base.columns[: base.quality.shape[1]]]
        valid = sequences.valid(
            candidates,
            base.quality[:, own] == REPORTED,
            ~np.isnan(base.targets),
            **shape,
            min_inputs=wanted.min_inputs,
            min_targets=wanted.min_targets,
        )
        for name, starts in splits.divide(valid, bounds, **shape, strict=wanted.splits.strict).items():
            found[name].append(np.stack([np.full(len(starts), number), starts], axis=1))
    windows = {name: np.concatenate(parts) for name, parts in found.items()}
    empty = [name for name in splits.asked(wanted) if not len(windows[name])]
    if empty:
        counts = ", ".join(f"{name} {len(starts)}" for name, starts in windows.items())
        ranges = ", ".join(f"{name} {max(end - begin, 0)} h" for name, (begin, end) in bounds.ranges().items())
        there = np.flatnonzero(np.any([~np.isnan(base.targets).all(axis=1) for base in made], axis=0))
        known = Period(*(period.start + int(step) * timedelta(hours=1) for step in (there[0], there[-1] + 1)))
        raise TrainingError(
            wanted.name,
            f"no window falls into {' and '.join(empty)} (windows: {counts}; targets: {ranges}, observed in {known}; "
            f"a window is {wanted.seq_len} + {wanted.horizon} h, one every {wanted.stride} h, {len(candidates)} fit)",
            "Use another or longer period, a shorter seq_len, horizon or gap, other splits (a share of 0 is for none), "
            "or lower min_inputs and min_targets",
        )
    return windows


def _unused(base: Base) -> set[str]:
    """The inputs of which there is no column: nothing is known of them, or they are known ahead without a lead."""
    return base.repeats.keys() - {column.series for column in base.columns} - set(base.target_names)


def _keep(base: Base, alive: npt.NDArray[np.bool_]) -> Base:
    columns = tuple(column for column, keep in zip(base.columns, alive, strict=True) if keep)
    inputs = alive[: base.quality.shape[1]]
    return replace(
        base,
        columns=columns,
        values=base.values[:, alive],
        mask=base.mask[:, alive],
        quality=base.quality[:, inputs],
    )


def scaled(parts: Sequence[npt.NDArray[np.floating]], scales: Sequence[scaling.Scale]) -> npt.NDArray[np.float32]:
    """Each of `parts` (T, F) scaled, with 0 (the train mean) where they are missing: (R, T, F)."""
    found = np.empty((len(parts), *parts[0].shape), np.float32)
    for part, rows in _blocks(found):
        block = scales[part].apply(parts[part][rows])
        np.copyto(block, 0.0, where=np.isnan(block))
        found[part, rows] = block
    return found


def stacked(parts: Sequence[npt.NDArray[A]]) -> npt.NDArray[A]:
    """`parts`, each (T, F), as one array (R, T, F) whose rows lie together."""
    found = np.empty((len(parts), *parts[0].shape), parts[0].dtype)
    for part, rows in _blocks(found):
        found[part, rows] = parts[part][rows]
    return found


def _blocks(stack: npt.NDArray[np.generic]) -> list[Cells]:
    """`BLOCK` rows at a time of `stack` (R, T, F): they stay in the cache, whichever way its parts are laid out."""
    count, steps = stack.shape[:2]
    return [(part, slice(first, first + BLOCK)) for part in range(count) for first in range(0, steps, BLOCK)]


def as_tensors(made: TrainingSet) -> dict[str, npt.NDArray[np.generic]]:
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


def manifest(made: TrainingSet, pinned: Sequence[Input]) -> dict[str, Any]:
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


def report(made: TrainingSet, described: Mapping[str, Any], folder: str, sizes: Mapping[str, int]) -> dict[str, Any]:
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
