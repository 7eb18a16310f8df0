"""Describes a lake as a Data Package, the format of Frictionless Data: `datapackage.json` at the top of the lake.

A resource is the files of an entry in one format; its months are another resource, as they have further columns. Paths
of a package may not leave its folder, so the description lies beside the folders of the entries.

Source: https://specs.frictionlessdata.io/data-package/ (version 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gridtide.catalog.entry_files import EntryFiles
from gridtide.catalog.making import EntryParts
from gridtide.catalog.page.page_data import LakePicture
from gridtide.catalog.records import format_moment
from gridtide.curated.months import name_dataset_folder, name_month_path
from gridtide.sources.contract import Licence

PACKAGE_PATH = "datapackage.json"

TIMES = ("interval_start", "interval_end", "published_at", "retrieved_at")

FIELDS: Mapping[str, str] = {
    "interval_start": "Start of the interval of the value, UTC",
    "interval_end": "End of the interval, UTC; the start again for an instant",
    "source": "Upstream",
    "location": "Balancing authority, zone, node or station",
    "variable": "Product of the upstream",
    "unit": "Unit of the value",
    "value": "The value; missing if the upstream reported none",
    "published_at": "When the upstream published the value, UTC; missing if it does not say so",
    "retrieved_at": "When the value was requested, UTC",
}
"""The columns of files of observations, and what they mean."""

MONTH_FIELDS: Mapping[str, str] = {
    **FIELDS,
    "stored_at": "When the file of the value was stored, UTC",
    "file": "Path of that file in the lake",
    "retrievals": "How many retrieved values the row stands for",
}
"""The columns of compacted months."""

RESOURCE_MEDIA = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}


def describe_package(picture: LakePicture) -> dict[str, Any]:
    """Returns the Data Package of the lake in `picture`: a resource for each entry with files of observations, and one
    for its compacted months."""
    licences = picture.catalogue.licences
    resources = [
        resource
        for entry_parts in picture.parts
        for resource in _describe_resources(entry_parts, licences[entry_parts.files.entry.source])
    ]
    return {
        "profile": "data-package",
        "name": "gridtide-lake",
        "title": "Power-grid data collected with Gridtide",
        "created": format_moment(picture.catalogue.made_at),
        "licenses": _list_distinct(resource["licenses"] for resource in resources if "licenses" in resource),
        "resources": resources,
    }


def _list_distinct(lists: Iterable[list[dict[str, str]]]) -> list[dict[str, str]]:
    distinct = {str(described): described for of_resource in lists for described in of_resource}
    return list(distinct.values())


def _describe_resources(entry_parts: EntryParts, licence: Licence | None) -> list[dict[str, Any]]:
    entry_files, entry = entry_parts.files, entry_parts.files.entry
    if not entry.tabular:
        return []
    paths = [file.path for file in entry_files.files if not file.file.removed]
    months = list_month_paths(entry_files)
    described = {"title": entry.description or entry.name, **_describe_terms(licence)}
    name = name_resource(f"{entry.output_folder}/{entry.file_prefix}")
    return [
        {"name": resource_name, "path": files, **described, **_describe_table(form, fields)}
        for resource_name, files, form, fields in (
            (name, paths, entry.format, FIELDS),
            (f"{name}/months", months, "parquet", MONTH_FIELDS),
        )
        if files
    ]


def list_month_paths(entry_files: EntryFiles) -> list[str]:
    """Returns the paths of the compacted months of the files, sorted."""
    entry = entry_files.entry
    folder = name_dataset_folder(entry.output_folder, entry.file_prefix)
    return [
        name_month_path(folder, month) for month in sorted({name for file in entry_files.files for name in file.months})
    ]


def _describe_terms(licence: Licence | None) -> dict[str, Any]:
    if licence is None:
        return {}
    name = {"name": licence.name} if licence.name else {}
    return {"licenses": [{**name, "title": licence.title, "path": licence.url}]}


def _describe_table(form: str, fields: Mapping[str, str]) -> dict[str, Any]:
    described = [{"name": name, "type": _name_type(name), "description": meaning} for name, meaning in fields.items()]
    schema = {"fields": described, "missingValues": [""]}
    return {"profile": "data-resource", "format": form, "mediatype": RESOURCE_MEDIA[form], "schema": schema}


def _name_type(field: str) -> str:
    if field in (*TIMES, "stored_at"):
        return "datetime"
    return {"value": "number", "retrievals": "integer"}.get(field, "string")


def name_resource(text: str) -> str:
    """Returns `text` as the name of a resource: lower case, with only letters, digits, dots, dashes and slashes.

    >>> name_resource("EIA demand/ISNE")
    'eia-demand/isne'
    """
    return re.sub(r"[^-a-z0-9._/]+", "-", text.lower())
