"""The datasets that a run wrote and read, and their events: assets of Prefect, and OpenLineage.

    report ─► find_written ─┬─► prefect.asset.materialization.succeeded    the event feed of the server
                            └─► OPENLINEAGE_URL                            START and COMPLETE or FAIL of the run

A dataset is the files of one entry, or one training set. The server keeps no table of assets: the catalogue does.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridtide import __version__
from gridtide.lake.names import parse_name

RECEIVER = "OPENLINEAGE_URL"
"""The variable with the URL of a receiver of OpenLineage events, such as Marquez, as openlineage-python reads it."""

ENDPOINT, DEFAULT_ENDPOINT = "OPENLINEAGE_ENDPOINT", "api/v1/lineage"
"""The variable with the path of the receiver that takes events, and its default."""

API_KEY = "OPENLINEAGE_API_KEY"
"""The variable with the key that the receiver asks for, if it asks for one."""

SCHEMA_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

PRODUCER = f"urn:gridtide:{__version__}"

POST_TIMEOUT = 5.0
"""Seconds after which a receiver is given up."""


@dataclass(frozen=True, slots=True)
class RunDataset:
    """The files of an entry by folder and prefix, `eia_demand/demand`, or a training set, `features/<name>`. `files`
    are those that a run wrote or read."""

    name: str
    files: Sequence[str] = ()


def find_written(report: Mapping[str, Any]) -> list[RunDataset]:
    """Returns the datasets that the run with this report wrote, sorted by name."""
    results = [result for result in report["results"] if isinstance(result.get("files"), list)]
    paths = [path for result in results if not result.get("from_cache") for path in result["files"]]
    training_set = [RunDataset(report["path"].rpartition("/")[0], [report["path"]])] if "fingerprint" in report else []
    return [*group_files(paths), *training_set]


def group_files(paths: Iterable[str]) -> list[RunDataset]:
    """Returns the datasets of the files at `paths`, sorted by name; a path that is none of a file is left out."""
    by_dataset: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        if parsed := parse_name(name):
            by_dataset[f"{folder}/{parsed.prefix}"].append(path)
    return [RunDataset(name, sorted(files)) for name, files in sorted(by_dataset.items())]


def name_namespace(lake: str) -> str:
    """Returns the URI of the lake at `lake`, which may be a folder.

    >>> name_namespace("s3://bucket/grid"), name_namespace("/srv/grid data")
    ('s3://bucket/grid', 'file:///srv/grid%20data')
    """
    return lake if "://" in lake else Path(lake).absolute().as_uri()


def name_asset(lake: str, dataset: RunDataset) -> str:
    """Returns the key of `dataset` as an asset of Prefect: a URI with `_` for each character that Prefect refuses.

    >>> name_asset("/srv/grid data", RunDataset("eia/demand"))
    'file:///srv/grid_data/eia/demand'
    """
    place = lake if "://" in lake else f"file://{Path(lake).absolute()}"
    return re.sub(r"[^-\w./:~+@=,]", "_", f"{place}/{dataset.name}")


def build_run_events(
    flow: str,
    run_id: str,
    bounds: tuple[datetime, datetime],
    lake: str,
    datasets: tuple[Sequence[RunDataset], Sequence[RunDataset]],
    failure: str = "",
) -> list[dict[str, Any]]:
    """Returns the OpenLineage events of a run of `flow` from the first to the second of `bounds`, with its inputs and
    outputs in `datasets`: START, then COMPLETE, or FAIL if there is a `failure`."""
    namespace = name_namespace(lake)
    inputs, outputs = ([{"namespace": namespace, "name": item.name} for item in part] for part in datasets)
    common: dict[str, Any] = {
        "run": {"runId": run_id},
        "job": {"namespace": "gridtide", "name": flow},
        "producer": PRODUCER,
        "schemaURL": SCHEMA_URL,
    }
    message = {"_producer": PRODUCER, "_schemaURL": ERROR_FACET, "message": failure, "programmingLanguage": "PYTHON"}
    facets = {"facets": {"errorMessage": message}} if failure else {}
    ended = {**common, "run": {"runId": run_id, **facets}, "inputs": inputs, "outputs": outputs}
    started, finished = (moment.isoformat() for moment in bounds)
    return [
        {"eventType": "START", "eventTime": started, **common, "inputs": inputs, "outputs": []},
        {"eventType": "FAIL" if failure else "COMPLETE", "eventTime": finished, **ended},
    ]


ERROR_FACET = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json"


def receiver_address() -> str | None:
    """Returns the address that takes events, None if the environment names no receiver."""
    url = os.environ.get(RECEIVER)
    return f"{url.rstrip('/')}/{os.environ.get(ENDPOINT, DEFAULT_ENDPOINT).lstrip('/')}" if url else None


async def post_events(address: str, events: Sequence[Mapping[str, Any]]) -> str | None:
    """Posts `events` to the receiver at `address`, one after the other; returns what went wrong, or None."""
    import aiohttp

    key = os.environ.get(API_KEY)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        timeout = aiohttp.ClientTimeout(total=POST_TIMEOUT)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            for event in events:
                async with session.post(address, json=event) as answer:
                    if answer.status >= 400:
                        return f"it answered {answer.status}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"{type(error).__name__}"
    return None


def describe_receiver(address: str) -> str:
    """Returns the scheme, host and port of `address`, without a user, a password or a query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
