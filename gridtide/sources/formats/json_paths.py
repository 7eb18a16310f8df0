"""Paths to the records of JSON: what they lead to, what they pass over, and what stands beside it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmespath import compile as compile_path
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from gridtide.errors import FormatError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import RECORDS_BESIDE, propose_paths

PLAIN_KEY = r"[^.\[\]|{}()&@*`'\"<>=!?:]+"
"""A key that may be in a dotted path; any other path is one of JMESPath."""

KEY_COLUMN = "key"
"""The column for the keys of an object that is keyed by time."""

OBJECTS_JUDGED = 100
"""How many elements of a list show whether lists are in them."""

DIGITS_OF_TIMES = 6
"""The least number of digits of a key that is a time."""

PATH_ENDS = 'elements in which "records" leads nowhere'
"""Why an element of a list on the way of a path has no records."""

FIELDS_MISSING = 'fields that "records" names and that no object has: {}'
"""Why a column of a path's records holds nulls alone."""

NOT_SELECTED = 'elements that the conditions of "records" leave out'
"""Why records are not stored that a filter or a slice of a path does not select."""


@dataclass(frozen=True)
class PathContent:
    """The value at a path; the fields beside the path by name, of two equal names the inner one; the lists that the
    path goes through, by their ids; and what it passes over."""

    value: Any
    above: Mapping[str, Any] = field(default_factory=dict)
    lists: frozenset[int] = frozenset()
    skipped: Sequence[Skipped] = ()


class NestedLists(list[Any]):
    """Elements of a list that contain records, and the keys that lead from each element to its records; `lists` are
    beside it on the way."""

    def __init__(self, elements: list[Any], keys: Sequence[str], lists: Mapping[str, list[Any]]) -> None:
        super().__init__(elements)
        self.lists = dict(lists)
        self.keys = keys


def follow_path(entry: str, document: Any, path: str) -> PathContent:
    """Returns what `path` leads to in `document`: a dotted path, in which lists are flattened, or one of JMESPath.

    Raises `FormatError` if it leads nowhere: to a field that none of the objects has that are there.
    """
    if not path:
        return PathContent(document, lists=frozenset([id(document)]))
    if re.fullmatch(rf"{PLAIN_KEY}(\.{PLAIN_KEY})*", path) and isinstance(document, dict | list):
        return _walk(entry, document, path)
    tracer = _PathTracer()
    try:
        value = tracer.visit(compile_path(path).parsed, document)
    except JMESPathError as error:
        raise FormatError(entry, f'records: "{path}" cannot be followed: {error}', 'Correct "records"') from error
    if value is None:
        raise build_path_error(entry, path, describe_value(document), document)
    missing = [name for name, is_there in tracer.fields.items() if not is_there]
    if value == [] and missing and not tracer.has_alternatives:
        raise build_path_error(entry, path, f'no object that it comes to has "{missing[0]}"', document)
    return PathContent(value, {}, frozenset(tracer.lists), list(tracer.count_passed(path, value)))


def _walk(entry: str, document: Any, path: str) -> PathContent:
    """Returns the value at the dotted `path`, lists on the way flattened into one list; and the fields of the objects
    on the way that are neither lists nor objects."""
    node = document
    above: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {}
    keys = path.split(".")
    for index, key in enumerate(keys):
        if isinstance(node, list) and node and all(isinstance(element, dict) for element in node):
            return PathContent(NestedLists(node, keys[index:], lists), above, frozenset([id(node)]))
        if not isinstance(node, dict) or key not in node:
            raise build_path_error(entry, path, f'where "{key}" should be, {describe_value(node)}', document)
        above |= {name: cell for name, cell in node.items() if not isinstance(cell, dict | list)}
        lists |= {name: cell for name, cell in node.items() if isinstance(cell, list) and name != key}
        node = node[key]
    return PathContent(node, above, frozenset([id(node)]))


class _PathTracer(TreeInterpreter):
    """Follows a path of JMESPath and notes the fields that it looks for, the lists that it goes through, and the
    elements that it passes over, which JMESPath does in silence."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, bool] = {}
        self.lists: set[int] = set()
        self.ended = self.unselected = 0
        self.has_alternatives = False

    def count_passed(self, path: str, value: Any) -> Iterator[Skipped]:
        """Yields the counts of the elements that `path`, which leads to `value`, passes over."""
        missing = [name for name, is_there in self.fields.items() if not is_there]
        if missing and value and not self.has_alternatives:
            records = len(value) if isinstance(value, list) else 1
            yield Skipped(FIELDS_MISSING.format(", ".join(missing)), records * len(missing), path)
        if self.ended:
            yield Skipped(PATH_ENDS, self.ended, path)
        if self.unselected:
            yield Skipped(NOT_SELECTED, self.unselected, path, expected=value != [])

    def visit_field(self, node: Any, value: Any) -> Any:
        """Looks for a field, and notes whether any object has it."""
        if isinstance(value, dict):
            name = node["value"]
            self.fields[name] = self.fields.get(name, False) or name in value
        return super().visit_field(node, value)

    def visit_or_expression(self, node: Any, value: Any) -> Any:
        """Tries one path after another, of which some may lead nowhere; an empty list is more than nothing."""
        self.has_alternatives = True
        first, second = node["children"]
        content = self.visit(first, value)
        if _is_fulfilled(content):
            return content
        alternative = self.visit(second, value)
        return content if alternative is None else alternative

    def visit_projection(self, node: Any, value: Any) -> Any:
        """Follows the rest of the path from each element of a list, and counts those in which it ends."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.lists.add(id(base))
        return self._follow_each(node, base)

    def visit_filter_projection(self, node: Any, value: Any) -> Any:
        """Follows the rest of the path from the elements that a filter selects, and counts the others."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.lists.add(id(base))
        selected = [element for element in base if _is_fulfilled(self.visit(node["children"][2], element))]
        self.unselected += len(base) - len(selected)
        return self._follow_each(node, selected)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """Joins the lists in a list."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.lists |= {id(base), *(id(element) for element in base if isinstance(element, list))}
        return [inner for element in base for inner in (element if isinstance(element, list) else [element])]

    def visit_slice(self, node: Any, value: Any) -> Any:
        """Selects some elements of a list, and counts the others."""
        selected = super().visit_slice(node, value)
        if isinstance(value, list):
            self.lists.add(id(value))
            self.unselected += len(value) - len(selected)
        return selected

    def visit_value_projection(self, node: Any, value: Any) -> Any:
        """Follows the rest of the path from each field of an object, and counts those in which it ends."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, dict):
            return None
        return self._follow_each(node, base.values())

    def _follow_each(self, node: Any, elements: Iterable[Any]) -> list[Any]:
        """Follows the rest of the path from each of `elements`, and counts those in which it ends."""
        remaining_path = node["children"][1]
        is_whole = remaining_path["type"] == "identity"
        reached = list(elements) if is_whole else [self.visit(remaining_path, element) for element in elements]
        self.ended += reached.count(None)
        return [element for element in reached if element is not None]


def _is_fulfilled(value: Any) -> bool:
    """Whether a condition of JMESPath with this `value` is fulfilled, as by a 0."""
    return not (value is None or value is False or value in ("", [], {}))


def build_path_error(entry: str, path: str, happened: str, document: Any) -> FormatError:
    """Returns the error for a `path` that `document` does not have, with the paths in it that lead to records."""
    fix = propose_paths(Counter(_list_record_paths(document)))
    return FormatError(entry, f'records: "{path}" leads nowhere: {happened}', fix or 'Correct "records"')


def _list_record_paths(value: Any, path: str = "") -> Iterator[str]:
    """Yields, for each object or list in a list below `value`, the dotted path to that list; the lists of several
    objects count together."""
    if isinstance(value, list):
        for element in value:
            if isinstance(element, dict | list):
                yield path
            if isinstance(element, dict):
                yield from _list_record_paths(element, path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if re.fullmatch(PLAIN_KEY, key):
                yield from _list_record_paths(inner, f"{path}.{key}" if path else key)


def count_beside(
    document: Any, content: PathContent, times: Collection[str], is_ignored: Callable[[str], bool]
) -> Iterator[Skipped]:
    """Yields the counts of the records in `document` beside those of `content`, by the path of their list or object,
    unless it `is_ignored`. A run warns of those that have all of the columns of `times`."""
    lists = set(content.lists)
    if isinstance(content.value, NestedLists):
        lists |= {id(inner) for inner in _list_inner(content.value, content.value.keys)}
    counts: dict[str, int] = {}
    examples: dict[str, Any] = {}
    for path, elements in _list_beside(document, lists, content.value):
        counts[path] = counts.get(path, 0) + len(elements)
        examples.setdefault(path, elements[0])
    for path, count in counts.items():
        if is_ignored(path):
            continue
        is_alike = bool(times) and set(times) <= examples[path].keys()
        yield Skipped(RECORDS_BESIDE.format(path), count, json.dumps(examples[path], default=str)[:80], not is_alike)


def _list_inner(elements: Sequence[Any], keys: Sequence[str]) -> Iterator[list[Any]]:
    """Yields the lists that `keys` lead to from each of `elements`, those on the way too."""
    for element in elements:
        node = element
        for index, key in enumerate(keys):
            node = node.get(key) if isinstance(node, dict) else None
            if isinstance(node, list):
                yield node
                yield from _list_inner(node, keys[index + 1 :]) if keys[index + 1 :] else ()
                break


def _list_beside(node: Any, read_lists: Collection[int], value: Any, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yields each list of objects below `node` that is not one of `read_lists`, and each object of lists of one length
    or by time as the objects of its rows, with its path; not what is in `value`, which is read."""
    if node is value:
        return
    if isinstance(node, list):
        objects = [element for element in node if isinstance(element, dict)]
        if id(node) not in read_lists and objects:
            yield path, objects
        elif any(any(_list_lists(element)) for element in objects[:OBJECTS_JUDGED]):
            for element in objects:
                if any(id(cells) in read_lists for _, cells in _list_lists(element)):
                    yield from _list_beside(element, read_lists, value, path)
    elif isinstance(node, dict):
        rows = _list_rows(node, value) if path else []
        if rows:
            yield path, rows
            return
        for name, inner in node.items():
            yield from _list_beside(inner, read_lists, value, f"{path}.{name}" if path else name)


def _list_lists(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yields the lists in the object `node` and in the objects in it, with their names."""
    for name, inner in node.items():
        if isinstance(inner, list):
            yield name, inner
        elif isinstance(inner, dict):
            yield from _list_lists(inner)


def _list_rows(node: Mapping[str, Any], value: Any) -> list[dict[str, Any]]:
    """Returns the rows of an object of lists of one length, or of one whose keys are written as the times of `value`;
    none for other objects."""
    lists = {name: cells for name, cells in node.items() if isinstance(cells, list) and cells}
    is_plain = not any(isinstance(cells[0], dict | list) for cells in lists.values())
    if len(lists) > 1 and len({len(cells) for cells in lists.values()}) == 1 and is_plain:
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    written = re.sub(r"\d", "0", next(iter(value), "")) if isinstance(value, dict) else ""
    keys = [key for key in node if written.count("0") >= DIGITS_OF_TIMES and re.sub(r"\d", "0", key) == written]
    return [{KEY_COLUMN: key, "value": node[key]} for key in keys]


def describe_value(value: Any) -> str:
    """Describes what stands where a path ends."""
    return f"there are {', '.join(map(str, value))}" if isinstance(value, dict) else f"there is a {name_kind(value)}"


def name_kind(value: Any) -> str:
    """Returns what kind of JSON `value` is."""
    return {str: "text", list: "list", type(None): "null", dict: "object"}.get(type(value), "number")
