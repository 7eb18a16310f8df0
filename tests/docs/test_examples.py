"""The forecaster of the examples beats forecasts without training."""

import asyncio
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gridtide import sandbox
from gridtide.collect.collection import collect
from gridtide.config.loading import load
from gridtide.evaluation.comparison import compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import open_evaluation
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.sandbox.upstreams import list_secrets
from gridtide.training import preparation
from gridtide.training.spec import load_spec
from tests.support.sets import write_demand_set
from tests.support.shared import SHARED

pytest.importorskip("mlx.core", reason="MLX is an extra")

ROOT = Path(__file__).parents[2]
REAL = SHARED / "real" / "eia_hourly_2019_PACW_ISNE_ERCO.parquet"


async def prepared(folder: Path) -> str:
    """The training set of the README over a year, from the sandbox."""
    config, lake = load(ROOT / "api_config.json"), Lake.open(str(folder))
    period = Period(datetime(2023, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC))
    async with sandbox.run_sandbox() as url, Http(list_secrets()) as http:
        for name in ("eia_demand", "open_meteo_history"):
            entry = sandbox.redirect(config, url).entry(name)
            await collect(entry, lake=lake, http=http, stamp=datetime.now(UTC), period=period)
    asked = load_spec(ROOT / "examples" / "isne_demand.json")
    report = await preparation.prepare(
        asked.model_copy(update={"start": period.start, "end": period.end}), config, lake
    )
    assert report["splits"] == {"train": 249, "validation": 54, "test": 54}
    return str(report["path"])


def errors(*arguments: str) -> dict[str, list[float]]:
    """The errors that `train_mlx.py` prints: by location, of the model, the day before and the week before."""
    command = [sys.executable, str(ROOT / "examples" / "train_mlx.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=240)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\S+) +([\d,.]+) +([\d,.]+) +([\d,.]+)$", done.stdout, re.MULTILINE)
    return {place: [float(number.replace(",", "")) for number in numbers] for place, *numbers in rows}


@pytest.mark.slow
def test_the_forecaster_beats_seasonal_naive_on_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the test split, the forecaster beats the values of the day and of the week before; the run in MLflow has its
    error, and the set as its dataset."""
    mlflow = pytest.importorskip("mlflow", reason="gridtide[mlflow] is not installed")
    path = asyncio.run(prepared(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    found = errors("--track", str(tmp_path / path))
    assert list(found) == ["ISNE"]
    model, day, week = found["ISNE"]
    assert model < min(day, week)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert round(run.data.metrics["test_error/ISNE/model"], 1) == model
    fingerprint = json.loads((tmp_path / path).with_name("manifest.json").read_text())["fingerprint"]
    (used,) = run.inputs.dataset_inputs
    assert json.loads(used.dataset.profile)["fingerprint"] == fingerprint


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL.name} is not beside the project")
def test_the_forecaster_beats_seasonal_naive_on_real_rows() -> None:
    """The forecaster beats both in each of three regions over a year."""
    found = errors("--rows", str(REAL))
    assert set(found) == {"ISNE", "PACW", "ERCO"}
    for model, day, week in found.values():
        assert model < min(day, week)


@pytest.mark.slow
def test_the_forecaster_is_compared_with_others_on_the_same_windows(tmp_path: Path) -> None:
    """As a model of `gridtide evaluate`, the forecaster beats the day before on the test windows."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=200, seq_len=168))
    name = "examples.train_mlx:forecast_windows"
    comparison = compare_forecasters(evaluation, ["day", name], quantiles=False)
    errors = {row["model"]: row["mae"] for row in score_comparison(comparison)["scores"] if row["group"] == "all"}
    assert errors[name] < errors["day"]
