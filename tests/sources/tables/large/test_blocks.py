"""Large answers that are read block by block: the same rows, counts and errors as of those that are read as a whole."""

from __future__ import annotations

import json
import random
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.collect.checks import PageChecks, settle_page
from gridtide.config.loading import parse
from gridtide.errors import FormatError, GridtideError, UpstreamError
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response
from gridtide.sources.formats.bodies import Member
from gridtide.sources.tables.large import blocks, cutting
from gridtide.sources.tables.large.blocks import cut_blocks, find_last_line
from gridtide.sources.tables.large.tally import SeriesSpans

START = datetime(2026, 1, 10, tzinfo=UTC)
RETRIEVED = datetime(2026, 2, 1, tzinfo=UTC)
BASE = {"name": "lmp", "url": "https://grid.example/lmp", "output_folder": "lmp", "unit": "USD/MWh"}
RIVALS = re.compile("different values of one key|another value of its time|exact duplicates")
KEYS = {"time": "time", "interval": "PT1H", "location": "node", "value": ["lmp", "loss"], "ignore": ["type"]}


@contextmanager
def cut_into(block_bytes: int | None) -> Iterator[None]:
    """Reads bodies in blocks of about `block_bytes`, None for whole bodies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "LARGE_BYTES", 60 if block_bytes else 1 << 40)
        patch.setattr(blocks, "CUT_BYTES", block_bytes or 1)
        yield


def collect(body: bytes, keys: dict[str, Any], block_bytes: int | None) -> Any:
    """What is stored and counted of `body`; or the class of the error that refuses it."""
    (entry,) = parse({"apis": [BASE | keys]}).apis
    request = Request(entry.url, label="snapshot")
    with cut_into(block_bytes), PageChecks(entry, None) as checks:
        try:
            page = generic.parse_response(entry, request, Response(body, RETRIEVED))
            checks.add(0, request, settle_page(page, entry, request, None))
            (draft,) = checks.complete()
        except GridtideError as error:
            return type(error)
        counts: Counter[str] = Counter()
        for item in checks.skipped:  # of two records of a key, a block or the collection finds the second
            counts["rivals" if RIVALS.search(item.reason) else item.reason] += item.count
        return sorted(map(repr, draft.table().to_pylist())), +counts


def write_table(dice: random.Random) -> bytes:
    """A random CSV of prices: ordered by time or by node, with what real ones have among and in their rows."""
    hours, nodes = dice.randint(1, 6), dice.randint(1, 8)
    names = [dice.choice(["N{}", "Nœud {}", '"a, {}"', '"two\nlines {}"']).format(number) for number in range(nodes)]
    cells = ["1.5", "-0.25", "", "12", "n/a", *(["closed"] if dice.random() < 0.3 else [])]
    places = [(hour, node) for hour in range(hours) for node in range(nodes)]
    if dice.random() < 0.5:
        places.sort(key=lambda place: place[::-1])
    if dice.random() < 0.3:
        places.append(dice.choice(places))
    header = "time,node,type,lmp,loss"
    lines = [header]
    for hour, node in places:
        label = "" if dice.random() < 0.05 else f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}"
        kind = "ZONE" if node % 3 == 0 else "GEN"
        lines.append(f"{label},{names[node]},{kind},{dice.choice(cells)},{dice.choice(cells)}")
        if dice.random() < 0.05:
            lines.append(dice.choice(["", header, "# revised", "# 1,2,3"]))
    newline = dice.choice(["\n", "\r\n"])
    before = f"Prices{newline}" if dice.random() < 0.3 else ""
    ending = newline if dice.random() < 0.8 else ""
    return (before + newline.join(lines) + ending).encode()


def choose_keys(dice: random.Random) -> dict[str, Any]:
    """The keys that read such a table."""
    keys = KEYS | {"skip": "until:time", "comment": "#", "numbers": {"nulls": ["n/a"]}}
    choices: list[dict[str, Any]] = [{}, {"where": {"type": ["ZONE"]}}, {"locations": ["N1", "Nœud 2"]}]
    keys |= dice.choice(choices) | dice.choice([{}, {"conflict": "last"}, {"conflict": "first"}, {"past": True}])
    return keys | dice.choice([{}, {"interval": "PT30M"}, {"label": "end"}])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 400))
def test_blocks_give_what_the_whole_gives(seed: int, block_bytes: int) -> None:
    """The same rows are stored, and the same cells counted by reason; or both ways refuse the body."""
    dice = random.Random(seed)  # noqa: S311
    body, keys = write_table(dice), choose_keys(dice)
    whole = collect(body, keys, None)
    parts = collect(body, keys, block_bytes)
    assert parts == whole, (keys, body.decode())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b'"', b"\n", b'"x\ny"', b",", b"\r\n"]), max_size=60),
    st.integers(1, 20),
)
def test_blocks_are_the_body_in_order(parts: list[bytes], block_bytes: int) -> None:
    """Behind the head, the blocks are the body; lines are counted, and blocks end at line breaks outside quotes."""
    body = b"".join(parts)
    with cut_into(block_bytes):
        made = list(cut_blocks(BytesIO(body), b"head\n", b"\n", b'"'))
    assert b"".join(block.content.removeprefix(b"head\n") for block in made) == body
    before = b""
    for number, block in enumerate(made):
        assert block.lines == before.count(b"\n")
        before += block.content.removeprefix(b"head\n")
        if number + 1 < len(made):
            assert before.endswith(b"\n")
            assert before.count(b'"') % 2 == 0


def hourly(hours: int, minutes: int = 60, first: datetime = START) -> bytes:
    """A CSV of one node."""
    times = [first + number * timedelta(minutes=minutes) for number in range(hours)]
    return b"time,node,lmp,loss\n" + b"".join(f"{time:%Y-%m-%dT%H:%MZ},A,1,2\n".encode() for time in times)


def is_cut(body: bytes, **keys: Any) -> bool:
    """Whether an entry with `keys` reads `body` in blocks."""
    named = {key: value for key, value in (KEYS | keys).items() if value is not None}
    (entry,) = parse({"apis": [BASE | named]}).apis
    content = Member("lmp", "", lambda: BytesIO(body))
    with cut_into(100):
        return cutting.cut_body(entry, content, {}, None, ["time", "lmp", "loss"]) is not None


@pytest.mark.parametrize(
    "keys",
    [
        {"interval": None, "interval_from": "gaps"},
        {"footer": 1},
        {"summed": {"column": "type"}},
        {"value": None},
        {"layout": "lines"},
        {"timezone_from": "zone"},
        {"pages": {"link": True}},
    ],
)
def test_what_only_the_whole_shows_is_read_as_a_whole(keys: dict[str, Any]) -> None:
    """Answers whose records need others to be understood are not cut."""
    assert is_cut(hourly(20))
    assert not is_cut(hourly(20), **keys)


def test_a_clock_that_is_changed_is_read_as_a_whole() -> None:
    """Local times are cut where each day has 24 hours; not around a change of the clock, also if it comes late."""
    local = hourly(48, first=datetime(2026, 3, 20)).replace(b"Z,", b",")
    spring = hourly(240, first=datetime(2026, 3, 20)).replace(b"Z,", b",")
    assert is_cut(local, timezone="Europe/Berlin")
    assert not is_cut(spring, timezone="Europe/Berlin")
    assert is_cut(spring, timezone="UTC")
    assert is_cut(hourly(240, first=datetime(2026, 3, 20)), timezone="Europe/Berlin")  # with an offset


def test_texts_that_cannot_be_cut_are_read_as_a_whole() -> None:
    """UTF-16, other encodings, and answers whose number of records a header says are not cut."""
    assert find_last_line(BytesIO("a\nb\n".encode("utf-16"))) is None
    assert find_last_line(BytesIO("a\nGüssing".encode("latin-1"))) is None
    with cut_into(1):
        assert find_last_line(BytesIO("a\nGüssing\r\n".encode())) == "Güssing\r\n".encode()


def test_a_body_that_is_cut_off_is_refused_at_once() -> None:
    """Before any row of it is read, as an answer that may be whole when it is asked for again."""
    (entry,) = parse({"apis": [BASE | KEYS]}).apis
    with cut_into(100), pytest.raises(UpstreamError, match="cut in its last line"):
        generic.parse_response(entry, Request(entry.url), Response(hourly(50)[:-7], RETRIEVED))


def test_positions_are_those_in_the_whole_body() -> None:
    """A cell of a late block is named by its line in the body, of quoted fields with line breaks by its row."""
    body = hourly(50).replace(b"10T05:00Z,A,1", b"10T05:00Z,A,closed")
    for content, place in ((body, "line 7"), (body.replace(b",A,", b',"A\nB",'), "row 6")):
        (entry,) = parse({"apis": [BASE | KEYS]}).apis
        with cut_into(100):
            page = generic.parse_response(entry, Request(entry.url), Response(content, RETRIEVED))
            assert sum(piece.num_rows for piece in page.more) + page.observations.num_rows == 99
        assert [item.example.partition(",")[0] for item in page.skipped if item.count] == [place]


def test_intervals_that_overlap_in_two_blocks_are_refused() -> None:
    """Half hours among hours of one node, far apart in the body, are refused; half hours after hours are not."""
    apart = hourly(24) + hourly(24, 30, START + timedelta(days=1)).partition(b"\n")[2]
    among = hourly(24) + hourly(24, 30).partition(b"\n")[2]
    keys = KEYS | {"interval": None, "interval_from": "length"}
    keys = {key: value for key, value in keys.items() if value is not None}

    def measured(body: bytes) -> bytes:
        lines = body.splitlines()
        lengths = [b"length", *([b"60"] * 24), *([b"30"] * 24)]
        return b"".join(line + b"," + length + b"\n" for line, length in zip(lines, lengths, strict=True))

    rows, _ = collect(measured(apart), keys, 100)
    assert len(rows) == 96
    assert collect(measured(apart), keys, None)[0] == rows
    assert collect(measured(among), keys, 100) is FormatError
    assert collect(measured(among), keys, None) is FormatError


def test_hours_before_quarter_hours_are_counted_over_all_blocks() -> None:
    """The part of the time that an interval that is too short leaves out is counted although no block shows it."""
    body = hourly(24) + hourly(24, 15, START + timedelta(days=1)).partition(b"\n")[2]
    keys = KEYS | {"interval": "PT15M"}
    assert collect(body, keys, 100) == collect(body, keys, None)
    assert any("gaps as long as intervals" in reason for reason in collect(body, keys, 100)[1])


def test_spans_of_series_tell_overlaps_from_neighbours() -> None:
    """Equal intervals and neighbours are no overlap; others within the span of earlier ones may be."""
    spans = SeriesSpans()

    def add(*intervals: tuple[int, int]) -> tuple[str, ...] | None:
        starts, ends = (np.array(column, np.int64) for column in zip(*intervals, strict=True))
        return spans.add([("A",)], np.zeros(len(starts), np.int64), starts, ends)

    assert add((0, 60), (60, 120)) is None
    assert add((0, 60), (120, 180)) is None
    assert add((180, 210), (210, 240)) is None
    assert add((30, 90)) == ("A",)
    assert spans.add([("B",)], np.zeros(1, np.int64), np.array([30]), np.array([90])) is None


BULK = {"records": "data", "layout": "rows", "header": ["time", "value"], "time": "time", "time_format": "%Y%m%dT%HZ"}
BULK |= {"interval": "PT1H", "value": "value", "location": "series_id", "ignore": ["name", "units"]}


def write_bulk(dice: random.Random) -> bytes:
    """Random JSON lines as in a bulk file of EIA: a series in each, among lines of categories."""
    lines = []
    for number in range(dice.randint(2, 6)):
        rows = [[f"{START + timedelta(hours=hour):%Y%m%dT%HZ}", dice.choice([1.5, None, -2])] for hour in range(5)]
        series = {"series_id": f"EBA.B{number}-ALL.D.H", "name": "Güssing", "units": "MWh", "data": rows[::-1]}
        lines.append(json.dumps(series, ensure_ascii=dice.random() < 0.5))
        if dice.random() < 0.3:
            lines.append(json.dumps({"category_id": str(number), "childseries": ["EBA.B0-ALL.D.H"]}))
        if dice.random() < 0.1:
            lines.append(dice.choice(["", "{"]))
    return ("\n".join(lines) + "\n" * dice.randint(0, 1)).encode()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 400))
def test_blocks_of_json_lines_give_what_the_whole_gives(seed: int, block_bytes: int) -> None:
    """Lines without records are counted, wherever they are; broken ones are refused."""
    body = write_bulk(random.Random(seed))  # noqa: S311
    assert collect(body, BULK, block_bytes) == collect(body, BULK, None)


def test_a_bulk_file_is_read_member_by_member() -> None:
    """The series of a zip of JSON lines are stored, under their ids, and lines of categories are counted."""
    series = {
        "series_id": "EBA.CISO-ALL.D.H",
        "units": "megawatthours",
        "data": [["20260110T01Z", 7], ["20260110T00Z", 5]],
    }
    body = "\n".join(map(json.dumps, [series, {"category_id": "1", "name": "Demand"}])).encode()
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("EBA.txt", body)
        file.writestr("readme.md", "no table")
    for block_bytes in (None, 50):
        stored, counts = collect(archive.getvalue(), BULK | {"unpack": "*.txt"}, block_bytes)
        assert ["5.0" in row for row in stored] == [True, False]
        assert all("EBA.CISO-ALL.D.H" in row for row in stored)
        assert counts['elements in which "records" leads nowhere'] == 1


def test_json_lines_that_are_cut_off_are_refused_at_once() -> None:
    """Before any row of them is read."""
    (entry,) = parse({"apis": [BASE | BULK]}).apis
    body = write_bulk(random.Random(1)).rstrip()[:-3]  # noqa: S311
    with cut_into(100), pytest.raises(UpstreamError, match="cut"):
        generic.parse_response(entry, Request(entry.url), Response(body, RETRIEVED))
