"""The presets of a configuration: files beside it, and entries that name their products."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridtide.config.raw_entry import get_name
from gridtide.sources.presets.catalogue import find_shipped_preset, list_preset_names, register_preset
from gridtide.sources.presets.preset import Preset, expand_entry, read_preset
from gridtide.variables import snake_case


def read_presets(names: Any, folder: Path, problems: list[str]) -> dict[str, Preset]:
    """Returns the presets in the files `names` in `folder`, by their sources, and makes them known in this process.
    Problems are added to `problems`, each with the name of its file."""
    presets: dict[str, Preset] = {}
    for name in names if isinstance(names, list | tuple) else ():
        if not isinstance(name, str):
            continue  # the type is refused elsewhere
        source_name = Path(name).name.removesuffix(".json")
        reason = _refuse_name(name, source_name)
        file_problems = [reason] if reason else []
        data = None if reason else _read_json(folder / name, file_problems)
        preset = None if file_problems else read_preset(data, file_problems)
        problems += [f"{name}: {text}" for text in file_problems]
        if preset is not None:
            presets[source_name] = preset
            register_preset(source_name, preset)
    return presets


def _refuse_name(name: str, source_name: str) -> str:
    """Returns what is wrong with the name of a preset's file; empty if nothing is."""
    if not name.endswith(".json") or source_name != snake_case(source_name):
        return 'is not the name of a preset; its file is called as its source is, in snake case, such as "my_grid.json"'
    if source_name in list_preset_names():
        return f"{source_name} is a source of Gridtide; give the file another name"
    return ""


def _read_json(path: Path, problems: list[str]) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problems.append(f"cannot be read: {error.strerror}; put it beside the configuration, in {path.parent}")
    except ValueError as error:
        problems.append(f"is not JSON: {error}; correct it there")
    return None


NOT_JUDGED = object()
"""Stands for an entry whose preset or product is wrong, which is named already: its other keys cannot be judged."""


def expand_raw(raw: Any, where: str, presets: Mapping[str, Preset], names: Any, problems: list[str]) -> Any:
    """Returns `raw`, an entry as in the file, with the keys that its preset gives; `where` it is in the file, and
    `names` the files of its own presets, of which those that can be read are `presets`. Returns `NOT_JUDGED` after
    adding to `problems` what is wrong with its product."""
    if not isinstance(raw, dict):
        return raw
    source_name = raw.get("source")
    preset = (presets.get(source_name) or find_shipped_preset(source_name)) if isinstance(source_name, str) else None
    if preset is None:
        if source_name in _list_sources(names):
            return NOT_JUDGED  # its file has a problem, which is named
        if raw.get("product") is not None:
            sources = ", ".join([*list_preset_names(), *presets])
            foreign = f", which {json.dumps(source_name)} is not" if source_name is not None else ""
            happened = f'product: goes with the "source" of a preset{foreign}'
            problems.append(f"{get_name(raw, where)}: {happened}; there are: {sources}")
            return NOT_JUDGED
        return raw
    try:
        return expand_entry(preset, raw)
    except ValueError as error:
        problems.append(f"{get_name(raw, where)}: {error}")
        return NOT_JUDGED


def _list_sources(names: Any) -> list[str]:
    """Returns the sources that the files `names` describe, whether or not they can be read."""
    texts = names if isinstance(names, list | tuple) else ()
    return [Path(name).name.removesuffix(".json") for name in texts if isinstance(name, str)]
