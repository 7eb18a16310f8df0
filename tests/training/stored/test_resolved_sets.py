"""Sets of minutes and of days, from the files of a lake to the hours of a model in service."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.lake import Lake
from gridtide.training import preparation, tensors
from tests.support.grids import START, configuration, every_kind, fill

mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")

DAYS, LATER = 60, 70
KINDS = {name: kind for name, kind in every_kind(LATER).items() if name not in ("fuel_mix", "five_minute")}
CONFIG = configuration(KINDS)
SPEC: dict[str, Any] = {
    "locations": [
        {
            "name": "ISNE",
            "timezone": "America/New_York",
            "targets": ["eia/ISNE/demand"],
            "inputs": ["eia/ISNE/*", "iso_ne/ISNE/*", "open_meteo/boston/*"],
            "future": ["iso_ne/ISNE/load_forecast"],
        }
    ],
    "start": START.isoformat(),
    "features": {"power": True, "weather": True, "lags": ["P1D"], "rolling": ["P3D"]},
    "splits": {"train_end": "2024-03-10T00:00Z", "validation_end": "2024-03-20T00:00Z"},
    "future_calendar": True,
}
RESOLVED: list[dict[str, Any]] = [
    {"resolution": "PT30M", "seq_len": "P2D", "horizon": "P1D", "stride": "P1D", "leads": ["PT1H"]},
    {"resolution": "P1D", "seq_len": 5, "horizon": 2, "stride": 1, "leads": [1], "min_inputs": 0},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with values after the end of the sets."""
    path = tmp_path_factory.mktemp("lake")
    asyncio.run(fill(Lake.open(str(path)), KINDS))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("keys", RESOLVED, ids=["half hours", "days"])
def test_the_newest_steps_are_those_of_a_later_set(folder: Path, keys: dict[str, Any]) -> None:
    """A set in another resolution is prepared with its page; the steps after it, for a model in service, equal those of
    a later set, and so do the covariates of the steps that are predicted then."""
    lake, paths = Lake.open(str(folder)), []
    for name, days, pictures in (("earlier", DAYS, True), ("later", LATER, False)):
        end = (START + timedelta(days=days)).isoformat()
        spec = SPEC | {"name": f"{name}_{keys['resolution'].lower()}", "end": end, "pictures": pictures} | keys
        report = asyncio.run(preparation.prepare(spec, CONFIG, lake))
        paths.append(folder / report["path"])
    page = (paths[0].parent / "report.html").read_text()
    assert ("steps of 30 min" if keys["resolution"] == "PT30M" else "60 days") in page
    mapped, _ = tensors.open_mapped(paths[1])
    store = mlx_store.open_store(paths[1])
    step = int(mapped["time"][1] - mapped["time"][0])
    until = START + timedelta(days=LATER - 3)
    end_row, count = (until - START) // timedelta(seconds=step), 2 * 86400 // step
    rows = slice(end_row - count, end_row)
    context = mlx_store.get_real_time_context(paths[0], 48, config=CONFIG, lake=str(folder), until=until)
    np.testing.assert_array_equal(np.array(context["x"]), mapped["values"][:, rows])
    np.testing.assert_array_equal(np.array(context["mask"]), mapped["mask"][:, rows])
    assert context["time"].tolist() == mapped["time"][rows].tolist()
    assert np.array(context["mask"]).any()
    (batch,) = [
        (number, part)
        for part in mlx_store.iterate_batches(store, "test", batch_size=1)
        for number, start in enumerate(part["start"].tolist())
        if start + store.manifest["spec"]["seq_len"] == rows.stop
    ]
    number, part = batch
    np.testing.assert_array_equal(np.array(context["x_future"])[0], np.array(part["x_future"])[number])
    own = mlx_store.get_real_time_context(paths[1], 48)
    np.testing.assert_array_equal(np.array(own["x"]), mapped["values"][:, -count:])
