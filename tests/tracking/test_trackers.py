"""Prepared sets in real trackers: MLflow with a store of SQLite, and W&B offline."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from gridtide.errors import ConfigurationError, StorageError
from gridtide.lake import Lake
from gridtide.tracking.tracked_set import TrackedSet, open_tracked_set, read_tracked_set
from gridtide.tracking.trackers import hide_secrets, load_trackers, track_set
from gridtide.training import manifest
from tests.support.sets import training_set

pytestmark = pytest.mark.skipif(find_spec("mlflow") is None, reason="gridtide[mlflow] is not installed")

PASSWORD = "planted-71c5e0"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The database of a tracking store, for which the environment has MLflow's variables."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/runs.db")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.chdir(folder)  # where MLflow puts artifacts
        yield folder / "runs.db"


def write_tracked_set(folder: Path, seq_len: int = 24) -> TrackedSet:
    """A set with contexts of `seq_len` in features/two of the lake at `folder`, as a record."""
    lake = Lake.open(str(folder))
    asyncio.run(manifest.write_set(training_set(20, seq_len=seq_len, horizon=12), [], lake))
    return asyncio.run(read_tracked_set(lake, "features/two"))


def test_a_prepared_set_is_a_run_with_its_dataset(tmp_path: Path, store: Path) -> None:
    """The run has the spec, the sizes, all documents, and a dataset with fingerprint, statistics and columns; the same
    set gets no second run, another set does; a training run refers to the dataset that is there."""
    import mlflow

    from gridtide.tracking.mlflow_runs import load_mlflow_dataset

    record = write_tracked_set(tmp_path)
    trackers = load_trackers("mlflow")
    (described,), problems = track_set(trackers, record)
    assert problems == []
    client = mlflow.MlflowClient()
    run = client.get_run(described.split()[1])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "prepare two")
    assert (run.data.params["seq_len"], run.data.params["splits.test"]) == ("24", "0.15")
    assert (run.data.metrics["locations"], run.data.metrics["steps"]) == (2, 480)
    assert run.data.tags["gridtide.fingerprint"] == record.fingerprint
    folder = tmp_path / "features" / "two"
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"spec.json", "statistics.json", *(path.name for path in folder.iterdir())} - {
        "sequences.safetensors"
    }
    copy = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="manifest.json"))
    assert json.loads(copy.read_bytes()) == json.loads((folder / "manifest.json").read_bytes())

    (entry,) = run.inputs.dataset_inputs
    dataset = entry.dataset
    assert (dataset.name, dataset.digest) == ("two", record.fingerprint[:32])
    assert mlflow.data.get_source(dataset).uri == str(folder)
    profile = json.loads(dataset.profile)
    assert profile["fingerprint"] == record.fingerprint
    column = record.manifest["locations"][1]["columns"][0]["name"]
    assert profile["locations"]["NYIS"]["columns"][column] == record.statistics["locations"]["NYIS"]["columns"][column]
    keys = [column["name"] for column in json.loads(dataset.schema)["mlflow_colspec"]]
    assert keys == [column["key"] for column in record.manifest["locations"][0]["columns"]]

    (again,), _ = track_set(trackers, record)
    assert again == f"run {run.info.run_id} of MLflow, which has it already"
    (other,), _ = track_set(trackers, write_tracked_set(tmp_path / "other", seq_len=25))
    assert other.split()[1] != run.info.run_id

    with mlflow.start_run(experiment_id=run.info.experiment_id) as training:
        mlflow.log_input(load_mlflow_dataset(folder), context="training")
    (used,) = client.get_run(training.info.run_id).inputs.dataset_inputs
    assert used.dataset == dataset
    with sqlite3.connect(store) as database:
        assert database.execute("select count(*) from datasets where name = 'two'").fetchone() == (2,)


def test_a_run_that_fails_is_no_run_of_the_set(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts that cannot be stored fail the run and are a problem; the next attempt makes a run."""
    import mlflow

    (tmp_path / "blocked").write_text("a file, where a folder is needed")
    mlflow.create_experiment("blocked", artifact_location=str(tmp_path / "blocked"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "blocked")
    record, trackers = write_tracked_set(tmp_path), load_trackers("mlflow")
    runs, (problem,) = track_set(trackers, record)
    assert runs == []
    assert problem.startswith("two: it was not logged to mlflow: ")
    (tmp_path / "blocked").unlink()
    (described,), problems = track_set(trackers, record)
    assert problems == []
    (experiment,) = [item for item in mlflow.search_experiments() if item.name == "blocked"]
    stored = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    assert {run.info.run_id: run.info.status for run in stored}[described.split()[1]] == "FINISHED"
    assert sorted(run.info.status for run in stored) == ["FAILED", "FINISHED"]


@pytest.mark.slow
def test_wandb_stores_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account, a folder for `wandb sync` has the run with the fingerprint, and the staged documents."""
    pytest.importorskip("wandb", reason="gridtide[wandb] is not installed")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    record = write_tracked_set(tmp_path)
    (described,), problems = track_set(load_trackers("wandb"), record)
    assert problems == []
    folder = Path(described.split(" at ")[1])
    (stored,) = folder.glob("*.wandb")
    assert record.fingerprint.encode() in stored.read_bytes()
    staged = {path.read_bytes() for path in (tmp_path / "artifacts" / "staging").iterdir()}
    assert staged >= set(record.documents.values())


def test_mistakes_are_named(tmp_path: Path) -> None:
    """An unknown tracker and a folder without a set say what would be right."""
    assert load_trackers(" , ") == {}
    with pytest.raises(ConfigurationError, match=r"has neptune.*The trackers are: mlflow, wandb"):
        load_trackers("mlflow, neptune")
    with pytest.raises(StorageError):
        open_tracked_set(tmp_path)


def test_a_problem_has_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away is named without its password and token."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{PASSWORD}@127.0.0.1:1")
    _, (problem,) = track_set(load_trackers("mlflow"), write_tracked_set(tmp_path))
    assert PASSWORD not in problem
    assert "127.0.0.1" in problem
    monkeypatch.setenv("WANDB_API_KEY", PASSWORD)
    assert hide_secrets(f"key {PASSWORD} at postgresql://user:p@ss@host/x") == "key *** at postgresql://***@host/x"
