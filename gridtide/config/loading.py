"""Strict models of `api_config.json`: what is collected, one entry per API.

`load(path)` either returns a `Config` in which every entry is complete (source inferred, defaults
of its source filled in), or raises one `ConfigurationError` that lists every problem at once, each
with the entry, the key and what would be right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from gridtide.config import raw_entry
from gridtide.entries.entry import Available, BasicAuth, Config, Entry, KeyAuth, RateLimit
from gridtide.entries.field_types import WholeMinutes
from gridtide.entries.structs import json_type, read_value
from gridtide.errors import ConfigurationError
from gridtide.sources.registry import HOSTS, NAMES, source

LEAST = '[{"name": …, "url": …, "output_folder": …}]'
"""The least that "apis" may be."""


def load(path: str | Path) -> Config:
    """The configuration in the JSON file `path`; raises `ConfigurationError` with every problem."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be read: {error.strerror}", "Name the file with --config, or create it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"is not UTF-8 text: {error}", "Save it as UTF-8") from error
    try:
        data = json.loads(text, object_pairs_hook=_without_repeated_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(str(path), f"is not JSON: {error}", "Mend the JSON at that place") from error
    return parse(data, str(path))


def parse(data: Any, origin: str = "configuration") -> Config:
    """The configuration in `data`, as read from JSON; raises `ConfigurationError` with every problem."""
    if not isinstance(data, dict):
        raise ConfigurationError(origin, f"is {json_type(data)}, not an object", f'Give {{"apis": {LEAST}}}')
    problems: list[str] = []
    raws = data["apis"] if isinstance(data.get("apis"), list) else []
    entries = [_entry(raw, f"apis[{number}]", problems) for number, raw in enumerate(raws)]
    found = [] if raws else [f"apis: {_no_list(data)}; give {LEAST}"]
    config: Config | None = read_value(Config, {key: value for key, value in data.items() if key != "apis"}, "", found)
    problems += [f"{origin}: {text}" for text in found]
    problems += raw_entry.find_conflicts([raw for raw in raws if isinstance(raw, dict)], data.get("schedules", {}))
    problems += _disagreeing_limits(raws)
    if problems or config is None:
        raise ConfigurationError(
            origin,
            f"{len(problems)} problem{'s'[: len(problems) > 1]}:\n" + "\n".join(f"  - {_shown(p)}" for p in problems),
        )
    return msgspec.structs.replace(config, apis=tuple(entry for entry in entries if entry))


def _shown(text: str) -> str:
    """`text` on one line, with what cannot be seen or written as JSON escapes it."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _no_list(data: Mapping[str, Any]) -> str:
    if "apis" not in data:
        return "is missing"
    return "is empty" if data["apis"] == [] else f"is {json_type(data['apis'])}, not a list"


def _entry(raw: Any, where: str, problems: list[str]) -> Entry | None:
    """`raw` as a complete entry, or None after saying in `problems` all that is wrong with it."""
    if not isinstance(raw, dict):
        problems.append(f"{where}: is {json_type(raw)}, not an object")
        return None
    refused = raw_entry.find_entry_problems(raw, {*BasicAuth.__struct_fields__, *KeyAuth.__struct_fields__})
    keys = tuple(text.partition(": ")[0] + ": " for text in refused)
    complete = _complete(raw)
    found = _unknown_source(complete)
    entry: Entry | None = read_value(Entry, complete, "", found)
    found += _too_short(raw, complete) + _too_early(complete)
    refused += [text for text in found if not text.startswith(keys)]  # of one key the first refusal is enough
    problems += [f"{raw_entry.get_name(raw, where)}: {text}" for text in dict.fromkeys(refused)]
    return None if refused else entry


def _complete(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with its short forms spelled out and the defaults of its source beneath."""
    entry = dict(raw)
    host = raw_entry.get_host(raw)
    origin = entry.setdefault("source", HOSTS.get(host, "generic"))
    if raw.get("csv_prefix") and not raw.get("file_prefix"):
        entry.setdefault("format", "csv")
    prefix = raw_entry.get_file_prefix(raw)
    entry["file_prefix"] = prefix if isinstance(prefix, str) and prefix else "unnamed"  # what is none is refused
    entry.pop("csv_prefix", None)
    kind, username = entry.pop("auth_type", None), entry.pop("username", None)
    if kind == "none":
        entry["auth"] = {"kind": "none"}
    elif kind is not None or username is not None:
        entry["auth"] = {"kind": "basic", "username": username if isinstance(username, str) else None}
    if isinstance(entry.get("rate_limit"), str):
        entry["rate_limit"] = {"name": host or origin, "rates": [entry["rate_limit"]]}
    if isinstance(entry.get("value"), str):
        entry["value"] = [entry["value"]]
    if origin not in NAMES:
        return entry
    return {
        **source(origin).defaults(
            raw["url"] if raw_entry.split_url(raw) else "", raw_entry.get_object(entry, "params")
        ),
        **entry,
    }


def _unknown_source(complete: Mapping[str, Any]) -> list[str]:
    name = complete["source"]
    if not isinstance(name, str) or name in NAMES:
        return []
    return [f'source: "{name}" is unknown; use one of {", ".join(NAMES)}']


def _too_short(raw: Mapping[str, Any], complete: Mapping[str, Any]) -> list[str]:
    """Which periods of `raw` are shorter than an interval, so that none would begin in them."""
    resolution = read_value(WholeMinutes, complete.get("resolution", "PT1H"), "", [])
    lengths = {key: read_value(WholeMinutes, raw[key], "", []) for key in ("reread", "chunk") if key in raw}
    return [
        f'{key}: is shorter than the "resolution" of the values; use a multiple of that'
        for key, length in lengths.items()
        if length and resolution and length < resolution
    ]


def _too_early(complete: Mapping[str, Any]) -> list[str]:
    """What would call a forecast known before it was made: Open-Meteo replaces its own until their hour, and does not
    say when."""
    rule = read_value(Available, complete.get("available"), "", []) if complete.get("source") == "open_meteo" else None
    if rule is None or (rule.lag is not None and rule.lag >= timedelta(0)):
        return []
    return ['available: what Open-Meteo foretells is replaced until its hour; give "lag", of "PT0S" at least']


def _disagreeing_limits(raws: Iterable[Any]) -> list[str]:
    """Which entries, complete or not, have other rates than one before whose limit they share."""
    found = []
    limits: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number, raw in enumerate(raws):
        limit = read_value(RateLimit, _complete(raw).get("rate_limit"), "", []) if isinstance(raw, dict) else None
        if limit:
            name = raw_entry.get_name(raw, f"apis[{number}]")
            first, rates = limits.setdefault(limit.name, (name, limit.rates))
            if rates != limit.rates:
                found.append(f'{name}: rate_limit: "{limit.name}" has other rates in {first}; give both the same')
    return found


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
