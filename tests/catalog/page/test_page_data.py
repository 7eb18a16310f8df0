"""The documents of the page: what they hold of each series and file."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.catalog.page.page_data import ALPHABET, PLOT_LEVELS, encode_points, write_compact
from gridtide.catalog.page.rendering import render_pages
from gridtide.catalog.writing import write_catalog
from gridtide.lake import Lake
from tests.support.pages.pictures import picture


def detail(body: bytes) -> Any:
    """The content of a script of the page."""
    return json.loads(body.decode().removeprefix("catalogue.receive(").removesuffix(");\n"))[2]


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9, width=32)), min_size=1, max_size=50))
def test_points_are_read_back_within_half_a_level(values: list[float | None]) -> None:
    """Two characters for each point give its value back within half of a level; a point without a value has dashes."""
    points = np.array([np.nan if value is None else value for value in values])
    text = encode_points(points, PLOT_LEVELS)
    if np.isnan(points).all():
        assert text == ""
        return
    low, high = float(np.nanmin(points)), float(np.nanmax(points))
    pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
    assert [pair == "--" for pair in pairs] == np.isnan(points).tolist()
    for pair, value in zip(pairs, values, strict=True):
        if value is not None:
            height = 64 * ALPHABET.index(pair[0]) + ALPHABET.index(pair[1])
            assert low + height * (high - low) / 4095 == pytest.approx(value, abs=0.51 * (high - low) / 4095 + 1e-9)


def test_the_files_of_a_series_are_those_that_list_it() -> None:
    """The ranges of a group of series name the files that list it, of all files of the entry."""
    pages = render_pages(picture(series=8, entries=1, files=9))
    files = detail(pages["files/0.js"])
    assert files["groups"] == [[[0, 9]]]
    assert [row[1] for row in files["rows"]] == sorted(row[1] for row in files["rows"])
    assert files["rows"][-1][5] == [0]
    assert files["bodies"][0][1:] == [2, 150]


def test_the_same_lake_gives_the_same_page() -> None:
    """The files of the page of the same lake have the same bytes; the page is the last of them."""
    first, second = render_pages(picture(series=40)), render_pages(picture(series=40))
    assert first == second
    assert list(first)[-1] == "index.html"


def test_the_size_of_the_page_grows_by_less_than_a_hundred_bytes_for_a_series() -> None:
    """A lake with 10,000 series still has a page of less than 1 MB at first."""
    small, large = (len(render_pages(picture(series=count))["index.html"]) for count in (400, 2000))
    assert (large - small) / 1600 < 90


def test_texts_cannot_end_the_script_that_they_are_in() -> None:
    """JSON in the page has no character that a browser could read as markup, and is the same document."""
    document = {"text": '</script><!-- \u2028 & "quoted"'}
    assert not re.search(r"[<\u2028\u2029]", write_compact(document))
    assert json.loads(write_compact(document)) == document


def test_details_of_an_earlier_page_are_removed(tmp_path: Path) -> None:
    """A page of fewer series leaves no detail of the one before, and touches no other file."""
    lake = Lake.open(str(tmp_path))
    asyncio.run(lake.store.put("catalog/notes.txt", b"by hand"))
    asyncio.run(write_catalog(lake, picture(series=400)))
    written = asyncio.run(write_catalog(lake, picture(series=40, entries=1)))
    stored = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert stored == {*written, "catalog/notes.txt"}
    document = json.loads((tmp_path / "catalog" / "catalog.json").read_text())
    assert len(document["series"]) == 40
    assert document["sets"][0]["name"] == "island"
    assert timedelta(seconds=document["series"][0]["resolution"]) == timedelta(hours=1)
