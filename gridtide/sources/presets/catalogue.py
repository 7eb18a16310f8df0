"""The presets that there are: those of this package, and those that a configuration names."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from gridtide.sources.presets.market_variables import MARKET_VARIABLES
from gridtide.sources.presets.preset import Preset, read_preset

_REGISTERED: dict[str, Preset] = {}
"""The presets that configurations of this process name."""


@functools.cache
def list_preset_names() -> tuple[str, ...]:
    """Returns the sources that the presets of this package describe, sorted; reads none of them."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.json")))


def list_presets() -> Mapping[str, Preset]:
    """Returns the presets of this package by their sources."""
    return {name: preset for name in list_preset_names() if (preset := find_shipped_preset(name))}


@functools.cache
def find_shipped_preset(name: str) -> Preset | None:
    """Returns the preset of this package for the source `name`; None if there is none."""
    if name not in list_preset_names():
        return None
    problems: list[str] = []
    text = Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8")
    preset = read_preset(json.loads(text), problems)
    if preset is None:
        raise ValueError(f"{name}.json: {'; '.join(problems)}")
    return preset


def find_preset(name: str) -> Preset | None:
    """Returns the preset of the source `name`; None if it has none."""
    return find_shipped_preset(name) or _REGISTERED.get(name)


def register_preset(name: str, preset: Preset) -> None:
    """Makes `preset` known in this process as that of the source `name`."""
    _REGISTERED[name] = preset


def describe_module(name: str) -> ModuleType | None:
    """Returns the module of the source `name`, whose preset describes it: that of the generic source, with what a
    module beside the preset defines anew. None if there is no such preset."""
    preset = find_preset(name)
    if preset is None:
        return None
    # late: a configuration is read without the source that a preset describes
    from gridtide.sources import generic
    from gridtide.sources.contract import Licence

    module = ModuleType(name, preset.title)
    code = f"{__package__}.{name}"
    parts = [generic]
    if name in list_preset_names() and importlib.util.find_spec(code) is not None:
        parts.append(importlib.import_module(code))
    for part in parts:
        vars(module).update({key: value for key, value in vars(part).items() if not key.startswith("__")})
    declared: dict[str, Any] = {
        "VARIABLES": tuple(MARKET_VARIABLES[row] for row in MARKET_VARIABLES if row in preset.variables)
    }
    licence = Licence(**msgspec.structs.asdict(preset.licence)) if preset.licence else None
    declared |= {"SYSTEM_LOCATIONS": preset.system_locations, "ACCESS": preset.access, "LICENCE": licence}
    vars(module).update(declared)
    return module
