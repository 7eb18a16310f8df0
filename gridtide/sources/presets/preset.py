"""A preset: the products of one operator, each described by the keys of an entry.

    {"title": "Example Grid",
     "shared": {"timezone": "America/New_York", "unit": "MW"},
     "templates": {"report": {"url": "https://grid.example/<file>/{start:%Y%m%d}.csv", "time": "Time Stamp"}},
     "products": {"load": {"like": "report", "fill": {"file": "pal"}, "location": "Name", "value": {"Load": "load"}}}}

An entry `{"source": "example", "product": "load", …}` has the keys of `shared`, of the template that the product is
`like`, of the product, and its own; the later ones take precedence. Words in angle brackets are replaced by those of
`fill`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gridtide.entries.field_types import Text
from gridtide.entries.structs import StrictStruct, name_json_type, read_value
from gridtide.sources.presets.market_variables import MARKET_VARIABLES

_OBJECTS = ("params", "headers", "where")
"""The keys whose objects are merged: an entry gives a parameter without repeating the others."""

_WORD = re.compile(r"<(\w+)>")

ProductName = Annotated[str, Meta(min_length=1)]


class Terms(StrictStruct, frozen=True):
    """The terms under which an operator gives its data, as in `gridtide.sources.contract.Licence`."""

    title: Text
    url: Text
    terms: Text
    name: str = ""
    attribution: str = ""


class Preset(StrictStruct, frozen=True, kw_only=True):
    """The products of one operator. Each product, and what products share, is an object with the keys of an entry."""

    title: Text
    page: str = ""
    """The address of the operator's own description."""
    access: str = ""
    """How to get the credentials that its entries need."""
    licence: Terms | None = None
    """The terms of the operator."""
    system_locations: tuple[Text, ...] = ()
    """The locations by which its products name the whole system."""
    variables: tuple[Text, ...] = ()
    """The rows of `MARKET_VARIABLES` that its products have."""
    shared: Mapping[str, Any] = msgspec.field(default_factory=dict)
    templates: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    products: Annotated[Mapping[ProductName, Mapping[str, Any]], Meta(min_length=1)]

    def describe(self, product: str) -> dict[str, Any]:
        """Returns the keys of an entry that `product` gives. Raises `ValueError` for a template or a word that does not
        exist, `KeyError` for another product than it has."""
        own = dict(self.products[product])
        template_name = own.pop("like", None)
        words = own.pop("fill", {})
        if not isinstance(words, dict):
            raise ValueError(f'fill: is {name_json_type(words)}, not an object such as {{"file": "load"}}')
        if template_name is not None and template_name not in self.templates:
            raise ValueError(
                f'like: "{template_name}" is no template; there are: {", ".join(self.templates) or "none"}'
            )
        template = self.templates[template_name] if template_name is not None else {}
        keys: dict[str, Any] = _fill(merge_keys(merge_keys(self.shared, template), own), words)
        return keys


def merge_keys(keys: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `keys` with those of `own`, which take precedence; a null removes a key."""
    merged = dict(keys) | dict(own)
    for name in _OBJECTS:
        if isinstance(keys.get(name), dict) and isinstance(own.get(name), dict):
            members = {**keys[name], **own[name]}
            merged[name] = {key: value for key, value in members.items() if value is not None}
    return {name: value for name, value in merged.items() if value is not None}


def _fill(content: Any, words: Mapping[str, Any]) -> Any:
    """Returns `content` with the words in angle brackets replaced, at any depth, in keys and in texts."""
    if isinstance(content, dict):
        return {_fill(key, words): _fill(value, words) for key, value in content.items()}
    if isinstance(content, list):
        return [_fill(element, words) for element in content]
    if not isinstance(content, str):
        return content
    missing = [word for word in _WORD.findall(content) if word not in words]
    if missing:
        raise ValueError(f'fill: has no word for <{missing[0]}> in "{content}"')
    return _WORD.sub(lambda match: str(words[match[1]]), content)


def read_preset(data: Any, problems: list[str]) -> Preset | None:
    """Reads `data`, parsed from the JSON of a preset; None after adding all problems to `problems`, as `key: what is
    wrong`."""
    problem_count = len(problems)
    if not isinstance(data, dict):
        problems.append(f'is {name_json_type(data)}, not an object; give {{"title": …, "products": {{…}}}}')
        return None
    for key in ("templates", "products"):
        members = data.get(key)
        problems += [
            f"{key}.{name}: is {name_json_type(keys)}, not an object with the keys of an entry"
            for name, keys in (members.items() if isinstance(members, dict) else ())
            if not isinstance(keys, dict)
        ]
    if len(problems) > problem_count:
        return None
    preset: Preset | None = read_value(Preset, data, "", problems)
    for name in preset.variables if preset else ():
        if name not in MARKET_VARIABLES:
            problems.append(f'variables: "{name}" is none of {", ".join(MARKET_VARIABLES)}')
    for name in preset.products if preset else ():
        try:
            preset and preset.describe(name)
        except ValueError as error:
            problems.append(f"products.{name}.{error}")
    return preset if len(problems) == problem_count else None


def expand_entry(preset: Preset, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `raw`, an entry as in JSON that names a product of `preset`, with the keys that the preset gives.

    Raises `ValueError`, which says what is wrong with its `product`.
    """
    product = raw.get("product")
    products = ", ".join(preset.products)
    if product is None:
        raise ValueError(f"product: is missing; give one of {products}")
    if not isinstance(product, str) or product not in preset.products:
        raise ValueError(f"product: {product!r} is none of {raw.get('source')}; give one of {products}")
    return merge_keys(preset.describe(product), raw)
