"""The data card of a training set: a README for people, and Croissant metadata for programs.

Croissant 1.0: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gridtide.sources.contract import Licence
from gridtide.sources.registry import get_source
from gridtide.variables import SeriesName

CROISSANT_TERMS = """citeAs column dataType equivalentProperty extract field fileObject fileProperty fileSet format
includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate
separator source subField transform"""
"""The terms of Croissant 1.0; its other terms have a type of their own in the context."""

CROISSANT_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{term: f"cr:{term}" for term in CROISSANT_TERMS.split()},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}

MEDIA_TYPES = {
    ".safetensors": "application/octet-stream",
    ".npz": "application/zip",
    ".json": "application/json",
    ".html": "text/html",
}

UNKNOWN_TERMS = "terms not known; see the pages of the upstream"


def collect_licences(manifest: Mapping[str, Any]) -> dict[str, Licence | None]:
    """Returns the licence of each source of the set of `manifest`, by name; None where its terms are not known."""
    series = {name for location in manifest["locations"] for name in location["targets"]}
    for location in manifest["locations"]:
        columns = [*location["columns"], *location.get("future", [])]
        series |= {column["series"] for column in columns if column["series"]}
    names = sorted({SeriesName.parse(name).source for name in series})
    return {name: get_source(name).LICENCE for name in names}


def describe_licence(licence: Licence | None) -> str:
    """Returns the title, the terms and the page of `licence` as Markdown."""
    if licence is None:
        return UNKNOWN_TERMS
    attribution = f" Name it as “{licence.attribution}”." if licence.attribution else ""
    return f"[{licence.title}]({licence.url}). {licence.terms}{attribution}"


def cite_set(manifest: Mapping[str, Any]) -> str:
    """Returns how the set is cited: its name, what made it, and the fingerprint that identifies it."""
    version = manifest["versions"]["gridtide"]
    return (
        f"Training set {manifest['spec']['name']}, made with Gridtide {version}, fingerprint {manifest['fingerprint']}"
    )


def write_card(manifest: Mapping[str, Any], report: Mapping[str, Any], findings: Sequence[str]) -> str:
    """Returns the README of the set with this `manifest` and `report`; `findings` are its known faults, a sentence
    each."""
    spec, shape = manifest["spec"], report["shape"]
    lines = [f"# {spec['name']}", "", spec["description"] or "A training set of power-grid series.", ""]
    lines += ["## What it is", ""]
    lines += [
        f"{shape['locations']} location(s) × {shape['steps']} {report['unit']} ({report['period']}, UTC) × "
        f"{shape['features']} columns, {shape['targets']} target(s). A window is {shape['seq_len']} "
        f"{report['unit']} of context and {shape['horizon']} {report['unit']} to predict. A row contains only what "
        "was available by its end."
    ]
    lines += ["", "| location | time zone | targets | inputs |", "|---|---|---|---|"]
    for described, place in zip(manifest["locations"], spec["locations"], strict=True):
        series = {column["series"] for column in described["columns"] if column["series"]}
        targets = ", ".join(described["targets"])
        lines.append(f"| {place['name']} | {place['timezone']} | {targets} | {len(series)} series |")
    lines += ["", "## Splits", "", "| split | windows |", "|---|---:|"]
    lines += [f"| {name} | {count} |" for name, count in report["splits"].items()]
    lines += ["", "A window belongs to the split of the hours that it predicts; scales are fitted on train hours.", ""]
    lines += ["## Where it comes from", "", "| source | licence and terms |", "|---|---|"]
    lines += [f"| {name} | {describe_licence(licence)} |" for name, licence in collect_licences(manifest).items()]
    lines += [
        "",
        f"{len(manifest['inputs'])} files, listed with their hashes in `manifest.json`; the same files and spec give",
    ]
    lines += ["the same bytes: `gridtide prepare --from manifest.json`.", ""]
    lines += ["## Quality and known faults", ""]
    lines += [f"- {finding}" for finding in findings] or ["No fault is known."]
    lines += ["", "## How to cite", "", f"{cite_set(manifest)}; and the sources, as their terms ask.", ""]
    return "\n".join(lines)


def write_croissant(
    manifest: Mapping[str, Any], sizes: Mapping[str, int], hashes: Mapping[str, str], findings: Sequence[str] = ()
) -> str:
    """Returns the Croissant metadata of the set as JSON-LD; `sizes` and `hashes` (SHA-256) are those of its files,
    `findings` its known faults, a sentence each."""
    spec = manifest["spec"]
    licences_by_source = collect_licences(manifest)
    licences = [licence for licence in licences_by_source.values() if licence]
    begin, end = manifest["period"]
    document = {
        "@context": CROISSANT_CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": spec["name"],
        "description": spec["description"] or f"Windows of power-grid series that predict {spec['horizon']} steps.",
        "license": [licence.url for licence in licences],
        "usageInfo": [licence.terms for licence in licences],
        "creditText": [licence.attribution for licence in licences if licence.attribution],
        "isBasedOn": [
            {"@type": "sc:Dataset", "name": name, **({"url": licence.url} if licence else {})}
            for name, licence in licences_by_source.items()
        ],
        "rai:dataLimitations": list(findings),
        "citeAs": cite_set(manifest),
        "version": manifest["versions"]["gridtide"],
        "identifier": manifest["fingerprint"],
        "temporalCoverage": f"{begin}/{end}",
        "variableMeasured": sorted({name for location in manifest["locations"] for name in location["targets"]}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{size} B",
                "encodingFormat": MEDIA_TYPES[name[name.rindex(".") :]],
                "sha256": hashes[name],
            }
            for name, size in sizes.items()
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)
