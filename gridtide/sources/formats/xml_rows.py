"""XML records: elements, or points that are numbered from the start of a period."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from gridtide.entries.table_layout import RecordLayout
from gridtide.errors import FormatError, UpstreamError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.bodies import parse_tree
from gridtide.sources.formats.cells import (
    RECORDS_BESIDE,
    CellTable,
    number_positions,
    propose_paths,
    tabulate_records,
)

POSITION, RESOLUTION = "position", "resolution"
"""The columns for the times and the lengths of points."""

NO_MATCHING_DATA = "999"
"""The code of an acknowledgement without data, as ENTSO-E sends it."""

BREAKPOINTS = frozenset({"A04", "A05"})
"""Types of curves whose points are joined by lines, which no interval holds."""

MOST_POSITIONS = 1_000_000
"""The most positions of a period that a variable-sized curve may fill."""

OUTLINED_ELEMENTS = 5000
"""Of how many elements of one name the outline holds their texts; of more it holds their number."""

OUTLINE_DEPTH = 3
"""How many elements may be around one that describes the answer."""

_ERROR = re.compile(r"(?i)(error|fault|exception|message|denied|failure)s?$")
_LENGTH = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def read_xml(entry: str, body: bytes, path: str, layout: RecordLayout) -> tuple[CellTable, dict[str, Any]]:
    """Reads the records of `body`: the elements at `path`, or points by position. Returns them and what stands around
    them: attributes and texts of elements by name, as in JSON.

    Raises `UpstreamError` for truncated XML and for error documents, `FormatError` if the elements are missing or a
    record has several children with one name.
    """
    root = parse_tree(entry, body)
    if root.tag.startswith("Acknowledgement"):
        return _read_acknowledgement(entry, root), {}
    _refuse_error(entry, root)
    table = _read_points(entry, root) if layout == "positions" else _read_elements(entry, root, path)
    return table, _describe_element(root)


def _describe_element(element: Element, depth: int = 0) -> dict[str, Any]:
    """Returns the attributes and the texts in `element` by name, with objects for the elements in it that have others,
    and lists of objects for those that repeat: an outline of what stands around the records."""
    children: dict[str, list[Element]] = {}
    for child in element:
        children.setdefault(child.tag, []).append(child)
    outline: dict[str, Any] = dict(element.attrib)
    for tag, repeated in children.items():
        is_text = not len(repeated[0]) and not repeated[0].attrib
        if len(repeated) > OUTLINED_ELEMENTS:
            outline[tag] = [{}] * len(repeated)
        elif len(repeated) > 1:
            outline[tag] = [{leaf.tag: leaf.text for leaf in child} | child.attrib for child in repeated]
        elif is_text:
            outline[tag] = (repeated[0].text or "").strip()
        elif depth < OUTLINE_DEPTH:
            outline[tag] = _describe_element(repeated[0], depth + 1)
    return outline


def _read_acknowledgement(entry: str, root: Element) -> CellTable:
    """Returns no records if the upstream has none; raises `FormatError` with its reason if it refuses the request."""
    codes = [(element.text or "").strip() for element in root.iter("code")]
    reasons = " ".join(" ".join((element.text or "").split()) for element in root.iter("text"))
    if NO_MATCHING_DATA in codes and not re.search(r"(?i)exceed|limit|not valid|invalid", reasons):
        return tabulate_records([], number_positions("point"))
    raise FormatError(entry, f"the upstream refuses the question: {reasons[:300] or codes}", 'Correct "params"')


def _refuse_error(entry: str, root: Element) -> None:
    """Raises if the document is an error, or has text instead of elements."""
    message = " ".join(filter(None, [*root.attrib.values(), " ".join("".join(root.itertext()).split())]))
    tags = [element.tag for element in root.iter()]
    is_error = len(tags) < 10 and (_ERROR.search(root.tag) is not None or "Fault" in tags)  # of SOAP, below its body
    says_more = not len(root) and (bool((root.text or "").strip()) or any(map(_ERROR.search, root.attrib)))
    if is_error or says_more:
        raise UpstreamError(entry, f"the upstream answers with an error: <{root.tag}> {message[:300]}".strip())


def _read_elements(entry: str, root: Element, path: str) -> CellTable:
    record_elements, holders = _select_at_path(entry, root, path)
    has_others = any(len(child) > 1 or len(child.attrib) > 1 for holder in holders for child in holder)
    if len(root) and not record_elements and (not holders or has_others):
        tags = ", ".join(dict.fromkeys(element.tag for element in root.iter()))
        raise FormatError(
            entry,
            f'records: no "{path}" among the elements {tags}',
            propose_paths(Counter(_list_record_tags(root))) or 'Correct "records", as "rows.row" if rows may be empty',
        )
    above = _Ancestors(root) if record_elements else None
    records, inherited = [], set()
    for number, element in enumerate(record_elements, 1):
        cells = _read_cells(entry, element, number)
        outer_cells = {
            name: text for name, text in (above.cells(element) if above else {}).items() if name not in cells
        }
        inherited |= set(outer_cells)
        records.append(outer_cells | cells)
    table = tabulate_records(records, number_positions("record"), frozenset(inherited))
    table.skipped.extend(_count_beside(root, record_elements, set(table.own)))
    return table


def _count_beside(root: Element, records: Sequence[Element], columns: set[str]) -> Iterator[Skipped]:
    """Yields the counts of elements outside the `records` that may be records, by their tag: they have most of the
    `columns`."""
    is_inside = {id(inner) for record in records for inner in record.iter()}
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for element in root.iter() if records else ():
        if id(element) in is_inside or element is root:
            continue
        names = {*element.attrib, *(child.tag for child in element if not len(child))}
        if len(names & columns) * 2 > len(columns) and len(names & columns) > 1:
            counts[element.tag] = counts.get(element.tag, 0) + 1
            examples.setdefault(element.tag, ", ".join([*element.attrib.values(), *map(_write_child, element)])[:80])
    for tag, count in counts.items():
        yield Skipped(RECORDS_BESIDE.format(tag), count, examples[tag])


def _write_child(element: Element) -> str:
    return f"{element.tag} {(element.text or '').strip()}"


def _list_record_tags(root: Element) -> Iterator[str]:
    """Yields the tag of each element below `root` that may be a record: it has attributes, or elements with texts."""
    for element in root.iter():
        has_texts = any(not len(child) and (child.text or "").strip() for child in element)
        if element is not root and (has_texts or element.attrib):
            yield element.tag


def _select_at_path(entry: str, root: Element, path: str) -> tuple[Sequence[Element], Sequence[Element]]:
    """Returns the elements that are records, and those that may contain records."""
    if re.search(r"[/\[\]@]", path):
        try:
            elements = root.findall(path.removeprefix("/"))
        except (SyntaxError, KeyError) as error:
            raise FormatError(
                entry, f'records: "{path}" is not an element path: {error}', 'Correct "records"'
            ) from error
        return elements, elements
    *parent_tags, name = path.split(".")
    if parent_tags:
        holders = list(root.iter(parent_tags[-1]))
        return [element for holder in holders for element in holder if element.tag == name], holders
    elements = list(root.iter(name)) if name else list(root)
    return elements, elements


def _read_cells(entry: str, record_element: Element, number: int) -> dict[str, str]:
    """Returns the cells of a record; raises `FormatError` if two have one name, because only one could be stored."""
    record_cells: dict[str, str] = {}
    for name, text in _list_texts(record_element):
        if name in record_cells:
            raise FormatError(
                entry,
                f"records: record {number}, <{record_element.tag}>, holds {name} more than once",
                _propose_records(record_element, name.partition(".")[0]),
            )
        record_cells[name] = text
    return record_cells


def _propose_records(element: Element, tag: str) -> str:
    """Describes how to read the repeated children `tag` of `element` as records."""
    first_point = element.find(tag)
    if first_point is None or first_point.find(POSITION) is None:
        return f'Make them the records: "records": "{element.tag}.{tag}"'
    values = [child.tag for child in first_point if child.tag != POSITION]
    return f'Add "layout": "positions", with "time": "position" and "value": {json.dumps(values)}'


def _list_texts(element: Element, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the attributes of `element` and the texts of the elements in it."""
    for key, value in element.attrib.items():
        yield path + key, value
    for child in element:
        yield from _list_texts(child, f"{path}{child.tag}.")
        if not len(child):
            yield path + child.tag, (child.text or "").strip()
    if not path and not len(element) and (element.text or "").strip():
        yield element.tag, (element.text or "").strip()


class _Ancestors:
    """The elements that contain the records of a document."""

    def __init__(self, root: Element) -> None:
        self.parents = {child: element for element in root.iter() for child in element}
        self.known_cells: dict[tuple[Element, str], dict[str, str]] = {}

    def cells(self, element: Element) -> dict[str, str]:
        """Returns the cells beside and above `element`; of two with one name the nearer one has it, the other has its
        element's name as prefix."""
        parent = self.parents.get(element)
        if parent is None:
            return {}
        if (parent, element.tag) not in self.known_cells:
            own_cells = dict(parent.attrib)
            leaves = [
                leaf for leaf in parent if not len(leaf) and leaf.tag != element.tag and (leaf.text or "").strip()
            ]
            counts = {child.tag: sum(other_leaf.tag == child.tag for other_leaf in leaves) for child in leaves}
            own_cells |= {child.tag: (child.text or "").strip() for child in leaves if counts[child.tag] == 1}
            own_cells |= _read_single_branches(parent, element.tag)
            outer_cells = self.cells(parent)
            grandparent = self.parents.get(parent)
            prefix = grandparent.tag if grandparent is not None else ""
            renamed = {
                name if name not in own_cells else f"{prefix}.{name}": text for name, text in outer_cells.items()
            }
            self.known_cells[parent, element.tag] = renamed | own_cells
        return self.known_cells[parent, element.tag]


def _read_single_branches(parent: Element, without: str) -> dict[str, str]:
    """Returns the texts below children of `parent`, except `without`, that occur once, such as `MktPSRType.psrType`."""
    branches = [child for child in parent if len(child) and child.tag != without]
    tags = [child.tag for child in branches]
    single_branches = [child for child in branches if tags.count(child.tag) == 1 and len(child) < 10]
    return {
        f"{child.tag}.{leaf.tag}": (leaf.text or "").strip()
        for child in single_branches
        for leaf in child
        if not len(leaf)
    }


def _read_points(entry: str, root: Element) -> CellTable:
    """Returns the points of all periods of `root` with their times, which become the column `position`."""
    above = _Ancestors(root)
    records: list[dict[str, str]] = []
    inherited: set[str] = set()
    skipped: list[Skipped] = []
    periods = [
        element for element in root.iter() if element.find("timeInterval") is not None and len(element.findall("Point"))
    ]
    if not periods and len(root):
        tags = ", ".join(dict.fromkeys(element.tag for element in root.iter()))
        raise FormatError(
            entry, f"layout: no period with a timeInterval and Points among the elements {tags}", 'Correct "layout"'
        )
    for period in periods:
        outer_cells = above.cells(period[0])
        outer_cells = {
            name: text
            for name, text in outer_cells.items()
            if not name.startswith(("timeInterval.", "Point.")) and name != RESOLUTION
        }
        curve = outer_cells.get("curveType", "A01")
        if curve in BREAKPOINTS:
            happened = f"a period has a curve of the type {curve}, whose values change between its points"
            raise FormatError(entry, happened, "Ask for a document of intervals")
        variable_sized = curve == "A03"
        for cells in _list_points(entry, period, variable_sized, skipped):
            inherited_cells = {name: text for name, text in outer_cells.items() if name not in cells}
            inherited |= {*inherited_cells, RESOLUTION}
            records.append(inherited_cells | cells)
    table = tabulate_records(records, number_positions("point"), frozenset(inherited))
    table.skipped.extend(skipped)
    return table


POSITIONS_WITHOUT_POINT = "positions of periods without a point"
"""Why an interval of a period has no value: a fixed-sized curve leaves it out, or a variable-sized one its first."""


def _list_points(entry: str, period: Element, variable_sized: bool, skipped: list[Skipped]) -> Iterator[dict[str, str]]:
    """Yields the points of `period`; if it is variable-sized, an omitted position repeats the previous one. Positions
    that have no value are added to `skipped`.

    start ├─1─┼─2─┼─(2)─┼─4─┤ end
    """
    resolution = (period.findtext("resolution") or "").strip()
    interval_length = _parse_step(entry, resolution)
    start, end = (_parse_moment(entry, period.findtext(f"timeInterval/{bound}")) for bound in ("start", "end"))
    last_position = round((end - start) / interval_length) if interval_length else 0
    if last_position > MOST_POSITIONS:
        raise FormatError(entry, f"a period from {start:%Y-%m-%dT%H:%MZ} has {last_position} positions of {resolution}")
    points = [_read_cells(entry, point, number) for number, point in enumerate(period.findall("Point"), 1)]
    numbers = [_parse_position(entry, cells) for cells in points]
    if sorted(set(numbers)) != numbers or (numbers and (numbers[0] < 1 or numbers[-1] > last_position)):
        happened = (
            f"the positions of the period from {start:%Y-%m-%dT%H:%MZ} do not run from 1 to {last_position}: "
            f"{numbers[:5]}…"
        )
        raise FormatError(entry, happened)
    missing = sorted(set(range(1, numbers[0] if variable_sized and numbers else last_position + 1)) - set(numbers))
    if missing:
        moment = start + (missing[0] - 1) * interval_length
        skipped.append(
            Skipped(POSITIONS_WITHOUT_POINT, len(missing), f"position {missing[0]}, {moment:%Y-%m-%dT%H:%MZ}")
        )
    following = [*numbers[1:], last_position + 1] if variable_sized else [number + 1 for number in numbers]
    for cells, number, next_number in zip(points, numbers, following, strict=True):
        for position in range(number, next_number):
            moment = start + (position - 1) * interval_length
            yield cells | {POSITION: f"{moment:%Y-%m-%dT%H:%M:%SZ}", RESOLUTION: resolution}


def _parse_position(entry: str, cells: dict[str, str]) -> int:
    content = cells.get(POSITION, "")
    if not content.isdecimal():
        raise FormatError(entry, f"a point has the position {content!r}, which is not a number")
    return int(content)


def _parse_step(entry: str, content: str) -> timedelta:
    match = _LENGTH.fullmatch(content)
    if not match or not any(match.groups()):
        raise FormatError(entry, f"a period has the resolution {content!r}, which is not a duration of days or less")
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _parse_moment(entry: str, content: str | None) -> datetime:
    try:
        moment = datetime.fromisoformat((content or "").strip())
    except ValueError as error:
        raise FormatError(
            entry, f"a period begins or ends at {content!r}, which is not a valid ISO 8601 time"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
