"""Columns, targets and values that would spoil the scales of a set."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.errors import TrainingError
from gridtide.lake import Lake
from gridtide.observations.table import Row
from gridtide.training import preparation, tensors
from gridtide.training.reports import set_report
from tests.support.grids import HOUR, START, configuration, every_kind, fill

DAYS, TRAIN = 40, 28
KINDS = every_kind(DAYS)
SOURCE, RULE, ROWS = KINDS["demand"]
SPEC: dict[str, Any] = {
    "name": "scales",
    "locations": [
        {"name": name, "targets": [f"eia/{name}/demand"], "inputs": [f"eia/{name}/*"]} for name in ("ISNE", "ERCO")
    ],
    "start": START.isoformat(),
    "end": (START + timedelta(days=DAYS)).isoformat(),
    "splits": {
        "train_end": (START + timedelta(days=TRAIN)).isoformat(),
        "validation_end": (START + timedelta(days=34)).isoformat(),
    },
    "seq_len": 48,
    "horizon": 24,
    "features": {"calendar": False},
    "pictures": False,
}
LATE = START + timedelta(days=TRAIN)


def moved(location: str, variable: str = "demand", factor: float = 1000.0) -> list[Row]:
    """The demand under another name and with larger values."""
    return [row._replace(location=location, variable=variable, value=factor * (row.value or 0.0)) for row in ROWS]


def prepare(folder: Path, rows: list[Row], **keys: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Report, tensors and manifest of a set with `SPEC` and `keys`, from ISNE's demand and `rows`."""
    kinds = {"demand": (SOURCE, RULE, [*ROWS, *rows])}
    asyncio.run(fill(Lake.open(str(folder)), kinds))
    report = asyncio.run(preparation.prepare(SPEC | keys, configuration(kinds), Lake.open(str(folder)), replace=True))
    mapped, metadata = tensors.open_mapped(folder / report["path"])
    return report, dict(mapped), json.loads(metadata["manifest"])


@pytest.mark.parametrize("level", [None, 5.0], ids=["never observed", "constant"])
def test_a_location_whose_target_nothing_scales_is_refused(tmp_path: Path, level: float | None) -> None:
    """A location with an unscaled target is refused, with its name and the alternatives."""
    rows = [row if row.interval_start >= LATE else row._replace(value=level) for row in moved("ERCO")]
    with pytest.raises(TrainingError, match=r"targets are never observed.*ERCO: eia/ERCO/demand.*unscaled_targets"):
        prepare(tmp_path, rows, unscaled_inputs="drop", cleaning={"stale": 0})


def test_a_location_that_is_dropped_has_no_windows_and_no_raw_values(tmp_path: Path) -> None:
    """With `drop`, the location is in no split, and report and manifest name it."""
    rows = [row for row in moved("ERCO") if row.interval_start >= LATE]
    report, mapped, manifest = prepare(tmp_path, rows, unscaled_targets="drop")
    assert all((mapped[f"windows.{split}"][:, 0] == 0).all() for split in ("train", "validation", "test"))
    assert not mapped["target_mask"][1].any()
    assert np.abs(mapped["targets"]).max() < 20 > np.abs(mapped["values"]).max()
    assert "target eia/ERCO/demand" in report["locations"]["ERCO"]["unscaled"]
    assert manifest["locations"][1]["unscaled"] == report["locations"]["ERCO"]["unscaled"]


@pytest.mark.parametrize("level", [None, 0.0], ids=["never observed", "constant"])
def test_an_input_that_nothing_scales_is_left_out_where_it_is_so(tmp_path: Path, level: float | None) -> None:
    """An unscaled input is masked and named for its location, and kept for the other."""
    solar = [
        row if row.interval_start >= LATE else row._replace(value=level) for row in moved("ERCO", "net_generation")
    ]
    rows = [*moved("ERCO"), *moved("ISNE", "net_generation"), *solar]
    report, mapped, _ = prepare(tmp_path, rows)
    columns = [column.rpartition("/")[2] for column in report["locations"]["ISNE"]["columns"]]
    number = next(index for index, column in enumerate(columns) if column.startswith("net_generation"))
    assert mapped["mask"][0, :, number].any()
    assert not mapped["mask"][1, :, number].any()
    assert report["locations"]["ERCO"]["columns"][number] == "absent"
    assert [name.rpartition("/")[2][:14] for name in report["locations"]["ERCO"]["unscaled"]] == ["net_generation"]
    assert np.abs(mapped["values"]).max() < 20


def test_an_input_that_nothing_scales_may_be_pooled_or_refused(tmp_path: Path) -> None:
    """With `pool` it gets the scale of the other location; with `refuse` the message names it."""
    late = [row for row in moved("ERCO", "net_generation") if row.interval_start >= LATE]
    rows = [*moved("ERCO"), *moved("ISNE", "net_generation"), *late]
    _, mapped, manifest = prepare(tmp_path, rows, unscaled_inputs="pool")
    number = next(i for i, c in enumerate(manifest["locations"][0]["columns"]) if "net_generation" in c["name"])
    assert mapped["deviation"][1, number] == mapped["deviation"][0, number] != 1
    assert mapped["mask"][1, :, number].any()
    with pytest.raises(TrainingError, match=r"inputs are never observed.*ERCO: eia/ERCO/net_generation"):
        prepare(tmp_path, rows, unscaled_inputs="refuse")


@pytest.mark.parametrize("count", [1, 5])
def test_absurd_values_of_training_do_not_kill_their_column(tmp_path: Path, count: int) -> None:
    """Sentinels in the train hours are rejected and counted, and the other values are scaled as without them."""
    rows = moved("ISNE", "net_generation", 1.0)
    spoilt = [row._replace(value=900_000.0) if 100 <= n < 100 + count else row for n, row in enumerate(rows)]
    keys = {"locations": SPEC["locations"][:1]}
    _, without, _ = prepare(tmp_path / "without", [r for n, r in enumerate(rows) if not 100 <= n < 100 + count], **keys)
    report, mapped, _ = prepare(tmp_path / "with", spoilt, **keys)
    np.testing.assert_array_equal(mapped["deviation"], without["deviation"])
    np.testing.assert_array_equal(mapped["values"], without["values"])
    rejected = report["locations"]["ISNE"]["rejected"]
    assert [rules["absurd"] for name, rules in rejected.items() if "net_generation" in name] == [count]


def test_the_largest_scaled_values_are_told_by_split(tmp_path: Path) -> None:
    """The report has the largest scaled values of each column by split, as in the file; the sentence about it leaves
    out the calendar, whose rare days are far from their mean by nature."""
    keys = {"locations": SPEC["locations"][:1], "features": {"calendar": True}}
    report, mapped, manifest = prepare(tmp_path, [], **keys)
    bounds = manifest["bounds"]
    ranges = {
        "train": slice(0, bounds["train_end"]),
        "validation": slice(bounds["train_end"], bounds["validation_end"]),
        "test": slice(bounds["validation_end"], bounds["steps"]),
    }
    (column, largest), *_ = report["locations"]["ISNE"]["largest"].items()
    assert column == report["locations"]["ISNE"]["columns"][0]
    for split, rows in ranges.items():
        assert largest[split] == pytest.approx(float(np.abs(mapped["values"][0, rows, 0]).max()), abs=0.006)
    assert any(name.startswith("calendar/") for name in report["locations"]["ISNE"]["largest"])
    (sentence,) = [finding for finding in set_report.list_findings(report) if "Largest scaled values" in finding]
    assert column in sentence
    assert "calendar/" not in sentence


@pytest.mark.parametrize("late", [range(10, 12), range(38, 40)], ids=["in training", "in test"])
def test_days_on_which_a_forecast_is_late_take_no_column_away(tmp_path: Path, late: range) -> None:
    """A forecast that is late on two of 40 days keeps its leads, and is missing on these days."""
    rows = []
    for row in KINDS["forecast"][2]:
        day = (row.interval_start - START) // timedelta(days=1)
        rows.append(row._replace(published_at=row.interval_start + 3 * HOUR) if day in late else row)
    kinds = {"demand": KINDS["demand"], "forecast": (*KINDS["forecast"][:2], rows)}
    asyncio.run(fill(Lake.open(str(tmp_path)), kinds))
    location = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/demand", "iso_ne/ISNE/*"]}
    keys = {"locations": [location], "leads": [1, 24]}
    report = asyncio.run(preparation.prepare(SPEC | keys, configuration(kinds), Lake.open(str(tmp_path))))
    columns = report["locations"]["ISNE"]["columns"]
    assert [column for column in columns if "forecast" in column] == [
        f"iso_ne/ISNE/load_forecast+{lead}h" for lead in (1, 24)
    ]
    mapped, _ = tensors.open_mapped(tmp_path / report["path"])
    ahead = mapped["mask"][0, :, columns.index("iso_ne/ISNE/load_forecast+1h")]
    spoken_of = (np.arange(len(ahead)) + 1) // 24
    assert not ahead[np.isin(spoken_of, list(late))].any()
    assert ahead[~np.isin(spoken_of, list(late)) & (spoken_of < DAYS)].mean() > 0.99


def test_the_share_of_targets_that_were_published_before_is_told(tmp_path: Path) -> None:
    """Of day-ahead prices published at 13:00 UTC of the day before all hours of a window at 00Z; of demand none."""
    prices = [
        row._replace(variable="demand_forecast_day_ahead", published_at=row.interval_start.replace(hour=0) - 11 * HOUR)
        for row in ROWS
    ]
    places = [
        place | {"targets": ["eia/ISNE/demand", "eia/ISNE/demand_forecast_day_ahead"]}
        for place in SPEC["locations"][:1]
    ]
    report, _, manifest = prepare(tmp_path, prices, locations=places)
    shares = {"eia/ISNE/demand": 0.0, "eia/ISNE/demand_forecast_day_ahead": 1.0}
    assert report["locations"]["ISNE"]["known_before"] == manifest["locations"][0]["known_before"] == shares


def test_another_spec_of_the_same_name_replaces_a_set_only_if_told_to(tmp_path: Path) -> None:
    """The refusal says what differs, and the set is as it was; the same spec replaces it."""
    kinds = {"demand": (SOURCE, RULE, ROWS)}
    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake, kinds))
    spec = SPEC | {"locations": SPEC["locations"][:1]}
    first = asyncio.run(preparation.prepare(spec, configuration(kinds), lake))
    before = (tmp_path / first["path"]).read_bytes()
    with pytest.raises(
        TrainingError, match=r"features/scales/ holds a set of another spec \(horizon differ.*--replace"
    ):
        asyncio.run(preparation.prepare(spec | {"horizon": 1}, configuration(kinds), lake))
    assert (tmp_path / first["path"]).read_bytes() == before
    assert asyncio.run(preparation.prepare(spec, configuration(kinds), lake)) == first
    other = asyncio.run(preparation.prepare(spec | {"horizon": 1}, configuration(kinds), lake, replace=True))
    assert other["fingerprint"] != first["fingerprint"]


def test_equal_hours_are_judged_alike_wherever_a_set_begins(tmp_path: Path) -> None:
    """Values that stand still for 40 days are stale from the 600th hour on, also where a set begins amid them."""
    level = [row._replace(value=9000.0) if n > 24 else row for n, row in enumerate(ROWS)]
    kinds = {"demand": (SOURCE, RULE, level)}
    asyncio.run(fill(Lake.open(str(tmp_path)), kinds))
    spec = SPEC | {"locations": SPEC["locations"][:1], "cleaning": {"stale": 600, "absurd": 0}, "scaling": "none"}
    qualities = []
    for days in (0, 20):
        start = (START + timedelta(days=days)).isoformat()
        keys = {"name": f"from-{days}", "start": start, "splits": {"validation": 0, "test": 0}}
        report = asyncio.run(preparation.prepare(spec | keys, configuration(kinds), Lake.open(str(tmp_path))))
        mapped, _ = tensors.open_mapped(tmp_path / report["path"])
        qualities.append(np.array(mapped["quality"])[0, :, 0])
    assert qualities[0][20 * 24 :].tolist() == qualities[1].tolist()
