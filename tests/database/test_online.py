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

from gridtide.config.loading import parse
from gridtide.database.online_store import OnlineStore
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError, CredentialsError, StorageError, TrainingError
from gridtide.lake import Lake
from gridtide.periods import HOUR, floor
from gridtide.training.realtime import Context
from gridtide.training.serving import online
from gridtide.training.serving.publishing import publish_online
from tests.support.lakes import ONLINE_SETTINGS, fill_newest
from tests.support.processes.redis_servers import find_free_port, run_redis

redis = pytest.importorskip("redis", reason="gridtide[online] is not installed")

PASSWORD = "planted-5d0c2a"
NOW = floor(datetime.now(UTC), HOUR)
CONFIG: Config = parse(ONLINE_SETTINGS)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server with a password."""
    with run_redis(tmp_path_factory.mktemp("redis"), PASSWORD) as address:
        yield address


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Thirty days until now, and a training set of them."""
    return asyncio.run(fill_newest(tmp_path_factory.mktemp("lake")))


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
    store.put(key, online.encode_context(random_context(0), identity, NOW), HOUR, 0)

    def write() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            body = online.encode_context(random_context(number), identity, NOW)
            OnlineStore(url).put(key, body, HOUR, OnlineStore(url).read_clock())

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


def test_of_several_writers_the_one_that_began_last_stays(url: str) -> None:
    """A writer that began to read the lake earlier and is slower does not bring older features back; a later one
    replaces them."""
    store = OnlineStore(url)
    first, second = store.read_clock(), store.read_clock()
    assert first < second
    assert store.put("raced", b"later", HOUR, second)
    assert not store.put("raced", b"earlier", HOUR, first)
    assert store.get("raced") == b"later"
    assert store.put("raced", b"newest", HOUR, store.read_clock())
    assert store.get("raced") == b"newest"


def test_hours_are_counted_in_steps_of_the_set(url: str) -> None:
    """Four hours of quarters are 16 steps, and as many hours are there as were stored; the age counts from the end of
    a quarter."""
    manifest = {"spec": {"name": "quarters", "resolution": "PT15M"}, "locations": MANIFEST["locations"]}
    context = random_context(3)
    moments = int(NOW.timestamp()) - 900 * np.arange(168, 0, -1)
    store, identity = OnlineStore(url), online.identify_set(manifest, SCALES)
    body = online.encode_context(replace(context, time=moments), identity, NOW)
    store.put(online.name_key(manifest), body, HOUR, store.read_clock())
    stored = online.read_context(manifest, SCALES, store, 4)
    assert stored.context.values.shape == (1, 16, 200)
    assert stored.context.time.tolist() == moments[-16:].tolist()
    assert 0 <= float(stored.age.max()) < 1.5
    with pytest.raises(TrainingError, match="has 42 hours of it, not 43"):
        online.read_context(manifest, SCALES, store, 43)


def test_what_is_absent_old_or_of_another_set_is_said(url: str) -> None:
    """Features that expired, end too long ago, or have other scales are refused; the age of an input is that of its
    last observed hour, infinite without one."""
    store, identity = OnlineStore(url), online.identify_set(MANIFEST, SCALES)
    key = online.name_key(MANIFEST)
    context = random_context(1)
    mask = context.mask.copy()
    mask[0, -10:, 0], mask[0, :, 1] = False, False
    body = online.encode_context(replace(context, mask=mask), identity, NOW)
    store.put(key, body, timedelta(milliseconds=300), store.read_clock())
    age = online.read_context(MANIFEST, SCALES, store, 168).age
    assert (round(float(age[0, 0] - age[0, 2])), np.isinf(age[0, 1])) == (10, True)
    with pytest.raises(TrainingError, match="more than 0:00:00 ago; written at"):
        online.read_context(MANIFEST, SCALES, store, 168, timedelta(0))
    other_scales = SCALES | {"mean": np.ones((1, 200))}
    with pytest.raises(TrainingError, match="columns or scales of another set"):
        online.read_context(MANIFEST, other_scales, store, 168)
    deadline = time.monotonic() + 10
    while store.get(key) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(TrainingError, match="they have expired, or were never written"):
        online.read_context(MANIFEST, SCALES, store, 168)
    store.put(key, b"no features", HOUR, store.read_clock())
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
    errors = [refused, away, foreign]
    for url in ("redis://:planted/5d0c2a@host:6379/0", "redis://:planted@host:port/0", "redis://:planted#x@host/0"):
        with pytest.raises(ConfigurationError, match="%2F for /") as spoilt:
            OnlineStore(url)
        errors.append(spoilt)
    assert "planted" not in "".join(str(error.value) for error in errors)
    assert "5d0c2a" not in "".join(str(error.value) for error in errors)


@pytest.mark.parametrize("option", ["socket_timeout=planted", "planted=1", "db=planted"])
def test_options_that_the_client_does_not_have_are_refused(url: str, option: str) -> None:
    """An unknown option of the URL, or one without sense, is refused at once, without the URL."""
    with pytest.raises(ConfigurationError, match="an option that the client cannot use") as refusal:
        OnlineStore(f"{url}?{option}")
    assert "planted" not in str(refusal.value)


def test_a_server_that_refuses_says_why(tmp_path: Path) -> None:
    """A database that is not there, a full server and a user without rights are named as that; what was stored before
    stays, and is bytes whatever the URL asks for."""
    with run_redis(tmp_path, PASSWORD) as address:
        store = OnlineStore(address)
        assert store.put("key", b"\xff", HOUR, 1)
        with pytest.raises(StorageError, match="DB index is out of range"):
            OnlineStore(address.removesuffix("/0") + "/99").get("key")
        admin = redis.Redis.from_url(address)
        admin.execute_command("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+hget")
        reader = OnlineStore(address.replace("//:", "//reader:") + "?decode_responses=true")
        admin.config_set("maxmemory", "1mb")
        with pytest.raises(StorageError, match="has no memory left"):
            store.put("key", bytes(3_000_000), HOUR, 2)
        with pytest.raises(CredentialsError, match="refuses a command to this user"):
            reader.put("key", b"", HOUR, 3)
        assert store.get("key") == reader.get("key") == b"\xff"


@pytest.mark.parametrize("changed", [{"name": "NYIS"}, {"limits": {"a": 1}}, {"columns": [{"key": "a", "unit": "kW"}]}])
def test_a_context_of_other_series_is_refused(changed: dict[str, object]) -> None:
    """Of two sets with the same name, columns and scales, such as unscaled ones of two lakes, each gets only its own
    features; those of a version that did not describe series are read."""
    location = {"name": "ISNE", "columns": [{"key": "a", "unit": "MW"}]}
    own, other = ({"spec": {"name": "load"}, "locations": [place]} for place in (location, location | changed))
    series = online.hash_origin(own)
    for stored_series in (series, ""):
        body = online.encode_context(random_context(7), "id", NOW, stored_series)
        assert online.decode_context(body, "id", "load", series)[1] == NOW
    with pytest.raises(TrainingError, match="of another set of this name"):
        online.decode_context(
            online.encode_context(random_context(7), "id", NOW, online.hash_origin(other)), "id", "load", series
        )


def test_a_server_that_was_restarted_is_used_again(tmp_path: Path) -> None:
    """While it is away, a reader gets an error at once; afterwards the features are absent, until they are written."""
    store = None
    port = find_free_port()
    for attempt in (1, 2):
        with run_redis(tmp_path, PASSWORD, port) as address:
            store = store or OnlineStore(address)
            assert store.get("key") is None
            assert store.put("key", str(attempt).encode(), HOUR, store.read_clock())
            assert store.get("key") == str(attempt).encode()
        with pytest.raises(StorageError, match="Check that Redis runs"):
            store.get("key")


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
