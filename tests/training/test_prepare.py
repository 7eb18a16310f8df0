"""From the files of the lake to a training set."""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide import curated
from gridtide.curated import Input
from gridtide.errors import StorageError, TrainingError
from gridtide.lake import Lake
from gridtide.training import preparation, reading, tensors
from gridtide.training.series import cleaning
from tests.support.grids import HOUR, PATTERNS, START, configuration, every_kind, fill

DAYS = 30
KINDS = every_kind(DAYS)
CONFIG = configuration(KINDS)
SPEC: dict[str, Any] = {
    "name": "small",
    "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": PATTERNS}],
    "seq_len": 48,
    "horizon": 24,
    "leads": [1, 24],
    "features": {"calendar": False},
    "pictures": False,
}

CARD = ("README.md", "croissant.json")
"""The data card of every set."""

RICH = SPEC | {
    "name": "rich",
    "pictures": True,
    "export": ["npz"],
    "features": {"power": True, "prices": True, "weather": True, "lags": [24], "rolling": [3, 24]},
    "cleaning": {"outliers": "isolation_forest_fitted_on_train", "gaps": "interpolate_from_the_future"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with every kind of interval, in CSV and Parquet."""
    path = tmp_path_factory.mktemp("lake")
    asyncio.run(fill(Lake.open(str(path)), KINDS))
    return path


def prepare(folder: Path, **keys: Any) -> dict[str, Any]:
    """The report of a set with `SPEC` and `keys`."""
    return asyncio.run(preparation.prepare(SPEC | keys, CONFIG, Lake.open(str(folder)), replace=True))


def test_everything_that_was_ingested_is_in_the_set(folder: Path) -> None:
    """The period is that of the target, all series are columns, and the file matches the report."""
    report = prepare(folder)
    assert report["period"] == "2024-02-01T00:00/2024-03-02T00:00"
    assert report["shape"] == {"locations": 1, "steps": 720, "features": 9, "targets": 1, "seq_len": 48, "horizon": 24}
    assert report["splits"] == {"train": 19, "validation": 4, "test": 4}
    assert report["dropped"] == []
    json.dumps(report)
    mapped, metadata = tensors.open_mapped(folder / report["path"])
    assert mapped["values"].shape == (1, 720, 9)
    assert json.loads(metadata["manifest"]) == json.loads((folder / "features/small/manifest.json").read_text())


@pytest.mark.parametrize(
    ("patterns", "places"),
    [
        (["eia/ISNE/*", "open_meteo/boston/temperature_2m"], {"ISNE", "boston"}),
        (["iso_ne/UN.A/1/lmp_*"], {"UN.A/1"}),
        (["eia/ISNE/demand", "eia/IS*/demand"], None),
        (["e?a/ISNE/demand"], None),
        (["eia/[IN]*/demand"], None),
    ],
)
def test_locations_that_patterns_name(patterns: list[str], places: set[str] | None) -> None:
    """Patterns give their locations, or None if one of them may match any location."""
    assert reading.named_locations(patterns) == places


def test_values_are_scaled_by_train_hours_alone(folder: Path) -> None:
    """Observed train cells have mean 0 and deviation 1; missing cells are 0."""
    report = prepare(folder)
    mapped, _ = tensors.open_mapped(folder / report["path"])
    train = slice(0, 504)
    for column in range(9):
        values, mask = mapped["values"][0, train, column], mapped["mask"][0, train, column]
        np.testing.assert_allclose([values[mask].mean(), values[mask].std()], [0, 1], atol=1e-5)
    rows = [row.value for row in KINDS["demand"][2]]
    truth = mapped["targets"][0, :, 0] * mapped["target_deviation"][0, 0] + mapped["target_mean"][0, 0]
    np.testing.assert_allclose(truth, rows, rtol=1e-6)


@pytest.mark.slow
def test_values_after_the_train_hours_change_no_statistic(folder: Path, tmp_path: Path) -> None:
    """Values after the train period do not change the scales."""
    split = START + 504 * HOUR
    other = {
        name: (source, rule, [r._replace(value=(r.value or 0) + 7) if r.interval_end > split else r for r in rows])
        for name, (source, rule, rows) in KINDS.items()
        if name in ("demand", "weather")
    }
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS | other))
    scales = [tensors.open_mapped(where / prepare(where)["path"])[0] for where in (folder, tmp_path)]
    for name in ("mean", "deviation", "target_mean", "target_deviation"):
        np.testing.assert_array_equal(scales[0][name], scales[1][name])
    assert not np.array_equal(scales[0]["values"], scales[1]["values"])


def test_a_later_retrieval_counts_unless_as_of_is_before_it(folder: Path, tmp_path: Path) -> None:
    """A correction is in the set unless `as_of` is before its storage."""
    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake, KINDS))
    files = [file for name in KINDS for file in asyncio.run(lake.list_files(name, name))]
    before = max(asyncio.run(lake.read_metadata(file.path)).stored_at for file in files)
    first = prepare(tmp_path)
    source, rule, rows = KINDS["demand"]
    corrected = {"demand": (source, rule, [r._replace(value=(r.value or 0) + 1000) for r in rows])}
    asyncio.run(fill(lake, corrected, day=401))
    means = [prepare(tmp_path, name="now")["path"], prepare(tmp_path, name="then", as_of=before.isoformat())["path"]]
    now, then = (float(tensors.open_mapped(tmp_path / path)[0]["target_mean"][0, 0]) for path in means)
    assert now == pytest.approx(then + 1000)
    assert first["fingerprint"] != prepare(tmp_path)["fingerprint"]


@pytest.mark.slow
def test_pinned_inputs_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Pinned inputs give the same bytes with other hash seeds and thread counts, and after newer files came."""
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS))
    asyncio.run(preparation.prepare(RICH, CONFIG, Lake.open(str(tmp_path))))
    first = {path.name: path.read_bytes() for path in (tmp_path / "features/rich").iterdir()}
    assert set(first) == {"sequences.safetensors", "sequences.npz", "report.html", "manifest.json", *CARD}
    pinned = json.loads(first["manifest.json"])["inputs"]
    asyncio.run(fill(Lake.open(str(tmp_path)), {"demand": (*KINDS["demand"][:2], KINDS["demand"][2][:99])}, files=1))
    for seed, threads in (("1", "1"), ("2", "5")):
        program = (
            "import asyncio, json, os, sys\n"
            f"os.cpu_count = lambda: {threads}\n"
            "from tests.training.test_prepare import CONFIG, RICH, Input, Lake, preparation\n"
            "pinned = [Input(**one) for one in json.loads(sys.argv[2])]\n"
            "asyncio.run(preparation.prepare(RICH, CONFIG, Lake.open(sys.argv[1]), inputs=pinned))\n"
        )
        counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS"), threads)
        environment = os.environ | counts | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, str(tmp_path), json.dumps(pinned)]
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[2])
        assert {path.name: path.read_bytes() for path in (tmp_path / "features/rich").iterdir()} == first


@pytest.mark.slow
def test_compaction_changes_no_byte(tmp_path: Path) -> None:
    """Compacted months give the same bytes as their files, including revisions."""
    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake, KINDS))
    source, rule, rows = KINDS["demand"]
    revised = [r._replace(value=(r.value or 0) + 1) for r in rows[:99]]
    asyncio.run(fill(lake, {"demand": (source, rule, revised)}, files=1, day=401))
    first = (tmp_path / prepare(tmp_path)["path"]).read_bytes()
    for entry in CONFIG.apis:
        asyncio.run(curated.compact(lake, entry))
    assert (tmp_path / prepare(tmp_path)["path"]).read_bytes() == first


def test_the_export_holds_the_same_arrays(folder: Path) -> None:
    """The npz export has the arrays of the safetensors file."""
    report = prepare(folder, name="exported", export=["npz"])
    mapped, _ = tensors.open_mapped(folder / report["path"])
    with np.load(folder / "features/exported/sequences.npz") as exported:
        assert set(exported) == set(mapped)
        for name in exported:
            np.testing.assert_array_equal(exported[name], mapped[name])
    assert not (folder / "features/small/sequences.npz").exists()


def test_nothing_of_an_earlier_set_stays_beside_a_new_one(tmp_path: Path) -> None:
    """Exports and pictures of an earlier set of the same name are removed."""
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS))
    prepare(tmp_path, export=["npz"], pictures=True)
    prepare(tmp_path, seq_len=24)
    assert {path.name for path in (tmp_path / "features/small").iterdir()} == {
        *("sequences.safetensors", "manifest.json"),
        *CARD,
    }


def test_a_set_is_not_replaced_in_part(tmp_path: Path) -> None:
    """If a folder has the name of one of its files, the old set stays with all of its files, and nothing is beside
    it."""
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS))
    prepare(tmp_path)
    folder = tmp_path / "features/small"
    (folder / "README.md").unlink()
    (folder / "README.md" / "notes").mkdir(parents=True)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(StorageError, match=r"features/small/README\.md: is a folder.*Rename or move the folder"):
        prepare(tmp_path, seq_len=24)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["README.md"]


def test_what_a_killed_process_left_of_a_set_is_removed(tmp_path: Path) -> None:
    """Files of a successor that nobody has changed for a day go with the next set, partial ones too, which stores do
    not list; those of a process that may still write stay."""
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS))
    folder = tmp_path / "features/small"
    for name, age in (("new-0123456789abcdef", 90_000), ("new-fedcba9876543210", 60)):
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").write_text("{}")
        (folder / name / "sequences.safetensors#1").write_bytes(bytes(99))
        for path in (*(folder / name).iterdir(), folder / name):
            os.utime(path, (time.time() - age,) * 2)
    prepare(tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        *("sequences.safetensors", "manifest.json", "new-fedcba9876543210"),
        *CARD,
    }


def test_the_manifest_says_what_each_column_is_and_what_was_rejected(tmp_path: Path) -> None:
    """The manifest has formula, unit and look-back of every column, counts by rule, and versions."""
    source, rule, rows = KINDS["demand"]
    broken = [r._replace(value=-5) if n in (100, 101) else r for n, r in enumerate(rows)]
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS | {"demand": (source, rule, broken)}))
    report = prepare(tmp_path, features={"power": True, "weather": True, "lags": [24], "rolling": [3]})
    manifest = json.loads((tmp_path / "features/small/manifest.json").read_text())
    (place,) = manifest["locations"]
    assert all(column["formula"] and column["unit"] and column["key"] for column in place["columns"])
    assert {column["name"]: column["lookback"] for column in place["columns"]}["eia/ISNE/demand-5h mean 3h"] == 7
    for name in ("eia/ISNE/demand-5h", "target eia/ISNE/demand"):
        assert {rule: count for rule, count in place["rejected"][name].items() if count} == {"range": 2}
    assert report["locations"]["ISNE"]["rejected"].keys() == {"eia/ISNE/demand-5h", "target eia/ISNE/demand"}
    mapped, _ = tensors.open_mapped(tmp_path / report["path"])
    names = [column["name"] for column in place["columns"][:9]]
    assert place["imputed"] == dict(zip(names, (mapped["quality"][0] == cleaning.IMPUTED).sum(axis=0), strict=True))
    assert place["imputed"]["eia/ISNE/demand_forecast_day_ahead+24h"] == 0, "the row before speaks of another hour"
    assert set(manifest["versions"]) == {"gridtide", "numpy", "pyarrow", "holidays"}
    np.testing.assert_array_equal(mapped["quality"] == cleaning.REPORTED, mapped["mask"][..., :9])
    assert (mapped["quality"][0, 105:107, 0] == cleaning.REJECTED).all()
    assert mapped["target_mask"][0, 99:103, 0].tolist() == [True, False, False, True]


def test_only_good_values_are_used_where_the_spec_says_so(folder: Path) -> None:
    """With the minimum `good`, the hours of metered demand without a template are missing too; the manifest counts them
    for each column and target, and everything else is as without it."""
    counts, masks = {}, {}
    for minimum in ("not_evaluated", "good"):
        report = prepare(folder, quality={"minimum": minimum})
        manifest = json.loads((folder / "features/small/manifest.json").read_text())
        assert manifest["spec"].get("quality", {"minimum": "not_evaluated"}) == {"minimum": minimum}
        (place,) = manifest["locations"]
        counts[minimum] = {name: rules.get("not_evaluated", 0) for name, rules in place["rejected"].items()}
        mapped, _ = tensors.open_mapped(folder / report["path"])
        names = [column["name"] for column in place["columns"]]
        masks[minimum] = dict(zip(names, mapped["mask"][0].T, strict=True))
    assert set(counts["not_evaluated"].values()) == {0}
    assert {name: count for name, count in counts["good"].items() if count} == {
        "eia/ISNE/demand-5h": 72,
        "iso_ne/ISNE/load_five_minute-1h": 72,
        "target eia/ISNE/demand": 72,
    }
    for name, mask in masks["good"].items():
        lost = int(masks["not_evaluated"][name].sum() - mask.sum())
        assert lost == counts["good"][name], name


def test_a_pinned_file_that_changed_is_refused(folder: Path) -> None:
    """A changed pinned file is refused by name; the inputs of a manifest give the same set."""
    prepare(folder)
    pinned = [Input(**one) for one in json.loads((folder / "features/small/manifest.json").read_text())["inputs"]]
    manifest = json.loads((folder / "features/small/manifest.json").read_text())
    report = asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(str(folder)), inputs=manifest["inputs"]))
    assert report["fingerprint"] == manifest["fingerprint"]
    other = [Input(pinned[0].entry, pinned[0].path, "0" * 64), *pinned[1:]]
    with pytest.raises(StorageError, match="is not the file that was pinned"):
        asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(str(folder)), inputs=other))


@pytest.mark.parametrize(
    "file", ["eia/a.parquet", {"path": "eia/a.parquet"}, {"entry": "eia", "path": "a", "content_hash": "0", "size": 1}]
)
def test_what_is_no_input_of_a_manifest_is_refused(folder: Path, file: Any) -> None:
    """The error shows it, and says what the inputs of a manifest are."""
    with pytest.raises(TrainingError, match=r"inputs: .* is not a file as .* have entry, path, content_hash"):
        asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(str(folder)), inputs=[file]))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"seq_len": 700}, r"a window is 724 hours long .* only 720 hours"),
        ({"locations": [{"name": "x", "targets": ["eia/ISNE/demnd"], "inputs": PATTERNS}]}, "demnd"),
        ({"locations": [{"name": "x", "targets": ["eia/ISNE/demand"], "inputs": ["eia/NYIS/*"]}]}, "matches no series"),
        (
            {"locations": [{"name": "x", "targets": ["caiso/TAC/load"], "inputs": ["caiso/*/*"]}]},
            "no entry has source caiso",
        ),
        ({"seq_len": 690}, r"no window falls into train"),
        ({"seq_len": 696}, r"no window falls into train .*1 fit\).*a share of 0 is for none"),
        ({"splits": {"validation": 0, "test": 1e-9}}, r"a step for each of train, test.*0 is for no such split"),
        (
            {"splits": {"train_end": "2024-02-20T00:00Z", "validation_end": "2024-02-25T00:00Z", "test": 0}},
            r"validation to 2024-02-25T00:00\).*a step for each of train, validation\. ",
        ),
        ({"splits": {"train_end": "2024-02-20T00:00Z", "validation_end": "2024-03-05T00:00Z"}}, "do not lie within"),
        ({"splits": {"validation": 0.02}}, r"no window falls into validation"),
        ({"splits": {"validation": 1e-9}}, r"train to 2024-02-26T12:00, validation to 2024-02-26T12:00.*larger shares"),
        ({"splits": {"gap": 2000}}, r"targets: train 504 h, validation 0 h, test 0 h.*shorter .*gap"),
        ({"end": "2034-01-01T00:00Z"}, r"observed in 2024-02-01T00:00/2024-03-02T00:00"),
        ({"as_of": "2020-01-01T00:00Z"}, r"no values of eia/ISNE/demand are stored as of 2020-01-01T00:00\+0000"),
        (
            {"locations": [{"name": "x", "targets": ["eia/ISN/demand"], "inputs": PATTERNS}]},
            "no values of eia/ISN/demand are stored. Of these entries there are eia/ISNE/demand, ",
        ),
        ({"start": "2020-01-01T00:00Z", "end": "2020-02-01T00:00Z"}, "matches no series"),
        ({"start": "2024-03-02T06:00Z"}, "no values of eia/ISNE/demand are stored|only 0 hours"),
    ],
)
def test_an_impossible_spec_says_what_there_is(folder: Path, keys: dict[str, Any], says: str) -> None:
    """A spec that cannot be fulfilled is refused, with the reason, figures and alternatives."""
    with pytest.raises(TrainingError, match=says):
        prepare(folder, **keys)


def test_a_target_that_is_null_throughout_is_not_offered_instead_of_itself(tmp_path: Path) -> None:
    """The alternatives for a target without values do not include the target itself."""
    source, rule, rows = KINDS["day_ahead"]
    asyncio.run(
        fill(Lake.open(str(tmp_path)), KINDS | {"day_ahead": (source, rule, [r._replace(value=None) for r in rows])})
    )
    place = {"name": "x", "targets": ["eia/ISNE/demand_forecast_day_ahead"], "inputs": PATTERNS}
    with pytest.raises(TrainingError, match=r"ahead are stored\. Of these entries there are eia/ISNE/demand; choose"):
        prepare(tmp_path, locations=[place])


def test_inputs_of_which_nothing_is_known_are_told(tmp_path: Path) -> None:
    """A forecast without values has no column; weather that starts after the train hours is left out."""
    kinds = dict(KINDS)
    for name in ("day_ahead", "weather"):
        source, rule, rows = KINDS[name]
        nothing = [row._replace(value=None) for row in rows]
        late = [row for row in rows if row.interval_start > START + timedelta(days=25)]
        kinds[name] = (source, rule, nothing if name == "day_ahead" else late)
    asyncio.run(fill(Lake.open(str(tmp_path)), kinds))
    report = prepare(tmp_path)
    assert report["dropped"] == ["eia/ISNE/demand_forecast_day_ahead", "open_meteo/boston/temperature_2m"]


@pytest.mark.parametrize("calendar", [False, True])
def test_a_window_that_saw_nothing_of_its_inputs_is_none(tmp_path: Path, calendar: bool) -> None:
    """Calendar columns do not count for the observed share of a window."""
    first, last = START + timedelta(days=4), START + timedelta(days=12)
    source, rule, rows = KINDS["weather"]
    kinds = KINDS | {"weather": (source, rule, [row for row in rows if not first <= row.interval_start < last])}
    asyncio.run(fill(Lake.open(str(tmp_path)), kinds))
    place = {"name": "x", "targets": ["eia/ISNE/demand"], "inputs": ["open_meteo/boston/*"]}
    path = prepare(tmp_path, locations=[place], features={"calendar": calendar})["path"]
    starts = tensors.open_mapped(tmp_path / path)[0]["windows.train"][:, 1].tolist()
    assert starts == [24 * day for day in range(19) if not 4 <= day <= 10]  # two days of context each


@pytest.mark.slow
def test_data_exactly_as_long_as_a_window_are_one_train_window(folder: Path) -> None:
    """With shares of 0, or split times at the end, data of one window gives one train window, and reading another
    split is an error."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    end = START + 72 * HOUR
    none = {"validation": 0, "test": 0}
    keys = {"start": START.isoformat(), "end": end.isoformat(), "pictures": True}
    made = [
        prepare(folder, name=name, splits=splits, **keys)
        for name, splits in {
            "shares": none,
            "moments": none | {"train_end": end.isoformat(), "validation_end": end.isoformat()},
        }.items()
    ]
    assert [report["splits"] for report in made] == [{"train": 1, "validation": 0, "test": 0}] * 2
    store = mlx_store.open_store(folder / made[0]["path"])
    (batch,) = mlx_store.get_training_sequences(store, batch_size=1)
    assert (batch["x"].shape[:2], batch["y"].shape) == ((1, 48), (1, 24, 1))
    np.testing.assert_array_equal(np.array(batch["x"])[0], store.mapped["values"][0, :48])
    for split in ("validation", "test"):
        with pytest.raises(TrainingError, match=f"{split}: is a split that the set's spec leaves out"):
            next(mlx_store.get_training_sequences(store, split))


def test_only_one_of_validation_and_test_may_be_asked_for(folder: Path) -> None:
    """With one of validation and test, the gap lies between the two remaining splits."""
    first = prepare(folder, splits={"validation": 0, "test": 0.25, "gap": 24})
    assert first["splits"] == {"train": 20, "validation": 0, "test": 6}
    second = prepare(folder, splits={"validation": 0.25, "test": 0, "gap": 24})
    assert second["splits"] == {"train": 20, "validation": 6, "test": 0}


def test_a_window_exactly_as_long_as_a_split_allows_is_kept(folder: Path) -> None:
    """A train period of seq_len + horizon hours has one train window."""
    bounds = {"train_end": (START + 72 * HOUR).isoformat(), "validation_end": (START + timedelta(days=10)).isoformat()}
    assert prepare(folder, splits=bounds)["splits"]["train"] == 1


@pytest.mark.parametrize("most", [10_000, 150_000], ids=["sequences", "pictures"])
def test_a_set_whose_successor_cannot_be_written_stays_as_it_was(tmp_path: Path, most: int) -> None:
    """If any file of a new set cannot be written, all files of the old set stay, and none of the new set exists."""
    asyncio.run(fill(Lake.open(str(tmp_path)), KINDS))
    prepare(tmp_path, pictures=True)
    files = {path: path.read_bytes() for path in (tmp_path / "features").rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot be stored"):
            prepare(tmp_path, pictures=True, horizon=12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in (tmp_path / "features").rglob("*") if path.is_file()} == files
    assert [path.name for path in (tmp_path / "features/small").iterdir() if path.is_dir()] == []
