"""JSON in its layouts: lists of objects or of lists, objects of lists or keyed by time, and lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.entries.table_layout import NumberStyle, RecordLayout
from gridtide.errors import FormatError, UpstreamError
from gridtide.observations.arrays import from_numpy
from gridtide.sources.contract import BOM, Skipped
from gridtide.sources.formats.cells import (
    CellColumn,
    CellColumns,
    CellTable,
    attach_constants,
    build_strings,
    build_table,
    number_positions,
    tabulate_records,
)
from gridtide.sources.formats.json_paths import (
    KEY_COLUMN,
    PATH_ENDS,
    PLAIN_KEY,
    NestedLists,
    PathContent,
    build_path_error,
    describe_value,
    follow_path,
    name_kind,
)

_TRUTH = ("false", "true")

_NUMBER_KINDS = frozenset((int, float, type(None)))

LARGE_BODY = 1 << 20
"""The size from which a body is parsed by `msgspec`, twice as fast as the standard library does."""

HEAD_BYTES = 1 << 16
"""The beginning of a body, which must hold its first record."""

RECORDS_JUDGED = 1000
"""How many records show what a column holds that is not read."""


def load_json(entry: str, text: str) -> Any:
    """Parses `text`: JSON, the argument of a callback, JSON within a JSON string, or JSON lines (which become a list).
    Raises `UpstreamError` if it is truncated or broken."""
    if len(text) >= LARGE_BODY:
        try:
            large_document = msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass  # it may be one of the other forms
        else:
            _refuse_doubled_names(entry, [text], large_document)
            return large_document
    stripped = text.strip().removeprefix("\ufeff")
    callback = re.fullmatch(r"(?s)(?:/\*.*?\*/)?\s*[A-Za-z_$][\w$.]*\s*\((.*)\)\s*;?", stripped)
    if callback:
        stripped = callback[1]
    try:
        document = _decode(stripped)
        if isinstance(document, str) and document.lstrip()[:1] in ("{", "["):
            stripped, document = document, json.loads(document)
        _refuse_doubled_names(entry, [stripped], document)
        return document
    except ValueError as error:
        lines = [line for line in stripped.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip()[:1] == "{" and lines[0].rstrip()[-1:] == "}":
            return _load_lines(entry, lines)
        raise UpstreamError(entry, f"the JSON is cut or broken: {error}") from error


def _decode(text: str) -> Any:
    """Parses `text` as `json.loads` does, which takes over where the faster decoder refuses: numbers that are not
    finite, halves of surrogates, and texts that are no JSON, whose position it names."""
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return json.loads(text)


def is_json_lines(beginning: bytes) -> bool:
    """Whether a body with this beginning is JSON lines: its first line is an object, and the next one begins with
    one."""
    content = beginning.removeprefix(BOM).lstrip()
    end = content.find(b"\n")
    if end < 0 or not content[end : end + HEAD_BYTES].lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(msgspec.json.decode(content[:end]), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def load_lines(entry: str, text: str, path: str, *, is_part: bool = False) -> tuple[list[Any], list[Skipped]]:
    """Parses `text`, JSON lines, as a list of the objects that have the first field of `path`, and counts those without
    it; all objects if none has it, unless the text `is_part` of the lines. Raises `UpstreamError` for a broken
    line."""
    documents = _load_lines(entry, [line for line in text.split("\n") if line.strip()])
    first_key = re.match(PLAIN_KEY, path)
    if first_key is None:
        return documents, []
    with_key = [document for document in documents if isinstance(document, dict) and first_key[0] in document]
    keyless = [document for document in documents if not isinstance(document, dict) or first_key[0] not in document]
    if not keyless or not (with_key or is_part):
        return documents, []
    return with_key, [Skipped(PATH_ENDS, len(keyless), json.dumps(keyless[0])[:80])]


def _load_lines(entry: str, lines: Sequence[str]) -> list[Any]:
    documents = []
    for number, json_line in enumerate(lines, 1):
        try:
            documents.append(_decode(json_line))
        except ValueError as error:
            raise UpstreamError(entry, f"line {number} of the JSON lines is cut or broken: {error}") from error
    _refuse_doubled_names(entry, lines, documents)
    return documents


def _refuse_doubled_names(entry: str, texts: Sequence[str], document: Any) -> None:
    """Raises if an object in one of `texts`, which are the `document`, gives a name two different values, of which
    parsers keep one in silence. It is looked for only where there are more names in the texts than in the document."""
    written = sum(
        text.count('":') + (len(re.findall(r'"\s+:', text)) if re.search(r'"\s+:', text) else 0) for text in texts
    )
    if written <= _count_names(document):
        return

    def refuse(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in pairs:
            if name in fields and fields[name] != value:
                values_shown = f"{json.dumps(fields[name])[:60]} and {json.dumps(value)[:60]}"
                happened = f"an object of the JSON holds {name!r:.60} twice, with different values: {values_shown}"
                raise FormatError(entry, happened, "Ask the upstream for another format, or for times in UTC")
            fields[name] = value
        return fields

    for text in texts:
        json.loads(text, object_pairs_hook=refuse)


def _is_container(value: Any) -> bool:
    return type(value) in (dict, list)


def _count_names(document: Any) -> int:
    """Returns the number of names in all objects of `document`; of flat records without those in single deeper ones."""
    count, nodes = 0, [document]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            count += len(node)
            node = node.values()
        elif not isinstance(node, list):
            continue
        elif node and isinstance(node[0], dict) and not any(map(_is_container, node[0].values())):
            count += sum(
                len(record) for record in node if isinstance(record, dict)
            )  # those in it are looked for if more
            continue
        nodes.extend(filter(_is_container, node))
    return count


@dataclass(frozen=True)
class SelectedRecords:
    """The JSON `document` of a large `body`, whose longest list, the `records`, has only the fields `columns`, each
    under the name of its place; `first` is the whole first record."""

    body: bytes
    document: Any
    records: list[msgspec.Struct]
    columns: Sequence[str]
    first: Mapping[str, Any]


def select_records(body: bytes, columns: Sequence[str]) -> SelectedRecords | None:
    """Parses `body`, UTF-8, without the fields of its records that are not in `columns`, which takes half the time.

    Returns None if it has no longest list of flat objects, as the value of the body or of a field of it.
    """
    content = memoryview(body)[len(BOM) if body.startswith(BOM) else 0 :]
    record_type = _record_type(tuple(columns))
    try:
        if bytes(content[:HEAD_BYTES]).lstrip()[:1] == b"[":
            records: list[msgspec.Struct] = msgspec.json.decode(content, type=list[record_type])  # type: ignore[valid-type]
            document: Any = records
        else:
            fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            longest = max(fields, key=lambda name: len(memoryview(fields[name])))
            content = memoryview(fields[longest])
            records = msgspec.json.decode(content, type=list[record_type])  # type: ignore[valid-type]
            document = {name: records if name == longest else _decode_raw(raw) for name, raw in fields.items()}
        first = _parse_first(bytes(content[:HEAD_BYTES]))
    except ValueError:  # of another shape, or cut, or broken, which is found out again where it is said
        return None
    if first is None or any(isinstance(cell, dict | list) for cell in first.values()):
        return None
    return SelectedRecords(body, document, records, columns, first)


@cache
def _record_type(columns: tuple[str, ...]) -> type[msgspec.Struct]:
    """Returns the type of records with the fields `columns`; a field that a record lacks is `UNSET`."""
    names = {f"field_{place}": column for place, column in enumerate(columns)}
    return msgspec.defstruct(
        "SelectedRecord",
        [(name, Any, msgspec.UNSET) for name in names],
        rename=names,
        gc=False,
    )


def _decode_raw(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def _parse_first(head: bytes) -> Mapping[str, Any] | None:
    """Returns the first record of a list that begins with `head`, None if there is none or it is no object."""
    text = head.decode("utf-8", "ignore")
    begin = re.match(r"\s*\[\s*(?=\{)", text)
    first, _ = json.JSONDecoder().raw_decode(text, begin.end()) if begin else (None, 0)
    return first if isinstance(first, dict) else None


def read_selected(entry: str, selected: SelectedRecords, path: str, written: NumberStyle) -> CellTable | None:
    """Reads the records of `selected` as `read_json` reads those at `path`; None if it may read unselected.

    Columns that are not selected are read from the body, which is then parsed again.
    """
    at_path = follow_path(entry, selected.document, path)
    content, above = at_path.value, at_path.above
    if content is not selected.records or written.decimal_mark != ".":
        return None
    reader = _JsonReader(entry, path, written, selected.document)
    columns: dict[str, tuple[Sequence[Any], Set[type]]] = {}
    for place, name in enumerate(selected.columns):
        cells = list(map(attrgetter(f"field_{place}"), content))
        kinds = set(map(type, cells))
        if kinds & {dict, list} or (msgspec.UnsetType in kinds and len(kinds) > 1):
            return None
        if msgspec.UnsetType not in kinds:
            columns[name] = cells, kinds

    @cache
    def read_whole() -> CellTable:
        document = load_json(entry, selected.body.decode("utf-8-sig"))
        return read_json(entry, document, path, "records", 1, written)

    table = reader.lazy_table(list(selected.first), len(content), columns, read_whole)
    return attach_constants(table, {name: reader.to_cell(cell) for name, cell in above.items()})


def read_json(
    entry: str,
    document: Any,
    path: str,
    layout: RecordLayout,
    header: int | str | tuple[str, ...],
    written: NumberStyle,
    at_path: PathContent | None = None,
) -> CellTable:
    """Reads the records of `document` at `path` in the given `layout`; `header` names the columns of lists of lists,
    and `at_path` is what the path leads to, if it was followed already.

    Raises `FormatError` if there is nothing at the path, or anything else than records.
    """
    reader = _JsonReader(entry, path, written, document)
    at_path = at_path or follow_path(entry, document, path)
    value = at_path.value
    if layout == "rows":
        table = reader.read_rows(value, _find_header(entry, document, header))
    elif layout == "columns":
        table = reader.read_columns(value)
    elif layout == "keyed":
        table = reader.read_keyed(value)
    else:
        table = reader.read_records(value)
    table.skipped.extend(at_path.skipped)
    if reader.null_count:
        table.skipped.append(Skipped("records that are null", reader.null_count, path))
    return attach_constants(table, {name: reader.to_cell(cell) for name, cell in at_path.above.items()})


def _find_header(entry: str, document: Any, header: int | str | tuple[str, ...]) -> Sequence[str] | None:
    if isinstance(header, int):
        return None
    if isinstance(header, str):
        import jmespath

        names = jmespath.search(header, document)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FormatError(entry, f'header: "{header}" leads to no list of names', 'Correct "header"')
        return [name.strip() for name in names]
    return header


class _JsonReader:
    """Reads the value at the `path` of one response."""

    def __init__(self, entry: str, path: str, written: NumberStyle, document: Any) -> None:
        self.entry, self.path, self.written, self.document = entry, path, written, document
        self.null_count = 0

    def read_records(self, content: Any) -> CellTable:
        """Reads a list of objects, or a single object."""
        inherited: set[str] = set()
        if isinstance(content, NestedLists):
            records = [
                self._flatten(below, above, inherited) for above, below in self._descend(content, content.keys, {})
            ]
            return tabulate_records(records, number_positions("record"), frozenset(inherited))
        if content is None:
            return tabulate_records([], number_positions("record"))
        elements = self._drop_nulls(content) if isinstance(content, list) else [content]
        other_element = next((element for element in elements if not isinstance(element, dict)), None)
        if other_element is not None:
            raise self._build_element_error(elements, other_element)
        if isinstance(content, dict) and self._is_columns(content):
            raise self._build_layout_error(content)
        table = self._read_uniform(elements) or tabulate_records(
            [self._flatten(element, {}, inherited) for element in elements], number_positions("record")
        )
        return replace(table, hint=self._hint(elements[0])) if elements else table

    def _drop_nulls(self, elements: list[Any]) -> list[Any]:
        """Returns `elements` without nulls, which are counted: they are no records."""
        count = elements.count(None)
        self.null_count += count
        return [element for element in elements if element is not None] if count else elements

    def _read_uniform(self, records: Sequence[Mapping[str, Any]]) -> CellTable | None:
        """Returns a table of records that all have the same fields, without nested ones; None if they have not."""
        names = list(records[0]) if records else []
        if len(names) < 2 or self.written.decimal_mark != ".":
            return None
        take_fields = itemgetter(*names)
        try:
            rows = [take_fields(record) for record in records]
        except KeyError:
            return None
        if any(len(record) != len(names) for record in records):
            return None
        columns = {
            name: (column, set(map(type, column))) for name, column in zip(names, zip(*rows, strict=True), strict=True)
        }
        if any(kinds & {dict, list} for _, kinds in columns.values()):
            return None
        return self.lazy_table(names, len(records), columns)

    def lazy_table(
        self,
        names: Sequence[str],
        row_count: int,
        columns: Mapping[str, tuple[Sequence[Any], Set[type]]],
        read_whole: Callable[[], CellTable] | None = None,
    ) -> CellTable:
        """Returns a table of `columns`, each with the types of its cells. It converts only those that are read, as most
        columns of a large answer are not; columns that are not there are read from the table of `read_whole`."""

        def read(column_names: Sequence[str]) -> CellColumns:
            unselected = [name for name in column_names if name not in columns]
            cells = dict(read_whole().read(unselected)) if unselected and read_whole else {}
            return {name: cells[name] if name in cells else self._write_texts(*columns[name]) for name in column_names}

        def pieces(value_names: Sequence[str], written: NumberStyle) -> Iterator[CellColumns]:
            unselected = [name for name in value_names if name not in columns]
            cells = dict(read_whole().read(unselected)) if unselected and read_whole else {}
            yield {name: cells[name] if name in cells else self._read_numbers(*columns[name]) for name in value_names}

        def first(column_names: Sequence[str]) -> CellColumns:
            if read_whole and not columns.keys() >= set(column_names):
                return read(column_names)
            beginning = {name: columns[name][0][:RECORDS_JUDGED] for name in column_names}
            return {name: self._write_texts(column, set(map(type, column))) for name, column in beginning.items()}

        return CellTable(names, row_count, read, pieces, number_positions("record"), first=first, complete=True)

    def _read_numbers(self, column: Sequence[Any], kinds: Set[type]) -> CellColumn:
        """Returns the cells of a column as numbers, or as texts if they are not all finite numbers or nulls."""
        if kinds <= _NUMBER_KINDS:
            try:
                numbers = np.array(column, np.float64)
            except OverflowError:
                return self._write_texts(column, kinds)
            if not np.isinf(numbers).any():
                return from_numpy(numbers, pa.float64())
        return self._write_texts(column, kinds)

    def _write_texts(self, column: Sequence[Any], kinds: Set[type]) -> pa.StringArray:
        if kinds == {str}:
            return build_strings(column)
        if kinds == {int}:
            return build_strings(list(map(str, column)))
        if kinds == {bool}:
            return build_strings([_TRUTH[cell] for cell in column])
        return build_strings([self.to_cell(cell) for cell in column])

    def _hint(self, record: Mapping[str, Any], path: str = "") -> str:
        """Returns where in `record` there is a list of objects, which may be the records."""
        for key, value in record.items():
            key_path = f"{path}{key}"
            if isinstance(value, list) and value and isinstance(value[0], dict):
                full_path = f"{self.path}.{key_path}" if self.path else key_path
                quoted_path = json.dumps(full_path, ensure_ascii=False)
                return f'If the records are those in {key_path}, give "records": {quoted_path}'
            if isinstance(value, dict) and (hint := self._hint(value, f"{key_path}.")):
                return hint
        return ""

    def _descend(
        self, elements: Sequence[Any], keys: Sequence[str], above: Mapping[str, str]
    ) -> Iterator[tuple[Mapping[str, str], Any]]:
        """Yields each record below `elements`, with the cells of its ancestors."""
        for element in elements:
            value: Any = element
            inherited = dict(above)
            for index, key in enumerate(keys):
                if not isinstance(value, dict) or key not in value:
                    happened = f'where "{key}" should be, {describe_value(value)}'
                    raise build_path_error(self.entry, self.path, happened, self.document)
                inherited |= {
                    name: self.to_cell(cell) for name, cell in value.items() if not isinstance(cell, dict | list)
                }
                value = value[key]
                if isinstance(value, list) and index + 1 < len(keys):
                    yield from self._descend(value, keys[index + 1 :], inherited)
                    break
            else:
                for record in self._drop_nulls(value) if isinstance(value, list) else [] if value is None else [value]:
                    yield inherited, record

    def _flatten(self, record: Any, above: Mapping[str, str], inherited: set[str]) -> dict[str, str]:
        """Returns the cells of `record`, nested ones by path, after the cells `above` with other names."""
        if not isinstance(record, dict):
            raise self._build_element_error([record], record)
        cells = dict(self._list_leaves(record))
        outer_cells = {name if name not in cells else f"above.{name}": text for name, text in above.items()}
        inherited |= set(outer_cells)
        return outer_cells | cells

    def _list_leaves(self, record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
        for key, value in record.items():
            if isinstance(value, dict):
                yield from self._list_leaves(value, f"{path}{key}.")
            else:
                yield path + key, self.to_cell(value)

    def to_cell(self, value: Any) -> str:
        """Returns `value` as a cell; numbers are written in the entry's number style."""
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return (
                repr(value).replace(".", self.written.decimal_mark) if self.written.decimal_mark != "." else repr(value)
            )
        return json.dumps(value)

    def read_rows(self, content: Any, names: Sequence[str] | None) -> CellTable:
        """Reads a list of lists, whose columns have the given `names` or those in the first list."""
        inherited: dict[str, list[str]] = {}
        if isinstance(content, NestedLists) and names is not None:
            content, inherited = self._join_nested_rows(content)
        if (
            isinstance(content, NestedLists)
            or not isinstance(content, list)
            or not all(isinstance(row, list | None) for row in content)
        ):
            raise FormatError(
                self.entry, f"layout: {self._show_path()} holds no list of lists", 'Correct "records" or "layout"'
            )
        content = self._drop_nulls(content)
        first_number = 1
        if names is None:
            if not content:
                return tabulate_records([], number_positions("row"))
            if not all(isinstance(name, str) for name in content[0]):
                raise FormatError(
                    self.entry,
                    f"header: the first row holds no names: {content[0]!r:.80}",
                    self._propose_names(content),
                )
            names, content, first_number = [name.strip() for name in content[0]], content[1:], 2
        if len(set(names)) < len(names):
            raise FormatError(
                self.entry, f"header: a name stands twice: {', '.join(names)}", 'Give other names with "header"'
            )
        wrong_row = next((index for index, row in enumerate(content) if len(row) != len(names)), None)
        if wrong_row is not None:
            happened = f"row {wrong_row + first_number} has {len(content[wrong_row])} fields, its header {len(names)}"
            raise FormatError(self.entry, happened, 'Correct "header"')
        if content and not inherited and self.written.decimal_mark == ".":
            columns = {
                name: (cells, set(map(type, cells)))
                for name, cells in zip(names, zip(*content, strict=True), strict=True)
            }
            return replace(self.lazy_table(names, len(content), columns), place=number_positions("row", first_number))
        cells = {name: build_strings([self.to_cell(row[index]) for row in content]) for index, name in enumerate(names)}
        outer = {name: build_strings(texts) for name, texts in inherited.items() if name not in cells}
        return build_table(outer | cells, number_positions("row", first_number), frozenset(outer))

    def _join_nested_rows(self, content: NestedLists) -> tuple[list[Any], dict[str, list[str]]]:
        """Returns the lists within each element of a list, in one list, and the columns of the fields beside them."""
        pairs = list(self._descend(content, content.keys, {}))
        names = dict.fromkeys(name for above, _ in pairs for name in above)
        return [row for _, row in pairs], {name: [above.get(name, "") for above, _ in pairs] for name in names}

    def _propose_names(self, rows: Sequence[Sequence[Any]]) -> str:
        names = ", ".join(["time", "value", *(f"value {place}" for place in range(2, 100))][: len(rows[0])])
        return f'Name the columns, such as "header": {json.dumps(names.split(", "))}'

    def read_columns(self, content: Any) -> CellTable:
        """Reads an object of equally long lists, whose other values belong to all its records; or a list of such
        objects."""
        if isinstance(content, NestedLists):
            content = self._join_columns(content)
        elif isinstance(content, list) and content and any(isinstance(element, dict) for element in content):
            content = self._join_objects(self._drop_nulls(content))
        if not isinstance(content, dict) or not any(
            isinstance(text_columns, list) for text_columns in content.values()
        ):
            raise FormatError(
                self.entry, f"layout: {self._show_path()} holds no object of lists", 'Correct "records" or "layout"'
            )
        lists = {name: text_columns for name, text_columns in content.items() if isinstance(text_columns, list)}
        lengths = {name: len(text_columns) for name, text_columns in lists.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise FormatError(self.entry, f"layout: the columns are not equally long: {counts}", 'Correct "records"')
        row_count = next(iter(lengths.values()))
        cells = {name: build_strings([self.to_cell(cell) for cell in column]) for name, column in lists.items()}
        scalars = {name: cell for name, cell in content.items() if not isinstance(cell, list | dict) and row_count}
        cells |= {name: build_strings([self.to_cell(cell)] * row_count) for name, cell in scalars.items()}
        return build_table(cells, number_positions("element"), frozenset(scalars))

    def _join_columns(self, content: NestedLists) -> dict[str, list[Any]]:
        """Returns the lists within each element of a list as one, beside what the element says and the lists above."""
        *outer_keys, name = content.keys
        columns: dict[str, list[Any]] = {}
        for element in content:
            node: Any = element
            for key in outer_keys:
                node = node.get(key) if isinstance(node, dict) else None
            cells = node.get(name) if isinstance(node, dict) else None
            if not isinstance(cells, list):
                raise FormatError(
                    self.entry, f'layout: "{self.path}" leads to {describe_value(cells)}', 'Correct "records"'
                )
            beside = {key: [cell] * len(cells) for key, cell in element.items() if not isinstance(cell, dict | list)}
            for key, texts in (content.lists | beside | {name: cells}).items():
                columns.setdefault(key, []).extend(texts)
        return columns

    def _join_objects(self, elements: Sequence[Any]) -> dict[str, list[Any]]:
        """Returns the lists of all `elements` as one for each name, beside the other values of their element; a list
        that an element does not have is null in its records."""
        columns: dict[str, list[Any]] = {}
        row_count = 0
        for number, element in enumerate(elements, 1):
            lists = (
                {name: cells for name, cells in element.items() if isinstance(cells, list)}
                if isinstance(element, dict)
                else {}
            )
            lengths = {name: len(cells) for name, cells in lists.items()}
            if len(set(lengths.values())) != 1:
                counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
                happened = (
                    f"layout: element {number} of {self._show_path()} has no lists of one length: {counts or 'none'}"
                )
                raise FormatError(self.entry, happened, 'Correct "records" or "layout"')
            added = next(iter(lengths.values()))
            beside = {name: [cell] * added for name, cell in element.items() if not isinstance(cell, dict | list)}
            for name in dict.fromkeys([*columns, *beside, *lists]):
                cells = columns.setdefault(name, [None] * row_count)
                cells.extend((beside | lists).get(name, [None] * added))
            row_count += added
        return columns

    def read_keyed(self, content: Any) -> CellTable:
        """Reads an object of records, or of numbers, by their times, which become the column `key`; or a list of such
        objects."""
        objects = content if isinstance(content, list) and content else [content]
        if not all(isinstance(element, dict) for element in objects):
            raise FormatError(
                self.entry, f"layout: {self._show_path()} holds no object", 'Correct "records" or "layout"'
            )
        records = []
        for key, record in chain.from_iterable(element.items() for element in objects):
            several = isinstance(record, list) and all(isinstance(element, dict) for element in record)
            for element in record if several else [record]:
                cells = (
                    dict(self._list_leaves(element)) if isinstance(element, dict) else {"value": self.to_cell(element)}
                )
                if KEY_COLUMN in cells:
                    happened = f'layout: the record of {key!r} has a column "{KEY_COLUMN}" of its own'
                    raise FormatError(self.entry, happened)
                records.append({KEY_COLUMN: str(key)} | cells)
        return tabulate_records(records, number_positions("record"))

    def _show_path(self) -> str:
        return f'"{self.path}"' if self.path else "the answer"

    def _is_columns(self, value: Mapping[str, Any]) -> bool:
        lengths = [
            len(cells)
            for cells in value.values()
            if isinstance(cells, list) and not any(isinstance(cell, dict | list) for cell in cells)
        ]
        return len(lengths) > 1 and len(set(lengths)) == 1

    def _build_layout_error(self, value: Mapping[str, Any]) -> FormatError:
        names = ", ".join(name for name, cells in value.items() if isinstance(cells, list))
        return FormatError(
            self.entry, f"{self._show_path()} is an object of lists ({names})", 'Add "layout": "columns"'
        )

    def _build_element_error(self, elements: Sequence[Any], element: Any) -> FormatError:
        happened = f'records: "{self.path}" holds a {name_kind(element)}, no objects'
        if isinstance(element, list):
            named = bool(elements[0]) and all(isinstance(name, str) for name in elements[0]) and len(elements) > 1
            names = "" if named else f", and {self._propose_names(elements).removeprefix('Name the columns, such as ')}"
            return FormatError(
                self.entry, happened, f'Add "layout": "rows"{names}, or the path of the names as "header"'
            )
        return FormatError(self.entry, happened, "Correct the path to the records")
