"""Forecasts of load, wind and sun with a time of issue: from the answers of an upstream to `x_future`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gridtide.config.loading import load
from gridtide.evaluation.evaluation_set import open_evaluation
from gridtide.lake import Draft, Lake, Provenance
from gridtide.periods import Period
from gridtide.training import preparation
from tests.support.upstreams.sandbox_server import collect_observations

ROOT = Path(__file__).parents[3]
PERIOD = Period(datetime(2026, 5, 10, tzinfo=UTC), datetime(2026, 6, 6, tzinfo=UTC))
FORECASTS = ("load_forecast", "generation_wind_forecast", "generation_solar_forecast")


@pytest.mark.slow
async def test_each_step_shows_the_forecasts_that_the_operator_had_issued(tmp_path: Path) -> None:
    """SPP issues a forecast of a week each morning. At the gate, the hours of the next day show the values of the last
    issue by then, with its age, as a search through all answers finds them; issues of later days are in the lake, and
    do not count."""
    config, lake = load(ROOT / "api_config.json"), Lake.open(str(tmp_path))
    issued: dict[str, list[tuple[datetime, datetime, float]]] = {}
    for name in ("spp_load", "spp_load_forecast", "spp_wind_solar_forecast"):
        entry = config.entry(name)
        table = await collect_observations(entry, PERIOD)
        with Draft("parquet", Provenance(entry.name, PERIOD, entry.fingerprint)) as draft:
            draft.append(table)
            await lake.put_draft(draft, entry.output_folder, entry.file_prefix, datetime.now(UTC))
        for row in table.to_pylist():
            issued.setdefault(row["variable"], []).append((row["interval_start"], row["published_at"], row["value"]))
    place = {
        "name": "CSWS",
        "timezone": "America/Chicago",
        "targets": ["spp/CSWS/load"],
        "inputs": ["spp/CSWS/load"],
        "future": ["spp/SPP/*_forecast"],
    }
    spec = {"name": "issued", "locations": [place], "seq_len": 48, "gate": "10:00", "horizon": 25, "scaling": "none"}
    report = await preparation.prepare(spec | {"pictures": False}, config, lake)
    evaluation = open_evaluation(tmp_path / report["path"])
    windows = np.arange(len(evaluation.t0))
    assert len(windows) > 15
    names, values = evaluation.future(0, windows)
    assert set(names) == {f"spp/SPP/{variable}{suffix}" for variable in FORECASTS for suffix in ("", " age")}
    for window in windows:
        t0 = evaluation.moment(int(evaluation.t0[window]))
        for position in range(0, evaluation.target_end[window] - evaluation.first_target[window], 3):
            step = evaluation.moment(int(evaluation.first_target[window]) + position)
            for variable in FORECASTS:
                known = [(time, value) for start, time, value in issued[variable] if start == step and time <= t0]
                later = [time for start, time, _ in issued[variable] if start == step and time > t0]
                published, value = max(known)
                assert t0 - published < timedelta(days=1)
                assert later or step > PERIOD.end - timedelta(days=2)
                number = names.index(f"spp/SPP/{variable}")
                assert values[window, position, number] == np.float32(value)
                assert values[window, position, number + 1] == np.float32((t0 - published) // timedelta(hours=1) / 24)
