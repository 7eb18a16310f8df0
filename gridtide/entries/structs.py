"""Strict models: JSON read into frozen structs, with all problems reported at once.

msgspec makes the structs and reads plain values. It is imported 80 ms faster than pydantic, a time that each cold
process would wait before its first request. This module adds that reading continues after a problem, and checks:
functions in the `Annotated` type of a field, which raise `ValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import repeat
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec


class StrictStruct(msgspec.Struct, frozen=True):
    """A model whose fields are read one by one; `__post_init__` checks them together."""


_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


_TYPES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


def name_json_type(data: Any) -> str:
    """Returns the JSON type of `data` in words: a text, a list, null.

    >>> name_json_type({}), name_json_type(5)
    ('an object', 'a whole number')
    """
    return _TYPES.get(type(data), type(data).__name__)


def read_value(kind: Any, data: Any, key: str, problems: list[str]) -> Any:
    """Reads `data`, as parsed from JSON, as a value of the type `kind`. Problems are added to `problems`, as `key: what
    is wrong`, and the result is then None."""
    members = [member for member in _list_members(kind) if member is not NoneType]
    if data is None and NoneType in _list_members(kind):
        return None
    if isinstance(data, list) and (element_kind := _find_model_element(members)):
        problem_count = len(problems)
        values = [read_value(element_kind, value, f"{key}[{index}]", problems) for index, value in enumerate(data)]
        return tuple(values) if len(problems) == problem_count else None
    models = [member for member in members if _is_model(member)]
    if models:
        model = models[0] if len(models) == 1 else _choose_kind(models, data, key, problems)
        return _read_object(model, data, key, problems) if model else None
    if get_origin(kind) is Mapping and isinstance(data, dict):
        names, values = get_args(kind)
        for name in data:
            read_value(names, name, f"{key}.{name}", problems)
        return {name: read_value(values, value, f"{key}.{name}", problems) for name, value in data.items()}
    problem_count = len(problems)
    if isinstance(data, list):
        for index, (element, value) in enumerate(zip(_list_elements(members), data, strict=False)):
            read_value(element, value, f"{key}[{index}]", problems)
    if len(problems) > problem_count:
        return None
    try:
        converted = msgspec.convert(data, kind)
        for check in _list_checks(members, converted):
            check(converted)
    except ValueError as error:
        problems.append(f"{key}: {_describe_error(error, kind)}")
        return None
    return converted


def _read_object(model: type[StrictStruct], data: Any, key: str, problems: list[str]) -> StrictStruct | None:
    if not isinstance(data, dict):
        keys = ", ".join(model.__struct_encode_fields__)
        problems.append(f"{key}: is {name_json_type(data)}, not an object; its keys are {keys}")
        return None
    problem_count, prefix = len(problems), f"{key}." if key else ""
    values = {}
    fields = _list_fields(model)
    for name, field in fields.items():
        if name in data:
            values[field.name] = read_value(field.type, data[name], prefix + name, problems)
        elif field.required:
            problems.append(f"{prefix}{name}: is missing")
    problems += [
        f"{prefix}{name}: unknown key; remove it or correct its spelling" for name in data if name not in fields
    ]
    if len(problems) > problem_count:
        return None
    try:
        return model(**values)
    except ValueError as error:
        problems.append(f"{key}: {error}")
        return None


def _choose_kind(models: list[Any], data: Any, key: str, problems: list[str]) -> Any:
    """Returns the model among `models` that the `kind` of `data` names."""
    kinds = {
        kind: model
        for model in models
        for field in _list_fields(model).values()
        if field.name == "kind"
        for kind in get_args(field.type)
    }
    name = data.get("kind") if isinstance(data, dict) else None
    if isinstance(name, str) and name in kinds:
        return kinds[name]
    *first_choices, last_choice = (f'"{kind}"' for kind in kinds)
    choices = f"{', '.join(first_choices)} or {last_choice}"
    if not isinstance(data, dict):
        problems.append(f'{key}: is {name_json_type(data)}, not an object; give it "kind": {choices}')
    else:
        problems.append(f'{key}: {"has no" if name is None else "has an unknown"} "kind"; use {choices}')
    return None


@cache  # msgspec evaluates all annotations of a model at each call
def _list_fields(model: type[StrictStruct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of `model` by their keys in JSON."""
    return {field.encode_name: field for field in msgspec.structs.fields(model)}


def _list_members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _find_model_element(members: list[Any]) -> Any:
    """Returns the type of the elements if one of `members` is a tuple of any number of models, else None."""
    for member in members:
        arguments = get_args(member)
        if (
            get_origin(member) is tuple
            and arguments[1:] == (Ellipsis,)
            and all(map(_is_model, _list_members(arguments[0])))
        ):
            return arguments[0]
    return None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, StrictStruct)


def _list_elements(members: list[Any]) -> Iterable[Any]:
    """Returns the type of each element of a list, if one of `members` is a tuple."""
    for member in members:
        kind = get_args(member)[0] if get_origin(member) is Annotated else member
        if get_origin(kind) is tuple:
            first_type, *following = get_args(kind)
            return repeat(first_type) if following == [Ellipsis] else (first_type, *following)
    return ()


def _list_checks(members: list[Any], value: Any) -> Iterator[Callable[[Any], None]]:
    """Yields the checks of those `members` whose type `value` has; for a text first that all of it can be encoded."""
    if isinstance(value, str):
        yield _check_encodable
    for member in members:
        if get_origin(member) is Annotated:
            annotated_type = get_args(member)[0]
            if isinstance(value, get_origin(annotated_type) or annotated_type):
                yield from filter(callable, member.__metadata__)


def _check_encodable(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"contains half of a surrogate pair, {text[error.start]!r}; write it whole") from error


def _describe_error(error: ValueError, kind: Any) -> str:
    """Describes what is wrong: the message of msgspec, unless that does not say what would be right."""
    message = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return message
    if get_origin(kind) is Literal:
        *first_choices, last_choice = map(repr, get_args(kind))
        return f"must be {', '.join(first_choices)} or {last_choice}" if first_choices else f"must be {last_choice}"
    if "duration" in message:
        return 'is not a duration; use ISO 8601 in days or less, such as "PT1H" or "P3D"'
    if message == "Expected `str` of length >= 1":
        return "is empty; give it a text"
    if message == "Expected `array` of length >= 1":
        return "is empty; give it one or more"
    if longest := re.fullmatch(r"Expected `str` of length <= (\d+)", message):
        return f"is longer than {longest[1]} characters; shorten it"
    words = re.sub(
        r"`([a-z |]+)`", lambda types: " or ".join(_WORDS.get(name, name) for name in types[1].split(" | ")), message
    )
    return words.replace("a whole number or a number", "a number")
