"""The newest features of a training set in Redis: written after new files, read for predictions.

    gather_newest_hours ─► one body ─► Redis, for a lifetime ─► the same context, and the age of each input

The body has the time of writing, and what identifies columns and scales of the set, so that a model never gets the
features of another set of the same name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError, TrainingError
from gridtide.threads import run_blocking
from gridtide.training.realtime import Context, gather_newest_hours
from gridtide.training.tensors import decode_tensors, encode_tensors

if TYPE_CHECKING:
    from gridtide.database.online_store import OnlineStore
    from gridtide.entries.entry import Config
    from gridtide.lake import Lake

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class OnlineContext:
    """A context as it was stored, when it was `written_at`, and the `age` (R, F) float32 of each input at the time of
    reading: hours since the end of the last hour in which it was observed, infinite if it was not."""

    context: Context
    written_at: datetime
    age: npt.NDArray[np.float32]


def name_key(manifest: Mapping[str, Any]) -> str:
    """Returns the key under which the features of the set are stored."""
    return f"gridtide:features:{manifest['spec']['name']}"


def identify_set(manifest: Mapping[str, Any], tensors: Tensors) -> str:
    """Returns a hash of the columns and scales of a set: 16 hexadecimal digits."""
    columns = [column["key"] for location in manifest["locations"] for column in location["columns"]]
    method = str(manifest["spec"].get("scaling", ""))
    digest = hashlib.sha256("\n".join([method, *columns]).encode())
    for name in ("mean", "deviation", "knots", "future_mean", "future_deviation", "future_knots"):
        if name in tensors:
            digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()[:16]


def hash_origin(manifest: Mapping[str, Any]) -> str:
    """Returns a hash of what the columns of a set are made from: 16 hexadecimal digits. Columns of one name and scale
    may be of other locations, units or steps, or be cleaned in another way."""
    spec = manifest["spec"]
    locations = [
        [location.get("name"), location.get("limits"), [column.get("unit") for column in location["columns"]]]
        for location in manifest["locations"]
    ]
    content = [locations, spec.get("resolution", "PT1H"), spec.get("cleaning")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


async def publish_context(
    manifest: Mapping[str, Any],
    tensors: Tensors,
    config: Config,
    lake: Lake,
    store: OnlineStore,
    *,
    hours: int,
    lifetime: timedelta,
) -> Context:
    """Stores the newest `hours` of the set in `store` in place of those before, and returns them; those of a writer
    that began to read the lake later stay.

    Raises the errors of `gather_newest_hours` and of `OnlineStore.put`; the features before then stay.
    """
    began = await run_blocking(store.read_clock)
    context = await gather_newest_hours(manifest, tensors, config, lake, hours)
    identity = identify_set(manifest, tensors)
    body = encode_context(context, identity, datetime.now(UTC), hash_origin(manifest))
    await run_blocking(store.put, name_key(manifest), body, lifetime, began)
    return context


def encode_context(context: Context, identity: str, written_at: datetime, series: str = "") -> bytes:
    """Returns `context` of the set with `identity` and the described `series` as bytes, the inverse of
    `decode_context`."""
    arrays = {"values": context.values, "mask": context.mask, "time": context.time}
    if context.future is not None:
        arrays["future"] = context.future
    return b"".join(encode_tensors(arrays, {"set": identity, "series": series, "written_at": written_at.isoformat()}))


def decode_context(body: bytes, identity: str, name: str, series: str = "") -> tuple[Context, datetime]:
    """Returns the context in `body` and the time of writing. Raises `TrainingError` if it belongs to a set with another
    `identity` or other `series` than the set `name`, `StorageError` if it is damaged. Contexts of older versions do not
    describe their series."""
    try:
        arrays, metadata = decode_tensors(body)
        context = Context(arrays["values"], arrays["mask"], arrays["time"], arrays.get("future"))
        written_at = datetime.fromisoformat(metadata["written_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            name, "the features in the store are damaged", "Write them again: gridtide ingest"
        ) from error
    described = metadata.get("series", "")
    if metadata.get("set") != identity or (described and series and described != series):
        happened = "the features in the store have the series, columns or scales of another set of this name"
        raise TrainingError(name, happened, "Let the model and the scheduled flow use the same set")
    return context, written_at


def read_context(
    manifest: Mapping[str, Any],
    tensors: Tensors,
    store: OnlineStore,
    hours: int,
    longest_age: timedelta | None = None,
) -> OnlineContext:
    """Returns the last `hours` hours of the set that `store` has, with the age of each input.

    Raises `TrainingError` if the store has none or fewer hours, or if their end is more than `longest_age` ago, and the
    errors of `decode_context` and `OnlineStore.get`.
    """
    name = manifest["spec"]["name"]
    body = store.get(name_key(manifest))
    if body is None:
        fix = 'Add the set to "online" in the configuration, and run gridtide ingest'
        raise TrainingError(name, f"{store.name} has no features of it: they have expired, or were never written", fix)
    whole, written_at = decode_context(body, identify_set(manifest, tensors), name, hash_origin(manifest))
    step = _find_step(manifest)
    steps = hours * 3600 // step
    if not 0 < steps <= len(whole.time):
        happened = f"{store.name} has {len(whole.time) * step // 3600} hours of it, not {hours}"
        raise TrainingError(name, happened, 'Raise "hours" of "online"')
    context = Context(whole.values[:, -steps:], whole.mask[:, -steps:], whole.time[-steps:], whole.future)
    now = datetime.now(UTC)
    end = datetime.fromtimestamp(int(context.time[-1]) + step, UTC)
    if longest_age is not None and now - end > longest_age:
        happened = f"its features end at {end:%Y-%m-%dT%H:%MZ}, more than {longest_age} ago; written at {written_at}"
        raise TrainingError(name, happened, "See why no new files come: gridtide status")
    return OnlineContext(context, written_at, measure_age(context, step, now))


def measure_age(context: Context, step: int, now: datetime) -> npt.NDArray[np.float32]:
    """Returns the hours from the end of the last observed step, of `step` seconds, of each input to `now`, (R, F);
    infinite for an input that was observed in none."""
    steps_back = np.argmax(context.mask[:, ::-1], axis=1)
    ends = context.time[::-1][steps_back] + step
    hours = (now.timestamp() - ends) / 3600
    return np.where(context.mask.any(axis=1), hours, np.inf).astype(np.float32)


def _find_step(manifest: Mapping[str, Any]) -> int:
    """Returns the length of a step of the set in seconds; sets of older versions have hours."""
    resolution: timedelta = msgspec.convert(manifest["spec"].get("resolution", "PT1H"), timedelta)
    return int(resolution.total_seconds())
