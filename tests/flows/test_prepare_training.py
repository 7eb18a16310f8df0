"""The flow that prepares a training set, on a real Prefect server."""

from pathlib import Path

import httpx
import msgspec
import pytest

from flows.prepare_training import prepare_training
from gridtide.config.loading import parse
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from gridtide.training import prepare
from tests.support.grids import configuration, every_kind, fill


async def test_the_artifact_says_what_is_in_the_set_and_links_its_pictures(tmp_path: Path, prefect_server: str) -> None:
    """The artifact shows windows, the quality of each input, rejected values and a link to the pictures; the run is
    named after the set."""
    kinds = {name: kind for name, kind in every_kind(20).items() if name == "demand"}
    source, rule, rows = kinds["demand"]
    kinds["demand"] = (source, rule, [*rows[:99], rows[99]._replace(value=-1), *rows[100:]])
    await fill(Lake.open(str(tmp_path)), kinds)
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
    spec = {"name": "shown", "locations": [place], "seq_len": 24, "horizon": 12}
    settings = msgspec.json.decode(msgspec.json.encode(configuration(kinds)))
    report = await prepare_training(spec, settings, str(tmp_path))
    async with httpx.AsyncClient() as client:
        artifact = (await client.get(f"{prefect_server}/artifacts/training-set/latest")).json()
        run = (await client.get(f"{prefect_server}/flow_runs/{artifact['flow_run_id']}")).json()
    text = artifact["data"]
    assert run["name"] == "prepare shown"
    assert f"]({(tmp_path / report['pictures']).as_uri()})" in text
    assert "| eia/ISNE/demand-5h | " in text
    assert "Rejected of target eia/ISNE/demand: 1 range" in text
    assert "windows of 24 + 12 hours" in artifact["description"]
    described = await prepare(spec, parse(settings), Lake.open(str(tmp_path)))
    assert {key: report[key] for key in described} == described
    assert {key: report[key] for key in report.keys() - described} == {
        "pipeline_status": "success",
        "lake": Lake.open(str(tmp_path)).uri,
        "summary": {"windows": sum(described["splits"].values()), "bytes": described["bytes"]},
        "results": [
            {"name": "ISNE", "targets": 1, "columns": len(described["locations"]["ISNE"]["columns"]), "error": None}
        ],
    }


async def test_trackers_are_told_of_the_set(
    tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a tracker named, the run logs the set there and says so in its log; a tracker that fails is an error in the
    log, and the set is there; one that is unknown is refused before anything is read."""
    mlflow = pytest.importorskip("mlflow", reason="gridtide[mlflow] is not installed")
    kinds = {name: kind for name, kind in every_kind(20).items() if name == "demand"}
    await fill(Lake.open(str(tmp_path)), kinds)
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
    spec = {"name": "tracked", "locations": [place], "seq_len": 24, "horizon": 12, "pictures": False}
    settings = msgspec.json.decode(msgspec.json.encode(configuration(kinds)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRIDTIDE_TRACKING", "mlflow")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    (tmp_path / "blocked").write_text("a file, where a folder is needed")
    for address in ("sqlite:///runs.db", "sqlite:///blocked/runs.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        report = await prepare_training(spec, settings, str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    (run,) = mlflow.search_runs(experiment_names=["gridtide"], output_format="list")
    assert run.data.tags["gridtide.fingerprint"] == report["fingerprint"]
    assert f"the set is logged: run {run.info.run_id} of MLflow" in caplog.messages
    assert any(message.startswith("tracked: it was not logged to mlflow: ") for message in caplog.messages)
    monkeypatch.setenv("GRIDTIDE_TRACKING", "mlflows")
    with pytest.raises(ConfigurationError, match="has mlflows"):
        await prepare_training(spec, settings, str(tmp_path))


def test_parameters_of_types_that_only_the_flow_imports_are_validated() -> None:
    """Prefect validates the parameters of a wrapped flow by the types of the flow's own module."""
    parameters: dict[str, object] = {"spec": "spec.json", "config": "api_config.json", "lake": None, "cluster": None}
    parameters |= {"replace": False, "files_of": None, "out": None, "extend": False}
    assert prepare_training.validate_parameters(parameters) == parameters
