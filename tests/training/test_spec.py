"""Training specs: their keys, and the messages for wrong ones."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gridtide.config.readings import reading_once
from gridtide.errors import TrainingError
from gridtide.training import spec as spec_module
from gridtide.training.spec import TrainingSpec

SHIPPED = Path(__file__).parents[2] / "deployments" / "training"
PLACE = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}


def load(**keys: Any) -> TrainingSpec:
    """A spec with `keys` and the required ones."""
    return spec_module.load_spec({"name": "test", "locations": [PLACE]} | keys)


def test_defaults_are_a_year_of_hours_a_day_ahead() -> None:
    """The defaults are a context of a year and a horizon of a day."""
    made = load()
    assert (made.seq_len, made.horizon, made.stride, made.resolution) == (8760, 24, 24, timedelta(hours=1))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_specs_load(path: Path) -> None:
    """Each shipped spec is valid and has the name of its file."""
    assert spec_module.load_spec(path).name == path.stem


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"resolution": "PT20M"}, "resolution.*PT15M.*P1D"),
        ({"horizon": 0}, "horizon"),
        ({"seqlen": 24}, "seqlen: is not a key; there are name, .*, seq_len, horizon, "),
        ({"splits": {"train": 0.7}}, "splits.train: is not a key; there are train_end, validation_end, validation, "),
        (
            {"locations": [PLACE | {"zone": "UTC"}]},
            "locations.0.zone: is not a key; there are name, timezone, targets, ",
        ),
        ({"name": "../up"}, "name"),
        ({"start": "2024-01-02T00:00Z", "end": "2024-01-01T00:00Z"}, "end must be after start"),
        ({"start": "2024-01-01T00:30Z"}, "not on the hour"),
        ({"start": "2024-01-01T00:00+05:30"}, "not on the hour in UTC"),
        ({"start": "0001-01-01T00:00Z"}, "start.*not between 1900 and 2200"),
        ({"end": "9999-12-31T23:00Z"}, "end.*not between 1900 and 2200"),
        ({"name": "a" * 300}, "name.*100"),
        ({"features": {"lags": [24, 168, 24]}}, "features.lags: 24 comes more than once"),
        ({"features": {"rolling": [3, 3]}}, "features.rolling: 3 comes more"),
        ({"features": {"statistics": ["std", "std"]}}, "features.statistics: std comes more"),
        ({"leads": [1, 1]}, "leads: 1 comes more"),
        ({"start": "2024-01-01T00:00"}, "start.*timezone"),
        ({"locations": []}, "locations"),
        ({"locations": [PLACE, PLACE]}, "two have the same name"),
        ({"locations": [PLACE | {"inputs": ["demand"]}]}, "source/location/variable"),
        ({"locations": [PLACE | {"timezone": "Mars/Olympus"}]}, "not a time zone"),
        ({"splits": {"validation": 0.5, "test": 0.5}}, "nothing to train on"),
        ({"locations": [PLACE | {"holidays": "US-XX"}]}, "locations.0.holidays: US-XX is not a region.*US has .*MA"),
        ({"locations": [PLACE | {"holidays": "QQ"}]}, "give a country such as US"),
        ({"locations": [PLACE | {"holidays": "New England"}]}, "locations.0.holidays"),
        ({"features": {"rolling": [1]}}, "features.rolling.0"),
        ({"features": {"statistics": ["median"]}}, "features.statistics.0.*mean.*std"),
        ({"cleaning": {"fill_limit": 999}}, "cleaning.fill_limit"),
        ({"cleaning": {"gaps": "interpolate"}}, "cleaning.gaps.*interpolate_from_the_future"),
        ({"quality": {"minimum": "fine"}}, "quality.minimum.*good.*not_evaluated.*suspect"),
        ({"quality": {"least": "good"}}, "quality.least: is not a key; there are minimum"),
        (
            {"quality": {"minimum": "good"}, "cleaning": {"stale": 12}},
            "quality: its flags are those of the screening, which cleaning turns off",
        ),
        ({"export": ["hdf5"]}, "export.0.*npz"),
        ({"ring": {"ranks": 0}}, "ring.ranks"),
        ({"ring": {"layout": "spiral"}}, "ring.layout.*contiguous.*zigzag.*striped"),
        ({"splits": {"train_end": "2024-01-01T00:00Z"}}, "give both"),
        (
            {"splits": {"train_end": "2024-01-01T00:00Z", "validation_end": "2024-01-01T00:00Z"}},
            "validation_end must be after train_end, or the same where validation is 0",
        ),
        (
            {"splits": {"train_end": "2024-01-01T00:00Z", "validation_end": "2024-02-01T00:00Z", "validation": 0}},
            "or the same where validation is 0",
        ),
        ({"locations": [PLACE | {"static": {"peak": float("nan")}}]}, "locations.0.static.peak.*finite"),
        ({"cleaning": {"absurd": float("inf")}}, "cleaning.absurd.*finite"),
        ({"weights": {"peaks": float("inf")}}, "weights.peaks.*finite"),
        ({"splits": {"validation": -0.1}}, "splits.validation.*greater than or equal to 0"),
    ],
)
def test_a_bad_spec_says_what_is_wrong(keys: dict[str, Any], says: str) -> None:
    """The error names the key and the right value."""
    with pytest.raises(TrainingError, match=says):
        load(**keys)


def test_moments_are_those_of_utc() -> None:
    """The same time in another zone is the same spec with the same fingerprint."""
    assert load(start="2024-01-01T00:00-05:00") == load(start="2024-01-01T05:00Z")
    assert load(start="2024-01-01T00:00-05:00").model_dump(mode="json")["start"] == "2024-01-01T05:00:00Z"


def test_every_problem_is_told_at_once() -> None:
    """Two wrong keys are two lines of the message."""
    with pytest.raises(TrainingError) as raised:
        load(horizon=0, stride=0)
    assert "horizon" in str(raised.value)
    assert "stride" in str(raised.value)


def test_a_list_whose_items_are_wrong_is_not_called_empty_too() -> None:
    """A list with a wrong element gives one problem."""
    with pytest.raises(TrainingError) as raised:
        load(locations=[PLACE | {"targets": ["demand"]}])
    assert str(raised.value).count("\n") == 0


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    """A missing file and a file that is not JSON are named."""
    with pytest.raises(TrainingError, match=r"none\.json: cannot be read"):
        spec_module.load_spec(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(TrainingError, match=r"bad\.json: is not JSON"):
        spec_module.load_spec(tmp_path / "bad.json")


def test_every_key_says_what_it_is_for() -> None:
    """Every key has a description in the schema, from which the UI builds its form."""
    schema = TrainingSpec.model_json_schema()
    silent = [
        f"{name}.{key}"
        for name, model in {"TrainingSpec": schema, **schema["$defs"]}.items()
        for key, shown in model["properties"].items()
        if not shown.get("description")
    ]
    assert silent == []


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """A file with a byte order mark is read."""
    path = tmp_path / "spec.json"
    content = {"name": "marked", "locations": [{"name": "A", "targets": ["a/b/c"], "inputs": ["a/b/c"]}]}
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert spec_module.load_spec(path).name == "marked"


def test_a_spec_is_read_once_in_a_command(tmp_path: Path) -> None:
    """Inside `reading_once`, a changed file keeps its first content; outside, it is read again."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"name": "first", "locations": [PLACE]}))
    with reading_once():
        first = spec_module.load_spec(path)
        path.write_text(json.dumps({"name": "second", "locations": [PLACE]}))
        assert spec_module.load_spec(str(path)) is first
    assert spec_module.load_spec(path).name == "second"
