"""Reads and checks `api_config.json`: what is collected, one entry per API.

`load(path)` either returns a `Config` with every entry complete (source inferred, defaults of its source filled in), or
raises one `ConfigurationError` that lists all problems, each with the entry, the key and what would be right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gridtide.config import preset_files, raw_entry
from gridtide.config.readings import read_once
from gridtide.entries import table_layout
from gridtide.entries.auth import AUTH_KEYS, KeyAuth
from gridtide.entries.entry import Config, Entry, RateLimit
from gridtide.entries.expect.checks import find_check_problems
from gridtide.entries.expect.rules import find_foreign_patterns
from gridtide.entries.field_types import WholeMinutes
from gridtide.entries.shifts import find_shift_problems
from gridtide.entries.structs import name_json_type, read_value
from gridtide.errors import ConfigurationError
from gridtide.sources.presets.preset import Preset, merge_keys
from gridtide.sources.registry import find_basic_auth, find_host_source, find_source_problem, get_source

MINIMAL = '[{"name": …, "url": …, "output_folder": …}]'
"""The shortest list for "apis"."""


def load(path: str | Path) -> Config:
    """Loads the configuration from the JSON file `path`; raises `ConfigurationError` with every problem."""
    return read_once(path, _read_file)


def _read_file(path: Path) -> Config:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be read: {error.strerror}", "Name the file with --config, or create it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"is not UTF-8 text: {error}", "Save it as UTF-8") from error
    try:
        data = json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(str(path), f"is not JSON: {error}", "Correct the JSON at that place") from error
    return parse(data, str(path))


def parse(data: Any, origin: str = "configuration") -> Config:
    """Parses the configuration `data`, as read from JSON; raises `ConfigurationError` with every problem. Presets that
    it names are read beside the file `origin`."""
    if not isinstance(data, dict):
        raise ConfigurationError(origin, f"is {name_json_type(data)}, not an object", f'Give {{"apis": {MINIMAL}}}')
    problems: list[str] = []
    own_presets = preset_files.read_presets(data.get("presets"), Path(origin).parent, problems)
    listed_raws = data["apis"] if isinstance(data.get("apis"), list) else []
    raws = [
        preset_files.expand_raw(raw, f"apis[{number}]", own_presets, data.get("presets"), problems)
        for number, raw in enumerate(listed_raws)
    ]
    preset_problems = find_preset_problems(own_presets)
    problems += preset_problems
    judged = {number: raw for number, raw in enumerate(raws) if not _is_refused(raw, preset_problems)}
    entries = [_read_entry(raw, f"apis[{number}]", problems) for number, raw in judged.items()]
    own_problems = [] if raws else [f"apis: {_why_no_list(data)}; give {MINIMAL}"]
    other_settings = {key: value for key, value in data.items() if key != "apis"}
    config: Config | None = read_value(Config, other_settings, "", own_problems)
    own_problems += find_check_problems(config.checks) if config else []
    problems += [f"{origin}: {text}" for text in own_problems]
    judged_objects = [raw for raw in judged.values() if isinstance(raw, dict)]
    problems += raw_entry.find_conflicts(judged_objects, data.get("schedules", {}))
    problems += _find_limit_conflicts(judged_objects)
    if problems or config is None:
        problems = list(dict.fromkeys(problems))
        raise ConfigurationError(
            origin,
            f"{len(problems)} problem{'s'[: len(problems) > 1]}:\n"
            + "\n".join(f"  - {_escape(problem)}" for problem in problems),
        )
    return msgspec.structs.replace(config, apis=tuple(entry for entry in entries if entry))


def _is_refused(raw: Any, preset_problems: Iterable[str]) -> bool:
    """Whether an entry cannot be judged: its product, or what its preset says of it, is wrong, which is named."""
    if raw is preset_files.NOT_JUDGED or not isinstance(raw, dict):
        return raw is preset_files.NOT_JUDGED
    prefix = f"{raw.get('source')}.json: products.{raw.get('product')}: "
    return any(text.startswith(prefix) for text in preset_problems)


def find_preset_problems(presets: Mapping[str, Preset]) -> list[str]:
    """Returns the problems of the products of a configuration's own `presets`: each must make a complete entry."""
    problems: list[str] = []
    for name, preset in presets.items():
        for product in preset.products:
            raw = {"name": f"{name}.json: products.{product}", "source": name, "output_folder": "x", "locations": ["x"]}
            _read_entry(merge_keys(preset.describe(product), raw), "", problems)
    return problems


def _escape(text: str) -> str:
    """Returns `text` on one line, with unprintable characters as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _why_no_list(data: Mapping[str, Any]) -> str:
    if "apis" not in data:
        return "is missing"
    return "is empty" if data["apis"] == [] else f"is {name_json_type(data['apis'])}, not a list"


def _read_entry(raw: Any, where: str, problems: list[str]) -> Entry | None:
    """Returns `raw` as a complete entry, or None after adding all of its problems to `problems`."""
    if not isinstance(raw, dict):
        problems.append(f"{where}: is {name_json_type(raw)}, not an object")
        return None
    complete = _complete_entry(raw)
    raw_problems = [*_find_missing_url(complete), *raw_entry.find_entry_problems(raw, AUTH_KEYS)]
    refused_keys = tuple(text.partition(": ")[0] + ": " for text in raw_problems)
    field_problems = _find_unknown_source(complete)
    entry: Entry | None = read_value(Entry, complete, "", field_problems)
    field_problems += table_layout.find_column_problems(raw)
    field_problems += [*_find_short_periods(raw, complete), *_find_refusals_of_source(complete)]
    field_problems += _find_shared_carriers(entry) + _find_absent_file(raw) + _find_foreign_aliases(entry)
    field_problems += find_foreign_patterns(entry.expect, entry.source) if entry else []
    field_problems += find_shift_problems(entry.shifts, entry.source) if entry else []
    # One problem per key is enough.
    refusals = [*raw_problems, *(text for text in field_problems if not text.startswith(refused_keys))]
    problems += [f"{raw_entry.get_name(raw, where)}: {text}" for text in dict.fromkeys(refusals)]
    return None if refusals else entry


def _complete_entry(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `raw` with its short forms written in full, and the defaults of its source for missing keys."""
    entry = dict(raw)
    host = raw_entry.get_host(raw)
    if "source" not in entry:  # finding the source of a host imports all of them
        entry["source"] = find_host_source(host)
    source_name = entry["source"]
    if raw.get("csv_prefix") and not raw.get("file_prefix"):
        entry.setdefault("format", "csv")
    prefix = raw_entry.get_file_prefix(raw)
    entry["file_prefix"] = (
        prefix if isinstance(prefix, str) and prefix else "unnamed"
    )  # such an entry is refused elsewhere
    entry.pop("csv_prefix", None)
    kind, username = entry.pop("auth_type", None), entry.pop("username", None)
    if kind == "none":
        entry["auth"] = {"kind": "none"}
    elif kind is not None or username is not None:
        entry["auth"] = {"kind": "basic", "username": username if isinstance(username, str) else None}
    if isinstance(entry.get("rate_limit"), str):
        entry["rate_limit"] = {"name": host or source_name, "rates": [entry["rate_limit"]]}
    entry = table_layout.spell_out(entry)
    if not isinstance(source_name, str) or find_source_problem(source_name):
        return _complete_auth(entry, "generic")
    url = raw["url"] if raw_entry.split_url(raw) else ""
    defaults = get_source(source_name).choose_defaults(url, raw_entry.get_object(entry, "params"))
    return _complete_auth({**defaults, **entry}, source_name)


def _complete_auth(entry: Mapping[str, Any], source_name: str) -> dict[str, Any]:
    """Returns `entry` with the environment variables of its source in each HTTP Basic that names none."""
    auth = entry.get("auth")
    auths = [
        {**find_basic_auth(source_name), **item}
        if isinstance(item, dict) and item.get("kind") == "basic" and item.get("secret") is None
        else item
        for item in (auth if isinstance(auth, list) else [auth])
    ]
    return dict(entry) if auth is None else {**entry, "auth": auths if isinstance(auth, list) else auths[0]}


def _find_unknown_source(complete: Mapping[str, Any]) -> list[str]:
    name = complete["source"]
    problem = find_source_problem(name) if isinstance(name, str) else None
    return [f"source: {problem}"] if problem else []


def _find_missing_url(complete: Mapping[str, Any]) -> list[str]:
    """Returns a problem if an entry that needs the network has no URL."""
    is_source = isinstance(complete["source"], str) and not _find_unknown_source(complete)
    if complete.get("url") or (is_source and not get_source(complete["source"]).NEEDS_URL):
        return []
    return ["url: is missing; only entries of the sources synthetic and sql have none"]


def _find_refusals_of_source(complete: Mapping[str, Any]) -> Sequence[str]:
    """Returns the problems that the entry's source finds."""
    if not isinstance(complete["source"], str) or _find_unknown_source(complete):
        return []
    return get_source(complete["source"]).find_problems(complete)


def _find_short_periods(raw: Mapping[str, Any], complete: Mapping[str, Any]) -> list[str]:
    """Returns a problem for each period of `raw` that is shorter than an interval, so that no interval would start in
    it."""
    resolution = read_value(WholeMinutes, complete.get("resolution", "PT1H"), "", [])
    lengths = {key: read_value(WholeMinutes, raw[key], "", []) for key in ("reread", "chunk") if key in raw}
    return [
        f'{key}: is shorter than the "resolution" of the values; use a multiple of that'
        for key, length in lengths.items()
        if length and resolution and length < resolution
    ]


def _find_shared_carriers(entry: Entry | None) -> list[str]:
    """Returns a problem for each credential that would be sent in the same place as an earlier one and replace it."""
    carriers = [auth.carrier if isinstance(auth, KeyAuth) else "Authorization" for auth in entry.auths] if entry else []
    return [
        f'auth[{index}]: is sent as {carrier}, as auth[{carriers.index(carrier)}] is; give one another "name"'
        for index, carrier in enumerate(carriers)
        if carriers.index(carrier) < index
    ]


def _find_foreign_aliases(entry: Entry | None) -> list[str]:
    """Returns a problem for each alias whose stored series is of another source than the entry, which stores no such
    series."""
    return [
        f"aliases[{number}]: {alias.old_name} is of another source than the entry; its series are {entry.source}/…"
        for number, alias in enumerate(entry.aliases if entry else ())
        if entry and alias.series[0].source != entry.source
    ]


def _find_absent_file(raw: Mapping[str, Any]) -> list[str]:
    path = raw.get("tls_ca")
    if not isinstance(path, str) or not path or Path(path).is_file():
        return []
    return [f"tls_ca: there is no file {path!r} here; name a PEM file of certificates"]


def _find_limit_conflicts(raws: Iterable[Any]) -> list[str]:
    """Returns a problem for each entry, complete or not, that gives a shared limit other rates than an earlier
    entry."""
    problems = []
    limits: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number, raw in enumerate(raws):
        limit = read_value(RateLimit, _complete_entry(raw).get("rate_limit"), "", []) if isinstance(raw, dict) else None
        if limit:
            name = raw_entry.get_name(raw, f"apis[{number}]")
            first_entry, rates = limits.setdefault(limit.name, (name, limit.rates))
            if rates != limit.rates:
                problems.append(
                    f'{name}: rate_limit: "{limit.name}" has other rates in {first_entry}; give both the same'
                )
    return problems


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):  # Python's JSON reader would silently keep the last one
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
    return members


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")
