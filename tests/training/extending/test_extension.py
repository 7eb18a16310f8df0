"""An extended set equals the set that is prepared over the longer period with the statistics of the earlier one."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.errors import TrainingError
from gridtide.lake import Lake
from gridtide.observations.availability import available_at
from gridtide.periods import microseconds
from gridtide.training import preparation, tensors
from gridtide.training.stored.comparing import compare_sets
from gridtide.training.stored.covariates import gather_covariates
from gridtide.training.stored.opening import read_set
from tests.support.grids import HOUR, PLACE, START, TWO_PLACES, configuration, every_kind, fill

DAYS, LATER = 40, 50
KINDS = every_kind(LATER)
CONFIG = configuration(KINDS)
AHEAD = ["iso_ne/ISNE/load_forecast", "eia/ISNE/demand_forecast_day_ahead"]
SPEC: dict[str, Any] = {"name": "growing", **TWO_PLACES}
WITH_FUTURE = [{**SPEC["locations"][0], "future": AHEAD, "holidays": "US-MA"}, SPEC["locations"][1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with values after the end of the first set."""
    path = tmp_path_factory.mktemp("lake")
    asyncio.run(fill(Lake.open(str(path)), KINDS))
    return path


def prepare(folder: Path, keys: dict[str, Any], *, days: int = DAYS, out: Path | None = None, **options: Any) -> Path:
    """The sequences of a set with `SPEC` and `keys` that ends after `days` days."""
    spec = SPEC | {"end": (START + timedelta(days=days)).isoformat()} | keys
    target = Lake.open(str(out)) if out else None
    report = asyncio.run(preparation.prepare(spec, CONFIG, Lake.open(str(folder)), out=target, **options))
    return (out or folder) / report["path"]


def assert_same_tensors(first: Path, second: Path) -> None:
    """The tensors of both files are equal to the bit."""
    arrays, others = (tensors.open_mapped(path)[0] for path in (first, second))
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype, name
        np.testing.assert_array_equal(array, others[name], err_msg=name, strict=True)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({}, id="plain"),
        pytest.param({"locations": WITH_FUTURE, "future_calendar": True, "gap": 3, "stride": 7}, id="future, gap"),
        pytest.param({"locations": WITH_FUTURE, "gate": "10:00", "horizon": 25}, id="future, gate"),
        pytest.param(
            {"scaling": "quantile", "target_scaling": "log1p", "weights": {"peaks": 3}}, id="scaling, weights"
        ),
        pytest.param({"cleaning": {"stale": 12, "repeat": 5, "spike": 8, "fill_limit": 5}}, id="thresholds"),
        pytest.param({"cleaning": {"gaps": "interpolate_from_the_future"}}, id="fitted"),
        pytest.param(
            {"resolution": "PT15M", "seq_len": "P1D", "horizon": "PT6H", "features": {"rolling": ["PT6H"]}}, id="PT15M"
        ),
        pytest.param(
            {"resolution": "P1D", "seq_len": 5, "horizon": 1, "stride": 1, "leads": [1], "features": {"lags": [2]}},
            id="P1D",
        ),
    ],
)
def test_an_extended_set_is_the_longer_set(folder: Path, tmp_path: Path, keys: dict[str, Any]) -> None:
    """Every tensor equals, to the bit, that of a full preparation over the longer period whose train hours, and so
    statistics, are the same; in two steps as in one."""
    if "gaps" in keys.get("cleaning", {}):
        pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    longer = prepare(folder, keys, days=LATER, out=tmp_path / "full")
    prepare(folder, keys, out=tmp_path / "grown")
    prepare(folder, keys, days=44, out=tmp_path / "grown", extend=True)
    grown = prepare(folder, keys, days=LATER, out=tmp_path / "grown", extend=True)
    assert_same_tensors(grown, longer)
    first, second = (read_set(path).manifest for path in (grown, longer))
    assert first["extends"]["different"] == {}
    for ours, theirs in zip(first["locations"], second["locations"], strict=True):
        same = [key for key in theirs if key not in ("repeats", "known_before")]
        assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
        assert ours["known_before"] == pytest.approx(theirs["known_before"], abs=0)


def revise(kinds: dict[str, Any], hour: int, value: float) -> dict[str, Any]:
    """The demand of `hour` alone, with another `value`."""
    source, rule, rows = kinds["demand"]
    return {"demand": (source, rule, [rows[hour]._replace(value=value)])}


def test_revised_hours_stay_and_are_counted(folder: Path, tmp_path: Path) -> None:
    """A revision of an earlier hour changes no bit of the earlier steps; the manifest counts those that it would
    change, report and comparison tell of it, and the new steps are derived from it."""
    lake = Lake.open(str(tmp_path / "lake"))
    asyncio.run(fill(lake, KINDS))
    keys = {"features": {"lags": [24, 168]}, "pictures": False}
    earlier = tensors.open_mapped(prepare(tmp_path / "lake", keys))[0]
    earlier = {name: array.copy() for name, array in earlier.items()}
    hour = DAYS * 24 - 30
    asyncio.run(fill(lake, revise(KINDS, hour, 117.0), files=1, day=401))
    full = prepare(tmp_path / "lake", keys, days=LATER, out=tmp_path / "full")
    grown = prepare(tmp_path / "lake", keys, days=LATER, extend=True)
    arrays, fresh = (tensors.open_mapped(path)[0] for path in (grown, full))
    steps = DAYS * 24
    for name in ("values", "mask", "quality", "targets", "target_mask"):
        np.testing.assert_array_equal(arrays[name][:, :steps], earlier[name], err_msg=name)
        np.testing.assert_array_equal(arrays[name][:, steps:], fresh[name][:, steps:], err_msg=name)
    changed = np.zeros((2, steps), bool)
    for name in ("values", "targets"):
        changed |= (fresh[name][:, :steps] != earlier[name]).any(axis=2)
    rows = [np.flatnonzero(place) for place in changed]
    different = read_set(grown).manifest["extends"]["different"]
    for place, hours in zip(("all", "few"), rows, strict=True):
        first, last = (START + int(row) * HOUR for row in hours[[0, -1]])
        assert different[place] == {"steps": len(hours), "from": first.isoformat(), "to": last.isoformat()}
        assert len(hours) == 3  # the target, its input 5 hours later, and the lag of a day
        assert hours[0] == hour
    comparison = compare_sets(read_set(grown), read_set(full))
    assert comparison["locations"]["few"]["cells"]["target eia/ISNE/demand"]["cells"] == 1
    assert any("extends an earlier set" in reason for reason in comparison["reasons"])


def test_hours_of_a_file_that_is_gone_are_counted(folder: Path, tmp_path: Path) -> None:
    """If a file that the set was made from is gone, the hours that it had changed are counted, and stay."""
    lake = Lake.open(str(tmp_path / "lake"))
    asyncio.run(fill(lake, KINDS))
    asyncio.run(fill(lake, revise(KINDS, DAYS * 24 - 100, 117.0), files=1, day=401))
    path = prepare(tmp_path / "lake", SMALL)
    (revision,) = {file["path"] for file in read_set(path).manifest["inputs"] if "_20250308_" in file["path"]}
    (tmp_path / "lake" / revision).unlink()
    before = tensors.open_mapped(path)[0]["targets"].copy()
    grown = prepare(tmp_path / "lake", SMALL, days=LATER, extend=True)
    different = read_set(grown).manifest["extends"]["different"]
    assert different["few"]["steps"] == 2  # the target, and its input 5 hours later
    np.testing.assert_array_equal(tensors.open_mapped(grown)[0]["targets"][:, : DAYS * 24], before)


def test_without_an_end_the_shares_stay_where_they_were(tmp_path: Path) -> None:
    """A set with shares for splits and without an end keeps the moments of its splits, and grows up to the end of its
    targets; preparing its spec again is not refused, and moves them."""
    lake = Lake.open(str(tmp_path))
    asyncio.run(
        fill(lake, {name: (source, rule, rows[: len(rows) * 4 // 5]) for name, (source, rule, rows) in KINDS.items()})
    )
    keys = {"splits": {}, "end": None, "locations": [{**PLACE, "name": "few", "inputs": ["eia/ISNE/demand"]}]}
    earlier = read_set(prepare(tmp_path, keys)).manifest
    asyncio.run(fill(lake, KINDS, day=401))
    later = read_set(prepare(tmp_path, keys, extend=True)).manifest
    names = ("train_end", "validation_end")
    assert [later["bounds"][name] for name in names] == [earlier["bounds"][name] for name in names]
    assert later["period"] == [earlier["period"][0], (START + timedelta(days=LATER)).isoformat()]
    assert later["extends"]["fingerprint"] == earlier["fingerprint"] != later["fingerprint"]
    assert later["extends"]["inputs"] == earlier["inputs"]
    again = {**later["spec"], "name": "growing"}
    assert read_set(prepare(tmp_path, again)).manifest["bounds"] == later["bounds"]  # the spec of its manifest
    prepare(tmp_path, keys, replace=True)
    anew = read_set(prepare(tmp_path, keys)).manifest
    assert anew["bounds"]["train_end"] > earlier["bounds"]["train_end"]
    assert "extends" not in anew


def test_what_comes_later_changes_no_bit_before(folder: Path, tmp_path: Path) -> None:
    """Values that become known after a moment within the new hours change nothing that the extended set knows before
    it: neither inputs nor covariates of the future."""
    moment = 45 * 24
    keys = {"locations": WITH_FUTURE, "stride": 5, "min_targets": 0, "min_inputs": 0}
    spoiled = {}
    for name, (source, rule, rows) in KINDS.items():
        starts, ends = (np.array([microseconds(row[column]) for row in rows]) for column in (0, 1))
        by_rule = available_at(rule, starts, ends).tolist()
        known = [
            microseconds(row.published_at) if row.published_at else time
            for row, time in zip(rows, by_rule, strict=True)
        ]
        late = [time > microseconds(START + moment * HOUR) for time in known]
        spoiled_rows = [
            row._replace(value=row.value * 2) if is_late else row for row, is_late in zip(rows, late, strict=True)
        ]
        spoiled[name] = (source, rule, spoiled_rows)
    asyncio.run(fill(Lake.open(str(tmp_path / "lake")), spoiled))
    parts, after_moment = [], []
    for lake in (folder, tmp_path / "lake"):
        out = tmp_path / lake.name / "out"
        prepare(lake, keys, out=out)
        arrays = tensors.open_mapped(prepare(lake, keys, days=LATER, out=out, extend=True))[0]
        windows = arrays["windows.test"]
        t0 = windows[:, 1] + SPEC["seq_len"]
        early = np.flatnonzero((t0 <= moment) & (t0 > DAYS * 24))
        future = gather_covariates(arrays, "test", early, SPEC["seq_len"], 24)
        assert future is not None
        assert len(early) > 20
        parts.append([arrays["values"][:, :moment], arrays["mask"][:, :moment], future])
        assert not np.isnan(future).all()
        after_moment.append(arrays["values"][:, moment:])
    for before, after in zip(*parts, strict=True):
        np.testing.assert_array_equal(before, after)
    assert (after_moment[0] != after_moment[1]).any()


SMALL: dict[str, Any] = {
    "locations": [{**PLACE, "name": "few", "inputs": ["eia/ISNE/demand"]}],
    "features": {},
    "seq_len": 24,
}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"seq_len": 48}, "cannot be extended by another spec (seq_len differ)"),
        ({"features": {"lags": [1]}}, "cannot be extended by another spec (features differ)"),
        ({"splits": {"validation": 0.2}}, "its splits are given as other shares"),
        (
            {
                "splits": {name: (START + timedelta(days=20)).isoformat() for name in ("train_end", "validation_end")}
                | {"validation": 0}
            },
            "its scales, columns and rules were fitted on hours up to 2024-02-26T00:00Z",
        ),
        ({"end": (START + timedelta(days=DAYS)).isoformat()}, "there are no steps after it up to 2024-03-12T00:00Z"),
        ({"name": "unknown"}, "there is no set to extend"),
    ],
    ids=["windows", "cells", "shares", "earlier train end", "nothing to add", "no set"],
)
def test_what_cannot_be_extended_is_refused(folder: Path, tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    """Another spec, earlier train hours, a set that is not there and an end that is reached are refused with a fix,
    and nothing is written."""
    path = prepare(folder, SMALL, out=tmp_path)
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(TrainingError, match=re.escape(says)) as error:
        prepare(folder, SMALL | keys, days=LATER, out=tmp_path, extend=True)
    assert error.value.fix
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == files


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda metadata, _: metadata.pop("derivation"), "was made by an older version of Gridtide"),
        (lambda _, manifest: manifest["versions"].update(numpy="1.0"), r"by other versions \(numpy 1.0 then, "),
    ],
    ids=["before sets could grow", "another NumPy"],
)
def test_a_set_of_an_older_version_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, str], dict[str, Any]], object], says: str
) -> None:
    """A set that does not say how its rows were derived, or whose rows other versions made, is refused with a fix."""
    path = prepare(folder, SMALL, out=tmp_path)
    arrays, metadata = tensors.open_mapped(path)
    manifest = json.loads(metadata["manifest"])
    change(metadata, manifest)
    body = tensors.encode_tensors(arrays, metadata | {"manifest": json.dumps(manifest)})
    path.write_bytes(b"".join(map(bytes, body)))
    with pytest.raises(TrainingError, match=says) as error:
        prepare(folder, SMALL, days=LATER, out=tmp_path, extend=True)
    assert error.value.fix == "Prepare it anew once, without --extend; sets that are prepared now can be extended"


def test_later_train_hours_that_are_asked_for_keep_the_scales(folder: Path, tmp_path: Path) -> None:
    """Splits with later moments are used, and scales stay those of the set."""
    earlier = tensors.open_mapped(prepare(folder, SMALL, out=tmp_path))[0]["mean"].copy()
    moments = {"train_end": START + timedelta(days=42), "validation_end": START + timedelta(days=45)}
    keys = SMALL | {"splits": {name: moment.isoformat() for name, moment in moments.items()}}
    path = prepare(folder, keys, days=LATER, out=tmp_path, extend=True)
    np.testing.assert_array_equal(tensors.open_mapped(path)[0]["mean"], earlier)
    assert read_set(path).manifest["bounds"] == {
        "train_end": 42 * 24,
        "validation_end": 45 * 24,
        "steps": 50 * 24,
        "gap": 0,
    }


@pytest.mark.slow
def test_a_kill_leaves_the_old_set_or_the_new_one(folder: Path, tmp_path: Path) -> None:
    """A process that extends a set is killed before each of its writes and moves: the old set or the new one is whole,
    and extending it again leaves all files of the new one."""
    old = prepare(folder, SMALL, out=tmp_path / "old")
    before = old.read_bytes()
    spec = SPEC | SMALL | {"end": (START + timedelta(days=LATER)).isoformat()}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "tests.support.processes.killed", "extend", str(folder), str(tmp_path)]
    process = subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, text=True)
    *killed, finished = sorted((tmp_path / "killed").iterdir(), key=lambda path: int(path.name))
    statuses = [line.split()[1] for line in process.stdout.splitlines()]
    assert statuses == [*(str(-signal.SIGKILL) for _ in killed), "0"]
    new = {file.name: file.read_bytes() for file in (finished / "features/growing").iterdir()}
    assert len(killed) >= 8
    states = set()
    for lake in killed:
        path = lake / "features/growing/sequences.safetensors"
        states.add(path.read_bytes())
        is_old = path.read_bytes() == before
        if is_old:
            prepare(folder, SMALL, days=LATER, out=lake, extend=True)
        else:
            with pytest.raises(TrainingError, match="there are no steps after it"):
                prepare(folder, SMALL, days=LATER, out=lake, extend=True)
        assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == new
    assert states == {before, new["sequences.safetensors"]}
