"""The data card of a set: Croissant metadata that a validator accepts, and what people must know."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gridtide.lake import Lake
from gridtide.sources.registry import get_source
from gridtide.training import preparation
from tests.support.grids import configuration, every_kind, fill

DAYS = 30
KINDS = {name: every_kind(DAYS)[name] for name in ("demand", "weather")}
SPEC: dict[str, Any] = {
    "name": "card",
    "locations": [
        {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*", "open_meteo/boston/*"]},
    ],
    "seq_len": 48,
    "horizon": 24,
    "pictures": False,
    "export": ["npz"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a set of two sources."""
    lake = Lake.open(str(tmp_path_factory.mktemp("lake")))
    asyncio.run(fill(lake, KINDS))
    report = asyncio.run(preparation.prepare(SPEC, configuration(KINDS), lake))
    return (Path(lake.uri.removeprefix("file://")) / report["path"]).parent


def test_a_validator_accepts_the_metadata(folder: Path) -> None:
    """mlcroissant, the validator of MLCommons, finds no error, and recommends a date of publication only, which a set
    that is the same whenever it is made does not have."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="the validator is in the extra test")
    issues = mlcroissant.Dataset(jsonld=folder / "croissant.json").metadata.ctx.issues
    assert list(issues.errors) == []
    assert [warning.split(" is recommended")[0].rpartition("/")[2] for warning in issues.warnings] == ['datePublished"']


def test_each_upstream_is_named_with_its_terms(folder: Path) -> None:
    """README and metadata give the licence and the terms of each source, the known faults, and how to cite the set."""
    described, card = json.loads((folder / "croissant.json").read_text()), (folder / "README.md").read_text()
    for name in ("eia", "open_meteo"):
        licence = get_source(name).LICENCE
        assert licence is not None
        assert licence.url in described["license"]
        assert licence.terms in described["usageInfo"]
        assert {"@type": "sc:Dataset", "name": name, "url": licence.url} in described["isBasedOn"]
        assert licence.terms in card
    assert described["citeAs"] in card
    assert described["rai:dataLimitations"]
    assert all(finding in card for finding in described["rai:dataLimitations"])
