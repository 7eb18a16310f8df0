"""Presets: what a product gives an entry, presets of one's own beside the configuration, and messages about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from gridtide.config.loading import load, parse
from gridtide.errors import ConfigurationError
from gridtide.sources.contract import Request, Response
from gridtide.sources.presets.catalogue import list_presets
from gridtide.sources.registry import get_source
from tests.support.presets import entry_of, requests_of

PRODUCTS = [(name, product) for name, preset in list_presets().items() for product in preset.products]

OWN = {
    "title": "My operator",
    "shared": {"url": "https://grid.example/<file>/{start:%Y%m%d}.csv", "timezone": "America/Denver", "unit": "MW"},
    "products": {"load": {"fill": {"file": "demand"}, "time": "at", "location": "zone", "value": {"mw": "load"}}},
}


def write_configuration(folder: Path, preset: Any, **keys: Any) -> Path:
    """A configuration with an entry of the preset `my_operator.json` beside it."""
    (folder / "my_operator.json").write_text(preset if isinstance(preset, str) else json.dumps(preset))
    entry = {"name": "mine", "source": "my_operator", "product": "load", "output_folder": "mine", **keys}
    path = folder / "api_config.json"
    path.write_text(json.dumps({"presets": ["my_operator.json"], "apis": [entry]}))
    return path


def problems_of(path: Path) -> str:
    """The problems of a configuration, as `gridtide validate` prints them."""
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    return str(refusal.value)


@pytest.mark.parametrize(("name", "product"), PRODUCTS)
def test_each_product_makes_an_entry(name: str, product: str) -> None:
    """An entry with a name, a source, a product, a folder and places is complete and has a description."""
    keys = {"locations": ["A"]} if "{location" in json.dumps(list_presets()[name].describe(product)) else {}
    entry = entry_of(name, product, **keys)
    assert (entry.source, entry.product) == (name, product)
    assert entry.description
    assert entry.rate_limit is not None
    assert entry.unit != "1"


@pytest.mark.parametrize(("name", "product"), PRODUCTS)
def test_a_product_is_the_same_at_any_host(name: str, product: str) -> None:
    """Files that were collected from another host of the operator, such as a sandbox at any port, cover the entry."""
    entry = entry_of(name, product, locations=["A"])
    moved = msgspec.structs.replace(entry, url=urlsplit(entry.url)._replace(netloc="127.0.0.1:4711").geturl())
    assert get_source(name).find_scope(moved) == get_source(name).find_scope(entry)
    other = msgspec.structs.replace(entry, url=urlsplit(entry.url)._replace(path="/another").geturl())
    assert get_source(name).find_scope(other) != get_source(name).find_scope(entry)


def test_a_file_beside_the_configuration_is_a_source(tmp_path: Path) -> None:
    """Its entries have its name as their source, in requests and in what is stored."""
    entry = load(write_configuration(tmp_path, OWN)).apis[0]
    assert (entry.source, entry.url) == ("my_operator", "https://grid.example/demand/{start:%Y%m%d}.csv")
    body = b"at,zone,mw\n2026-01-10T00:00,A,5\n2026-01-10T01:00,A,6\n"
    page = get_source("my_operator").parse_response(
        entry, Request(entry.url), Response(body, datetime(2026, 2, 1, tzinfo=UTC))
    )
    assert {(row["source"], row["location"], row["unit"]) for row in page.observations.to_pylist()} == {
        ("my_operator", "A", "MW")
    }


def test_an_entry_takes_precedence_over_its_preset(tmp_path: Path) -> None:
    """A key of the entry replaces that of the preset; parameters are added to those of the preset; null removes one."""
    preset = {**OWN, "shared": {**OWN["shared"], "params": {"type": "actual"}, "timeout": 90}}
    path = write_configuration(tmp_path, preset, params={"zone": "A"}, unit="GW", timeout=None)
    entry = load(path).apis[0]
    assert (dict(entry.params), entry.unit, entry.timeout) == ({"type": "actual", "zone": "A"}, "GW", 30)


@pytest.mark.parametrize(
    ("preset", "says"),
    [
        ("{", "my_operator.json: is not JSON"),
        ([], "my_operator.json: is a list, not an object"),
        ({"title": "x", "products": {}, "product": 1}, "my_operator.json: product: unknown key"),
        (
            {**OWN, "products": {"load": {"like": "report"}}},
            'my_operator.json: products.load.like: "report" is no template',
        ),
        ({**OWN, "products": {"load": {}}}, "my_operator.json: products.load.fill: has no word for <file>"),
        (
            {**OWN, "products": {"load": {"fill": {"file": "x"}, "tme": "at"}}},
            "my_operator.json: products.load: tme: unknown key",
        ),
        (
            {**OWN, "products": {"load": {"fill": {"file": "x"}, "label": "middle"}}},
            "my_operator.json: products.load: label: Invalid enum value",
        ),
    ],
)
def test_a_problem_of_a_preset_names_its_file_and_key(tmp_path: Path, preset: Any, says: str) -> None:
    """All that `validate` says of a preset begins with its file and the place in it."""
    assert says in problems_of(write_configuration(tmp_path, preset))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"product": None}, "mine: product: is missing; give one of load"),
        ({"product": "demand"}, "mine: product: 'demand' is none of my_operator; give one of load"),
        (
            {"source": "generic"},
            'product: goes with the "source" of a preset, which "generic" is not; there are: ',
        ),
    ],
)
def test_a_wrong_product_is_refused_with_those_there_are(tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    """The message names the entry, the key, and what would be right."""
    assert says in problems_of(write_configuration(tmp_path, OWN, **keys))


def test_a_preset_that_is_absent_or_has_a_name_of_gridtide_is_refused(tmp_path: Path) -> None:
    """A file that is not there, and one that is called as a preset of Gridtide is."""
    path = write_configuration(tmp_path, OWN)
    data = json.loads(path.read_text()) | {"presets": ["my_operator.json", "gone.json", "nyiso.json", "My Grid.json"]}
    path.write_text(json.dumps(data))
    text = problems_of(path)
    assert "gone.json: cannot be read: No such file or directory; put it beside the configuration" in text
    assert "nyiso.json: nyiso is a source of Gridtide" in text
    assert "My Grid.json: is not the name of a preset" in text


def test_the_host_of_an_operator_alone_does_not_make_a_preset() -> None:
    """Entries that describe an operator's files by themselves stay entries of the generic source."""
    raw = {"name": "x", "url": "http://mis.nyiso.com/public/csv/pal/{start:%Y%m%d}pal.csv", "output_folder": "x"}
    assert parse({"apis": [raw]}).apis[0].source == "generic"


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("pjm", "load_forecast"),
        ("pjm", "wind_forecast"),
        ("pjm", "solar_forecast"),
        ("pjm", "solar_forecast_five_minute"),
    ]
    + [("ercot", product) for product in ("load_forecast", "load_forecast_zones", "wind", "solar")],
)
def test_no_minute_of_issue_lies_between_two_requests(name: str, product: str) -> None:
    """Forecasts may be issued at any minute: the bounds of requests for adjacent periods, both inclusive, meet."""
    day = timedelta(days=1)  # of late, as the archives of old days are requested otherwise
    middle = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None) - 2 * day
    bounds = []
    for start in (middle - day, middle):
        (request,) = requests_of(name, product, start, start + day)
        values = parse_qs(urlsplit(request.url).query) | {key: [str(value)] for key, value in request.params}
        if name == "pjm":
            texts = values["evaluated_at_ept"][0].split("to")
            bounds.append([datetime.strptime(text, "%m/%d/%Y %H:%M") for text in texts])
        else:
            bounds.append([datetime.fromisoformat(values[f"postedDatetime{end}"][0]) for end in ("From", "To")])
    assert bounds[0][1] < bounds[1][0] <= bounds[0][1] + timedelta(minutes=1)


BROKEN: list[tuple[Any, str]] = [
    ("{title: 1}", "my_operator.json: is not JSON: "),
    ("[]", "my_operator.json: is a list, not an object"),
    ({"title": "x"}, "my_operator.json: products: is missing"),
    (OWN | {"products": {"load": "x"}}, "my_operator.json: products.load: is a text, not an object"),
    (
        OWN | {"products": {"load": OWN["products"]["load"] | {"like": "zip"}}},
        'products.load.like: "zip" is no template',
    ),
    (OWN | {"products": {"load": OWN["products"]["load"] | {"fill": "x"}}}, "products.load.fill: is a text, not an"),
    (OWN | {"products": {"load": OWN["products"]["load"] | {"tiem": "at"}}}, "products.load: tiem: unknown key"),
    (OWN | {"shared": {"unit": "MW"}}, "products.load: url: is missing"),
    (OWN | {"variables": ["lod"]}, 'variables: "lod" is none of load, '),
]


@pytest.mark.parametrize(("preset", "problem"), BROKEN)
def test_a_broken_preset_is_the_one_problem(tmp_path: Path, preset: Any, problem: str) -> None:
    """Entries of a preset that has a problem add none, as what they lack is in that file."""
    problems = problems_of(write_configuration(tmp_path, preset))
    assert "1 problem:" in problems
    assert problem in problems


def test_an_entry_without_its_product_has_one_problem(tmp_path: Path) -> None:
    """A missing or unknown product, and a product of no preset, are named without the keys that it would give."""
    for keys, problem in (
        ({"product": "lod"}, "product: 'lod' is none of my_operator; give one of load"),
        ({"product": None}, "product: is missing; give one of load"),
        ({"source": "my_operater"}, 'which "my_operater" is not; there are: entsoe, '),
    ):
        problems = problems_of(write_configuration(tmp_path, OWN, **keys))
        assert "1 problem:" in problems
        assert problem in problems
