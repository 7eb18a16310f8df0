"""The locations of a training set made by several processes, which exchange arrays through the lake.

    location ─► gather ─► its series by the hour ─┐               ┌─► derive ─► its base ─┐
    location ─► gather ─► its series by the hour ─┴─► the shifts ─┴─► derive ─► its base ─┴─► read

What a column looks at follows from all locations, so that these are gathered before any is derived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gridtide.curated import Input
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.training import manifest, tensors
from gridtide.training.features.columns import Feature
from gridtide.training.reach import gather, reading_period
from gridtide.training.series.bases import Base, LocationInputs, SeriesKind, align_bases, build_bases, find_inputs
from gridtide.training.series.hourly import Hourly, Vintages
from gridtide.training.spec import TrainingSpec


@dataclass(frozen=True)
class LocationExchange:
    """The locations of `wanted` over the rows `period`, from files of `entries` (by name); `folder` of the lake
    holds what is exchanged."""

    wanted: TrainingSpec
    entries: Mapping[str, Entry]
    period: Period
    folder: str

    async def begin(self, lake: Lake, pinned: Sequence[Input]) -> None:
        """Put the list of the files to read."""
        listed = [asdict(one) for one in pinned]
        await lake.put(f"{self.folder}/inputs.json", manifest.to_json(listed).encode(), replace=True)

    async def gather(self, lake: Lake, number: int) -> LocationInputs:
        """Put the series of the `number`-th location; what it has. Raises as `build_bases` does."""
        pinned = [Input(**one) for one in json.loads(await lake.read(f"{self.folder}/inputs.json"))]
        one = self._alone(number)
        grid = await gather(one, self.entries, lake, pinned, reading_period(one, self.entries, self.period))
        hourly = grid.finish()
        (there,) = find_inputs(one, hourly, grid.seen)
        await lake.put_parts(f"{self.folder}/{number}.series", _encode_hourly(hourly, grid.seen))
        return there

    async def derive(self, lake: Lake, number: int, shifts: Mapping[SeriesKind, Sequence[int]]) -> None:
        """Put the base of the `number`-th location, whose series are there; raises as `build_bases` does."""
        hourly, seen = _decode_hourly(await lake.read(f"{self.folder}/{number}.series"))
        (base,) = build_bases(self._alone(number), hourly, self.period, seen, shifts)
        await lake.put_parts(f"{self.folder}/{number}.base", _encode_base(base))

    async def read(self, lake: Lake) -> list[Base]:
        """The bases of all locations, which are there."""
        bodies = [await lake.read(f"{self.folder}/{number}.base") for number in range(len(self.wanted.locations))]
        return align_bases([_decode_base(body) for body in bodies])

    async def clear(self, lake: Lake) -> None:
        """Remove all that was exchanged."""
        await lake.remove([one.path for one in await lake.objects(self.folder)])

    def _alone(self, number: int) -> TrainingSpec:
        return self.wanted.model_copy(update={"locations": (self.wanted.locations[number],)})


def _encode_hourly(hourly: Hourly, seen: set[str]) -> list[bytes | memoryview]:
    arrays: dict[str, Any] = {"values": hourly.values, "known": hourly.known, "repeats": hourly.repeats}
    for series, vintages in hourly.vintages.items():
        arrays |= {f"{name}.{series}": column for name, column in vintages._asdict().items()}
    about = {"names": hourly.names, "units": hourly.units, "vintages": list(hourly.vintages), "seen": sorted(seen)}
    period = [hourly.period.start.isoformat(), hourly.period.end.isoformat()]
    return tensors.encode_tensors(arrays, {"about": json.dumps({**about, "period": period})})


def _decode_hourly(body: bytes) -> tuple[Hourly, set[str]]:
    arrays, metadata = tensors.decode_tensors(body)
    about = json.loads(metadata["about"])
    hourly = Hourly(
        Period(*map(datetime.fromisoformat, about["period"])),
        tuple(about["names"]),
        tuple(about["units"]),
        arrays["values"],
        arrays["known"],
        {n: Vintages(*(arrays[f"{name}.{n}"] for name in Vintages._fields)) for n in about["vintages"]},
        arrays["repeats"],
    )
    return hourly, set(about["seen"])


def _encode_base(base: Base) -> list[bytes | memoryview]:
    """Arrays are kept by column, as they are in memory: sums over them come out the same to the bit."""
    arrays = {name: getattr(base, name).T for name in ("values", "mask", "quality", "targets")}
    about = {
        "location": base.location,
        "columns": [asdict(column) for column in base.columns],
        "target_names": base.target_names,
        "rejected": base.rejected,
        "repeats": base.repeats,
    }
    return tensors.encode_tensors(arrays, {"about": json.dumps(about)})


def _decode_base(body: bytes) -> Base:
    arrays, metadata = tensors.decode_tensors(body)
    about = json.loads(metadata["about"]) | {name: array.T for name, array in arrays.items()}
    columns = tuple(Feature(**column) for column in about.pop("columns"))
    return Base(columns=columns, target_names=tuple(about.pop("target_names")), **about)
