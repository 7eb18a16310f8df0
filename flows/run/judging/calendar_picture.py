"""Pictures for Markdown artifacts: calendars of series, a row for each series and a cell for each day.

Both UIs of Prefect show an image of Markdown whose address has the whole SVG in it (`data:image/svg+xml`), so that
pictures need no server of files and no network.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import groupby
from xml.sax.saxutils import escape

from gridtide.quality.flags import Flag

SYMBOLS = {Flag.GOOD: "█", Flag.NOT_EVALUATED: "▒", Flag.SUSPECT: "▄", Flag.FAIL: "▁", Flag.MISSING: "·"}
"""A day in a calendar that is text, by its flag."""

FLAG_COLOURS = {"█": "#2e9e6b", "▒": "#9aa3ad", "▄": "#e0a030", "▁": "#d64541", "·": "#5f7fa8"}
"""A day in a picture, by its symbol: colours that are told apart on light and dark ground."""

CELL_HEIGHT, LONGEST_ROW, TEXT_WIDTH = 16, 360, 300
"""In pixels: the height of a row, the width of all days at most, and the room for the name of a series."""

NAME_LENGTH = 46
"""The characters of a name that there is room for."""


def draw_calendars(calendars: Mapping[str, str]) -> str:
    """Returns a Markdown image of `calendars`, the symbols of the days of each series by its name; empty without
    any."""
    day_count = max(map(len, calendars.values()), default=0)
    if not day_count:
        return ""
    width = max(1, min(12, LONGEST_ROW // day_count))
    names, paths = [], dict.fromkeys(FLAG_COLOURS, "")
    for row, (name, cells) in enumerate(calendars.items()):
        top = row * CELL_HEIGHT
        printable = "".join(character if character.isprintable() else " " for character in name)
        label = printable if len(name) <= NAME_LENGTH else f"…{printable[1 - NAME_LENGTH :]}"
        names.append(f'<text x="0" y="{top + 12}">{escape(label)}</text>')
        offset = TEXT_WIDTH
        for symbol, run in groupby(cells):
            length = width * sum(1 for _ in run)
            paths[symbol] += f"M{offset} {top + 1}h{length}v{CELL_HEIGHT - 2}h-{length}z"
            offset += length
    height = CELL_HEIGHT * len(calendars)
    drawn = [f'<path fill="{FLAG_COLOURS[symbol]}" d="{steps}"/>' for symbol, steps in paths.items() if steps]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{TEXT_WIDTH + width * day_count}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="#808790">{"".join([*names, *drawn])}</svg>'
    )
    return f"![calendars of series](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def draw_flag_legend() -> str:
    """Returns a Markdown image that says which colour a flag has."""
    cells = []
    for number, (flag, symbol) in enumerate(SYMBOLS.items()):
        offset = 110 * number
        cells.append(f'<path fill="{FLAG_COLOURS[symbol]}" d="M{offset} 2h12v12h-12z"/>')
        cells.append(f'<text x="{offset + 18}" y="12">{flag.name.lower().replace("_", " ")}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{110 * len(SYMBOLS)}" height="16" '
        f'font-family="sans-serif" font-size="12" fill="#808790">{"".join(cells)}</svg>'
    )
    return f"![colours of flags](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def escape_cell(text: str) -> str:
    """Returns `text` for a cell of a table in Markdown, on one line, none of whose characters is read as Markdown or
    HTML.

    >>> escape_cell("a|b <i>c</i>")
    'a\\\\|b &lt;i&gt;c&lt;/i&gt;'
    """
    escaped = "".join(f"\\{character}" if character in "\\`*[]|~" else character for character in escape(text))
    return " ".join(escaped.split())
