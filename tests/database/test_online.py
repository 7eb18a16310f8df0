"""The newest features in Redis: the same bits as from the lake, whole or not at all, for a time, and with their age."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gridtide.collect import collect
from gridtide.config.loading import parse
from gridtide.database.online_store import OnlineStore
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError, CredentialsError, StorageError, TrainingError
from gridtide.lake import Lake
from gridtide.periods import HOUR, Period, floor
from gridtide.training import preparation
from gridtide.training.realtime import Context
from gridtide.training.serving import online
from gridtide.training.serving.publishing import publish_online
from tests.support.processes.redis_servers import run_redis

pytest.importorskip("redis", reason="gridtide[online] is not installed")

PASSWORD = "planted-5d0c2a"
NOW = floor(datetime.now(UTC), HOUR)
CONFIG: Config = parse(
    {
        "online": {"env": "FEATURES_URL", "sets": ["newest", "missing"], "lifetime": "PT1H"},
        "apis": [
            {
                "name": "grid",
                "source": "synthetic",
                "output_folder": "grid",
                "params": {"variables": ["demand", "temperature_2m"]},
            }
        ],
    }
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server with a password."""
    with run_redis(tmp_path_factory.mktemp("redis"), PASSWORD) as address:
        yield address


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Thirty days until now, and a training set of them."""
    opened = Lake.open(str(tmp_path_factory.mktemp("lake")))
    spec = {
        "name": "newest",
        "locations": [
            {
                "name": "ISNE",
                "timezone": "America/New_York",
                "targets": ["synthetic/ISNE/demand"],
                "inputs": ["synthetic/ISNE/*"],
            }
        ],
        "start": (NOW - timedelta(days=28)).isoformat(),
        "end": (NOW - timedelta(days=2)).isoformat(),
        "seq_len": 48,
        "pictures": False,
    }

    async def fill() -> None:
        async with Upstreams({}) as upstreams:
            period = Period(NOW - timedelta(days=30), NOW)
            await collect(CONFIG.apis[0], lake=opened, http=upstreams, stamp=NOW, period=period)
        await preparation.prepare(spec, CONFIG, opened)

    asyncio.run(fill())
    return opened


def test_the_features_online_are_those_of_the_lake(lake: Lake, url: str) -> None:
    """After new files, a reader gets the same bits as from the lake, and the age of each input; a set that cannot be
    stored is named, and does not stop the other."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    (problem,) = asyncio.run(publish_online(CONFIG, lake, url))
    assert "the features of missing were not stored online" in problem
    opened = mlx_store.open_store(Path(lake.uri.removeprefix("file://")) / "features" / "newest")
    stored = mlx_store.get_real_time_context(opened, 100, store=url, longest_age=timedelta(days=1))
    computed = mlx_store.get_real_time_context(opened, 100, config=CONFIG, lake=lake)
    for name, array in computed.items():
        assert np.array(stored[name]).tobytes() == np.array(array).tobytes(), name
    assert stored.keys() - computed.keys() == {"age"}
    age = np.array(stored["age"])
    assert age.shape == (1, stored["x"].shape[2])
    assert 0 <= age.min() < 3
    with pytest.raises(TrainingError, match="has 168 hours of it, not 169"):
        mlx_store.get_real_time_context(opened, 169, store=url)


def random_context(seed: int, hours: int = 168, columns: int = 200) -> Context:
    """Hours until now with random values, all of which tell which context they belong to."""
    values = np.full((1, hours, columns), seed, np.float32)
    moments = int(NOW.timestamp()) - 3600 * np.arange(hours, 0, -1)
    return Context(values, np.ones(values.shape, bool), moments)


MANIFEST: dict[str, Any] = {"spec": {"name": "random"}, "locations": [{"columns": [{"key": "a"}]}]}
SCALES = {"mean": np.zeros((1, 200)), "deviation": np.ones((1, 200))}


def test_a_reader_never_gets_half_a_context(url: str) -> None:
    """While one writer replaces the features without a pause, several readers get only whole ones."""
    store, is_over = OnlineStore(url), threading.Event()
    identity, key = online.identify_set(MANIFEST, SCALES), online.name_key(MANIFEST)
    store.put(key, online.encode_context(random_context(0), identity, NOW), HOUR)

    def write() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            OnlineStore(url).put(key, online.encode_context(random_context(number), identity, NOW), HOUR)

    torn: list[int] = []

    def read() -> None:
        for _ in range(100):
            values = online.read_context(MANIFEST, SCALES, OnlineStore(url), 168).context.values
            torn.extend([len(np.unique(values))] if len(np.unique(values)) > 1 else [])

    writer, readers = threading.Thread(target=write), [threading.Thread(target=read) for _ in range(3)]
    for thread in (writer, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    is_over.set()
    writer.join()
    assert torn == []


def test_what_is_absent_old_or_of_another_set_is_said(url: str) -> None:
    """Features that expired, end too long ago, or have other scales are refused; the age of an input is that of its
    last observed hour, infinite without one."""
    store, identity = OnlineStore(url), online.identify_set(MANIFEST, SCALES)
    key = online.name_key(MANIFEST)
    context = random_context(1)
    mask = context.mask.copy()
    mask[0, -10:, 0], mask[0, :, 1] = False, False
    store.put(key, online.encode_context(replace(context, mask=mask), identity, NOW), timedelta(milliseconds=300))
    age = online.read_context(MANIFEST, SCALES, store, 168).age
    assert (round(float(age[0, 0] - age[0, 2])), np.isinf(age[0, 1])) == (10, True)
    with pytest.raises(TrainingError, match="more than 0:00:00 ago; written at"):
        online.read_context(MANIFEST, SCALES, store, 168, timedelta(0))
    other_scales = SCALES | {"mean": np.ones((1, 200))}
    with pytest.raises(TrainingError, match="the columns and scales of another set"):
        online.read_context(MANIFEST, other_scales, store, 168)
    deadline = time.monotonic() + 10
    while store.get(key) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(TrainingError, match="they have expired, or were never written"):
        online.read_context(MANIFEST, SCALES, store, 168)
    store.put(key, b"no features", HOUR)
    with pytest.raises(StorageError, match="are damaged"):
        online.read_context(MANIFEST, SCALES, store, 168)


def test_no_message_of_the_store_holds_its_password(url: str) -> None:
    """A wrong password, a server that is away and another URL are named without the password."""
    wrong = url.replace(PASSWORD, "planted-wrong")
    with pytest.raises(CredentialsError, match="refuses the user or password") as refused:
        OnlineStore(wrong).get("key")
    with pytest.raises(StorageError, match="cannot be used: ConnectionError") as away:
        OnlineStore(f"redis://:{PASSWORD}@127.0.0.1:1/0").get("key")
    with pytest.raises(ConfigurationError, match="Give redis://host") as foreign:
        OnlineStore(f"http://user:{PASSWORD}@host/")
    assert "planted" not in "".join(str(error.value) for error in (refused, away, foreign))


def test_the_lake_needs_no_set_online() -> None:
    """Without `online` in the configuration nothing is stored, and there is no problem."""
    config = msgspec.structs.replace(CONFIG, online=None)
    assert asyncio.run(publish_online(config, Lake.open("memory://"), None)) == []


def test_a_context_is_read_as_it_was_written() -> None:
    """The bytes of a context have all of its arrays, with the covariates of the hours to predict, and its time."""
    context = replace(random_context(7), future=np.full((1, 24, 2), np.nan, np.float32))
    copy, written_at = online.decode_context(online.encode_context(context, "id", NOW), "id", "random")
    assert written_at == NOW
    for name in ("values", "mask", "time", "future"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(context, name))
