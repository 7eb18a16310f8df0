"""`datapackage.json` keeps the rules of the public schema, and names exactly the files of the lake."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from gridtide import curated
from gridtide.catalog.datapackage import describe_package
from gridtide.catalog.writing import picture_lake, write_catalog
from gridtide.entries.entry import Config
from gridtide.lake import Lake
from tests.support.lakes import HOUR, START, entry, put, row

PATH = r"^(?=[^./~])(?!file:)((?!/\.\./)(?!\\)(?!://).)*$"
FIELD_TYPES = ["string", "number", "integer", "boolean", "datetime", "date", "time", "object", "array", "any"]
LICENCES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "anyOf": [{"required": ["name"]}, {"required": ["path"]}],
        "properties": {
            "name": {"type": "string", "pattern": r"^([-a-zA-Z0-9._])+$"},
            "path": {"type": "string", "pattern": r"^(https?://|(?![./~]))"},
            "title": {"type": "string"},
        },
    },
}
RESOURCE: dict[str, Any] = {
    "type": "object",
    "required": ["name", "path"],
    "not": {"required": ["data"]},
    "properties": {
        "name": {"type": "string", "pattern": r"^([-a-z0-9._/])+$"},
        "path": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": PATH}, "uniqueItems": True},
        "licenses": LICENCES,
        "mediatype": {"type": "string", "pattern": "^(.+)/(.+)$"},
        "schema": {
            "type": "object",
            "required": ["fields"],
            "properties": {
                "fields": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"required": ["name"], "properties": {"type": {"enum": FIELD_TYPES}}},
                },
                "missingValues": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}
PACKAGE: dict[str, Any] = {
    "type": "object",
    "required": ["resources"],
    "properties": {
        "name": {"type": "string", "pattern": r"^([-a-z0-9._/])+$"},
        "created": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "licenses": LICENCES,
        "resources": {"type": "array", "minItems": 1, "items": RESOURCE},
    },
}
"""The rules of the schemas data-package, data-resource and table-schema (version 1) that bear on this package."""


async def fill(lake: Lake) -> Config:
    """Three entries: one with a pruned file, one as CSV with capitals in its folder, one without files."""
    demand, wind, unused = entry("demand"), entry("wind", "csv"), entry("unused")
    wind = msgspec.structs.replace(wind, output_folder="EIA wind/East", description="Wind")
    await put(lake, demand, 14, [row(hour, 1.0) for hour in range(10)])
    await curated.compact(lake, demand)
    await curated.prune(lake, demand, datetime.now(UTC) + timedelta(days=90))
    await put(lake, demand, 20, [row(hour, 2.0) for hour in range(3)])
    await put(lake, wind, 14, [row(hour, 1.0) for hour in range(10)])
    return Config(apis=(demand, wind, unused))


def test_the_package_keeps_the_rules_and_names_the_files(tmp_path: Path) -> None:
    """Every path is that of a file of the lake, every file of observations and month is in one resource."""
    lake = Lake.open(str(tmp_path))
    config = asyncio.run(fill(lake))
    picture = asyncio.run(picture_lake(lake, config, START + 30 * HOUR))
    asyncio.run(write_catalog(lake, picture))
    package = json.loads((tmp_path / "datapackage.json").read_text())
    assert [error.message for error in Draft202012Validator(PACKAGE).iter_errors(package)] == []
    paths = [path for resource in package["resources"] for path in resource["path"]]
    stored = [path for path in tmp_path.rglob("*") if path.suffix in (".parquet", ".csv")]
    assert sorted(paths) == sorted(str(path.relative_to(tmp_path)) for path in stored)
    names = [resource["name"] for resource in package["resources"]]
    assert names == ["demand/demand", "demand/demand/months", "eia-wind/east/wind"]
    assert package["licenses"] == [{"title": "Public domain", "path": "https://www.eia.gov/about/copyrights_reuse.php"}]


def test_the_fields_are_the_columns_of_the_files(tmp_path: Path) -> None:
    """A resource has the columns of its files, in their order."""
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    lake = Lake.open(str(tmp_path))
    config = asyncio.run(fill(lake))
    package = describe_package(asyncio.run(picture_lake(lake, config, START + 30 * HOUR)))
    for resource in package["resources"]:
        path = str(tmp_path / resource["path"][0])
        columns = pq.read_schema(path).names if resource["format"] == "parquet" else pacsv.read_csv(path).column_names
        assert [field["name"] for field in resource["schema"]["fields"]] == columns
