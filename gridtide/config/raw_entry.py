"""Checks of an entry as it is in the file, before it is completed: paths, secrets, contradictions.

Each problem is one line, `key: what is wrong; what would be right`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from gridtide.entries.structs import name_json_type
from gridtide.variables import snake_case

IN_ENVIRONMENT = 'put it in the environment and name it with "auth": {"kind": …, "env": …}'


_KEY_IN = (
    "put it in the environment and name it with "
    '"auth": {{"kind": "api_key", "env": …, "in": "{place}", "name": "{name}"}}'
)


_CREDENTIAL = re.compile(r"(?i)(bearer|basic|digest|apikey) ")
"""The prefixes of header values that carry credentials."""


RESERVED = ("raw", "processed", "features", "failed", "catalog", "rejected")
"""Folders of the lake that no entry may write to."""


LONGEST_PREFIX = 160
"""The most characters in a file prefix: the rest of the longest file name, and what a store appends while it writes,
must fit into the 255 bytes that file systems allow."""


LONGEST_PART, LONGEST_FOLDER = 255, 512
"""The most bytes in the name of a folder, and in all names of its path, so that keys fit into the 1,024 bytes of S3."""


_SECRET = re.compile(
    r"(?i)pass(word|wd|phrase)|pwd|secret|token|credential|authorization"
    r"|(api|access|account|auth|private|subscription)[_-]?key|^(key|appid|sig)$"
)


def find_entry_problems(raw: Mapping[str, Any], auth_keys: Collection[str]) -> list[str]:
    """Returns the problems of `raw` itself; `auth_keys` are the keys that "auth" may have."""
    return [
        *_find_bad_url(raw),
        *_find_plain_secrets(raw, auth_keys),
        *_find_bad_place(raw),
        *_find_bad_short_forms(raw),
        *_find_unsent_body(raw),
    ]


def find_conflicts(raws: Iterable[Mapping[str, Any]], schedules: Any) -> list[str]:
    """Returns the problems between two entries, complete or not, or between an entry and the `schedules`."""
    problems = []
    names: set[str] = set()
    files: dict[tuple[str, str], str] = {}
    for raw in raws:
        name, schedule = get_name(raw), raw.get("schedule")
        if name and name in names:
            problems.append(f"{name}: name: two entries have it; give each its own")
        destination = (str(raw.get("output_folder")), str(get_file_prefix(raw)))
        first_entry = files.setdefault(
            (destination[0].casefold(), destination[1].casefold()), name
        )  # file systems may ignore case
        if name and first_entry != name:
            problems.append(
                f"{name}: output_folder: writes the same files as {first_entry} ({'/'.join(destination)}_…); "
                "give it its own output_folder or file_prefix"
            )
        names.add(name)
        if isinstance(schedule, str) and isinstance(schedules, dict) and schedule not in schedules:
            names_of_schedules = ", ".join(schedules) or "none"
            problems.append(
                f'{name}: schedule: "{schedule}" is not under "schedules" (there are: {names_of_schedules})'
            )
    return problems


def get_name(raw: Mapping[str, Any], where: str = "") -> str:
    """Returns the entry's name, or `where` it is in the file if it has no printable name."""
    name = raw.get("name")
    return name if isinstance(name, str) and name.strip() and name.isprintable() else where


PREFIX_KEYS = ("file_prefix", "csv_prefix")
"""The key of the prefix of an entry's files, and its name in older configurations."""


def get_file_prefix(raw: Mapping[str, Any]) -> Any:
    """Returns the file prefix of `raw`, or one made of its name."""
    prefixes = [raw[key] for key in PREFIX_KEYS if raw.get(key) not in (None, "")]
    return prefixes[0] if prefixes else snake_case(get_name(raw))


def get_host(raw: Mapping[str, Any]) -> str:
    """Returns the host of the entry's URL, empty if there is none."""
    parts = split_url(raw)
    return (parts.hostname if parts else None) or ""


def split_url(raw: Mapping[str, Any]) -> SplitResult | None:
    """Returns the parts of the entry's URL; None if it has no URL, or one that cannot be split."""
    url = raw.get("url")
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        _ = parts and parts.port  # an invalid port raises only when it is read
    except ValueError:
        return None
    return parts


def get_object(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Returns the object `raw[key]`, empty if there is none."""
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _find_bad_url(raw: Mapping[str, Any]) -> list[str]:
    if not raw.get("url"):
        return []
    parts = split_url(raw)
    if isinstance(raw["url"], str) and (raw["url"] != raw["url"].strip() or not raw["url"].isprintable()):
        return ["url: holds a line break, or begins or ends with a space; leave it out"]
    if parts is None:
        return ["url: is not a URL; use such as https://host/path"] if isinstance(raw["url"], str) else []
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in parts.netloc:
        return ["url: is not an http or https URL; use such as https://host/path"]
    return [f"url: holds a user or password; {IN_ENVIRONMENT}"] if "@" in parts.netloc else []


def _find_plain_secrets(raw: Mapping[str, Any], auth_keys: Collection[str]) -> list[str]:
    """Returns the keys that contain a secret instead of its name."""
    parts = split_url(raw)
    carriers = {f"params.{key}": _propose_key("query", key) for key in get_object(raw, "params") if _SECRET.search(key)}
    carriers |= {
        f"headers.{key}": _propose_key("header", key)
        for key, value in get_object(raw, "headers").items()
        if _SECRET.search(key) or key.lower() == "cookie" or _CREDENTIAL.match(str(value))
    }
    parameters = [*parse_qsl(parts.query), *parse_qsl(parts.fragment), *_split_path_parameters(parts)] if parts else []
    carriers |= {f"url.{key}": _propose_key("query", key) for key, _ in parameters if _SECRET.search(key)}
    auth_objects = [("auth", get_object(raw, "auth")), *_number_auths(raw)]
    keys = [
        f"{where}.{key}" for where, auth in auth_objects for key in auth if _SECRET.search(key) and key not in auth_keys
    ]
    keys += [
        f"{where}.params.{key}" for where, auth in auth_objects for key in get_object(auth, "params") if _is_secret(key)
    ]
    keys += [f"body.{key}" for key in _list_keys(raw.get("body")) if _is_secret(key)]
    keys += [key for key in raw if _SECRET.search(key)]
    return [
        *(f"{key}: is a secret in plain text; {fix}" for key, fix in carriers.items()),
        *(f"{key}: is a secret in plain text; {IN_ENVIRONMENT}" for key in keys),
    ]


def _propose_key(place: str, name: str) -> str:
    """Describes how to send a secret as the header or parameter `name` without writing it down."""
    if name.lower() == "authorization":
        return f'{IN_ENVIRONMENT}, of kind "bearer" or "basic"'
    return _KEY_IN.format(place=place, name=name)


def _number_auths(raw: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the credentials of an entry with a list of them, with their keys."""
    auths = raw.get("auth") if isinstance(raw.get("auth"), list) else []
    return [(f"auth[{index}]", auth) for index, auth in enumerate(auths or []) if isinstance(auth, dict)]


def _is_secret(key: str) -> bool:
    return bool(_SECRET.search(key))


def _list_keys(body: Any) -> list[str]:
    """Returns the keys of the objects in `body` at any depth, or those of a form."""
    if isinstance(body, dict):
        return [key for name, value in body.items() for key in (name, *_list_keys(value))]
    if isinstance(body, list):
        return [key for value in body for key in _list_keys(value)]
    return [key for key, _ in parse_qsl(body)] if isinstance(body, str) else []


def _find_unsent_body(raw: Mapping[str, Any]) -> list[str]:
    if raw.get("body") is None or raw.get("method") == "POST":
        return []
    return ['body: is sent by POST alone; add "method": "POST"']


def _split_path_parameters(parts: SplitResult) -> list[tuple[str, str]]:
    """Returns the parameters after semicolons in a path, `/load;zone=A`."""
    return [pair for segment in parts.path.split(";")[1:] for pair in parse_qsl(segment)]


def _find_bad_place(raw: Mapping[str, Any]) -> list[str]:
    """Finds folders that leave the lake or are reserved, and prefixes that are not file names."""
    problems = []
    folder = raw.get("output_folder")
    suggestion = f"use a folder inside the lake such as {snake_case(get_name(raw)) or 'load'!r}"
    if isinstance(folder, str) and folder:
        parts = folder.split("/")
        if folder.startswith(("/", "~")) or "\\" in folder or re.match(r"[A-Za-z]:", folder):
            problems.append(f"output_folder: {folder!r} is absolute; {suggestion}")
        elif {"..", ".", ""} & set(parts) or not folder.isprintable():
            problems.append(f"output_folder: {folder!r} leaves the lake or is not a folder name; {suggestion}")
        elif len(folder.encode()) > LONGEST_FOLDER or any(
            len(folder_name.encode()) > LONGEST_PART for folder_name in parts
        ):
            limits = f"{LONGEST_FOLDER} bytes, {LONGEST_PART} between two /"
            problems.append(f"output_folder: is longer than a lake's names can be; use at most {limits}")
        elif parts[0].lower() in RESERVED:
            problems.append(f"output_folder: {folder!r} is the lake's own; use another than {', '.join(RESERVED)}")
    if get_name(raw) and get_file_prefix(raw) == "":
        problems.append("file_prefix: is missing, and the name has no letter or digit to make one of; give it")
    elif all(raw.get(key) in (None, "") for key in PREFIX_KEYS) and len(get_file_prefix(raw)) > LONGEST_PREFIX:
        problems.append("file_prefix: is missing, and the name is too long to make one of; give it")
    for key in PREFIX_KEYS:
        prefix = raw.get(key)
        if prefix is not None and not isinstance(prefix, str):
            problems.append(f"{key}: is {name_json_type(prefix)}, not a text")
        elif isinstance(prefix, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", prefix):
            problems.append(f"{key}: {prefix!r} is not a file name; use letters, digits, _ . and -")
        elif isinstance(prefix, str) and len(prefix) > LONGEST_PREFIX:
            problems.append(
                f"{key}: has {len(prefix)} characters; use at most {LONGEST_PREFIX}, so that names of files fit"
            )
    return problems


def _find_bad_short_forms(raw: Mapping[str, Any]) -> list[str]:
    """Finds unknown short forms, and short forms that contradict the long form."""
    problems = []
    auth_type = raw.get("auth_type")
    if auth_type not in (None, "basic", "none"):
        problems.append('auth_type: is unknown; use "basic" or "none", or "auth" for the other kinds')
    if "auth" in raw and (auth_type is not None or raw.get("username") is not None):
        problems.append('auth: stands beside auth_type or username; keep "auth" alone')
    if raw.get("csv_prefix") and raw.get("file_prefix") not in (None, raw["csv_prefix"]):
        problems.append('csv_prefix: differs from file_prefix; keep "file_prefix" alone')
    username = raw.get("username")
    if username is not None and not isinstance(username, str):
        problems.append(f"username: is {name_json_type(username)}, not a text")
    for key, name in (("username", username), ("auth.username", get_object(raw, "auth").get("username"))):
        if isinstance(name, str) and ":" in name:
            problems.append(f"{key}: holds a colon, after which HTTP reads a password; {IN_ENVIRONMENT}")
    return problems
