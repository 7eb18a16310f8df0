"""The flow that compares forecasters, on a real Prefect server."""

from pathlib import Path

import httpx
import pytest

from flows.evaluate import evaluate
from flows.run.report import RunError
from gridtide.errors import ConfigurationError, TrainingError
from gridtide.lake import Lake
from tests.support.grids import every_kind, fill
from tests.support.sets import write_demand_set


async def test_a_spec_is_prepared_and_its_scores_are_shown(tmp_path: Path, prefect_server: str) -> None:
    """A spec is prepared first; the report has a row for each model, the best first, and so has the artifact."""
    kinds = {name: kind for name, kind in every_kind(40).items() if name == "demand"}
    await fill(Lake.open(str(tmp_path)), kinds)
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
    spec = {"name": "compared", "locations": [place], "seq_len": 24, "horizon": 12, "pictures": False}
    url = "https://api.eia.gov/v2/electricity/rto/region-data/data/"
    entry = {"name": "demand", "url": url, "output_folder": "demand", "available": {"lag": "PT5H"}}
    report = await evaluate(spec, {"apis": [entry]}, str(tmp_path), ["persistence", "day"], quantiles=False)
    assert report["pipeline_status"] == "success"
    assert [row["name"] for row in report["results"]] == ["day", "persistence"]
    assert report["summary"] == {"compared": report["cells"]["compared"], "models": 2}
    folder = tmp_path / "features" / "compared" / "evaluation"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "scores.json"]
    async with httpx.AsyncClient() as client:
        artifact = (await client.get(f"{prefect_server}/artifacts/evaluation/latest")).json()
        run = (await client.get(f"{prefect_server}/flow_runs/{artifact['flow_run_id']}")).json()
    assert run["name"] == "evaluate compared"
    assert "| persistence | " in artifact["data"]
    assert artifact["description"].startswith("compared: demand in MWh, ")


async def test_a_set_is_evaluated_where_it_is_and_its_scores_written_elsewhere(
    tmp_path: Path, prefect_server: str
) -> None:
    """A set needs no configuration; with `out` nothing is written beside it. What is neither is refused, a
    forecaster that does not exist before a spec is prepared. With a forecaster that fails the others are scored, and
    the run fails."""
    folder = write_demand_set(tmp_path / "set", days=40)
    report = await evaluate(str(folder), models=["week"], out=str(tmp_path / "scores"))
    assert [row["name"] for row in report["results"]] == ["week"]
    assert [path.name for path in folder.iterdir()] == ["sequences.safetensors"]
    assert (tmp_path / "scores" / "evaluation" / "report.html").is_file()
    with pytest.raises(RunError, match=r"1 of 2 forecasters failed. operator: .*no forecast of the operator") as failed:
        await evaluate(str(folder), models=["week", "operator"], out=str(tmp_path / "scores"))
    assert failed.value.report["pipeline_status"] == "partial"
    assert [row["mae"] for row in failed.value.report["results"]] == [report["results"][0]["mae"], None]
    with pytest.raises(TrainingError, match="prophet is not a forecaster"):
        await evaluate({"name": "never read"}, models=["prophet"])
    with pytest.raises(ConfigurationError, match="Name the folder of a training set"):
        await evaluate(str(tmp_path / "nowhere"))
