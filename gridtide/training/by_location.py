"""Prepares the locations of a training set in several processes, which exchange arrays through its destination.

    location ─► gather ─► its hourly series ─┐               ┌─► derive ─► its base ─┐
    location ─► gather ─► its hourly series ─┴─► the shifts ─┴─► derive ─► its base ─┴─► read

The shifts of the columns depend on all locations, so all locations are gathered before any is derived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gridtide.curated import Input
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.training import manifest, tensors
from gridtide.training.features.bases import Base, Derivation, align_bases, derive_bases
from gridtide.training.features.columns import Feature
from gridtide.training.features.future import Forecast
from gridtide.training.reading import GatheredSeries, ReadingPlan, gather_series
from gridtide.training.series.hourly import Hourly, Vintages
from gridtide.training.series.matching import LocationInputs, SeriesKind, locate_series, measure_delays
from gridtide.training.windows import splits

VINTAGE_ARRAYS = ("row", "known", "value")
"""The names of the arrays of `Vintages` in the exchanged files."""

VERSION_ARRAYS = ("row", "known_row", "value")
"""The names of the arrays of a `Forecast` in the exchanged files."""


@dataclass(frozen=True)
class LocationExchange:
    """The locations of `plan`, whose arrays are exchanged through `folder` of `out`, which is the lake or another
    destination.

    The list of the plan's files is stored there too and removed from `plan`, so that not every call carries it.
    """

    plan: ReadingPlan
    folder: str

    @classmethod
    async def begin(cls, plan: ReadingPlan, out: Lake, folder: str) -> LocationExchange:
        """Stores the list of the files of `plan` in `folder`."""
        file_list = [asdict(file) for file in plan.files]
        await out.store.put(f"{folder}/inputs.json", manifest.to_json(file_list).encode(), replace=True)
        return cls(replace(plan, files=()), folder)

    async def gather(self, lake: Lake, out: Lake, number: int) -> LocationInputs:
        """Gathers the series of the `number`-th location in `lake`, stores them, and returns what its shifts depend on.
        Raises as `locate_series` does."""
        file_list = json.loads(await out.store.read(f"{self.folder}/inputs.json"))
        plan = replace(self.plan.at_location(number), files=tuple(Input(**file) for file in file_list))
        gathered = await gather_series(plan, lake)
        (series,) = locate_series(plan.spec, gathered.hourly, gathered.stored)
        await out.store.put_parts(f"{self.folder}/{number}.series", _encode_series(gathered))
        return measure_delays(gathered.hourly, series, splits.train_slice(plan.spec, plan.rows, plan.hours))

    async def derive(self, out: Lake, number: int, shifts: Mapping[SeriesKind, Sequence[int]]) -> None:
        """Derives and stores the base of the `number`-th location from its stored series; raises as `derive_bases`
        does."""
        plan = self.plan.at_location(number)
        gathered = _decode_series(await out.store.read(f"{self.folder}/{number}.series"))
        located = locate_series(plan.spec, gathered.hourly, gathered.stored)
        (base,) = derive_bases(plan.spec, gathered.hourly, plan.rows, located, shifts)
        await out.store.put_parts(f"{self.folder}/{number}.base", _encode_base(base))

    async def read(self, out: Lake) -> list[Base]:
        """Reads the stored bases of all locations."""
        numbers = range(len(self.plan.spec.locations))
        bodies = [await out.store.read(f"{self.folder}/{number}.base") for number in numbers]
        return align_bases([_decode_base(encoded) for encoded in bodies])

    async def clear(self, out: Lake) -> None:
        """Removes all exchanged files."""
        await out.store.remove([file.path for file in await out.store.list_objects(self.folder)])


def _encode_series(gathered: GatheredSeries) -> tensors.EncodedFile:
    hourly = gathered.hourly
    arrays: dict[str, Any] = {"values": hourly.values, "known": hourly.known_row, "repeats": hourly.repeats}
    for series, vintages in hourly.vintages.items():
        arrays |= {f"{name}.{series}": column for name, column in zip(VINTAGE_ARRAYS, vintages, strict=True)}
    arrays |= {f"refused.{series}": hours for series, hours in hourly.refused.items()}
    attributes = {
        "names": hourly.names,
        "units": hourly.units,
        "vintages": list(hourly.vintages),
        "refused": list(hourly.refused),
        "stored": sorted(gathered.stored),
        "corrections": hourly.corrections,
        "step": hourly.step.total_seconds(),
        "period": [hourly.period.start.isoformat(), hourly.period.end.isoformat()],
    }
    return tensors.encode_tensors(arrays, {"about": json.dumps(attributes)})


def _decode_series(encoded: bytes) -> GatheredSeries:
    arrays, metadata = tensors.decode_tensors(encoded)
    attributes = json.loads(metadata["about"])
    hourly = Hourly(
        Period(*map(datetime.fromisoformat, attributes["period"])),
        tuple(attributes["names"]),
        tuple(attributes["units"]),
        arrays["values"],
        arrays["known"],
        {
            series: Vintages(*(arrays[f"{name}.{series}"] for name in VINTAGE_ARRAYS))
            for series in attributes["vintages"]
        },
        arrays["repeats"],
        {number: arrays[f"refused.{number}"] for number in attributes["refused"]},
        attributes["corrections"],
        timedelta(seconds=attributes["step"]),
    )
    return GatheredSeries(hourly, frozenset(attributes["stored"]))


def _encode_base(base: Base) -> tensors.EncodedFile:
    """Encodes `base`. Arrays are stored by column, as in memory, so that sums over them are the same to the bit."""
    arrays = {name: getattr(base, name).T for name in ("values", "mask", "quality", "targets", "targets_known")}
    attributes = {
        "location": base.location,
        "columns": [asdict(column) for column in base.columns],
        "target_names": base.target_names,
        "rejected": base.rejected,
        "repeats": base.repeats,
        "limits": base.limits,
        "corrections": base.corrections,
        "derivation": asdict(base.derivation),
        "forecasts": [[list(kind), asdict(forecast.feature)] for kind, forecast in base.forecasts.items()],
    }
    for number, forecast in enumerate(base.forecasts.values()):
        arrays |= {f"{name}.{number}": getattr(forecast, name) for name in VERSION_ARRAYS}
    return tensors.encode_tensors(arrays, {"about": json.dumps(attributes)})


def _decode_base(encoded: bytes) -> Base:
    arrays, metadata = tensors.decode_tensors(encoded)
    attributes = json.loads(metadata["about"])
    forecasts = {
        SeriesKind(*kind): Forecast(Feature(**feature), *(arrays.pop(f"{name}.{number}") for name in VERSION_ARRAYS))
        for number, (kind, feature) in enumerate(attributes.pop("forecasts"))
    }
    attributes |= {name: array.T for name, array in arrays.items()}
    columns = tuple(Feature(**column) for column in attributes.pop("columns"))
    target_names = tuple(attributes.pop("target_names"))
    derivation = Derivation(**attributes.pop("derivation"))
    return Base(columns=columns, target_names=target_names, forecasts=forecasts, derivation=derivation, **attributes)
