"""The pictures of the artifact `quality`: what is in them, whatever series are called."""

import base64
import re
from collections import defaultdict
from xml.etree.ElementTree import Element, fromstring

from flows.run.judging.calendar_picture import FLAG_COLOURS, SYMBOLS, draw_calendars, draw_flag_legend, escape_cell

PATH = "{http://www.w3.org/2000/svg}path"
TEXT = "{http://www.w3.org/2000/svg}text"


def read_picture(markdown: str) -> Element:
    """The SVG of a Markdown image, which is whole in its address."""
    match = re.fullmatch(r"!\[[a-z ]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert match is not None
    return fromstring(base64.b64decode(match[1]))  # noqa: S314  # written by the code under test


def read_days(picture: Element, width: int) -> dict[int, str]:
    """The symbols of the days of each row, as their colours say."""
    days: dict[int, dict[int, str]] = defaultdict(dict)
    symbols = {colour: symbol for symbol, colour in FLAG_COLOURS.items()}
    for path in picture.iter(PATH):
        for left, top, length in re.findall(r"M(\d+) (\d+)h(\d+)v14h-\3z", path.get("d", "")):
            first = (int(left) - 300) // width
            for day in range(first, first + int(length) // width):
                assert day not in days[int(top) // 16], "a day has one colour"
                days[int(top) // 16][day] = symbols[path.get("fill", "")]
    return {row: "".join(symbol for _, symbol in sorted(cells.items())) for row, cells in days.items()}


def test_every_day_of_every_series_has_the_colour_of_its_flag() -> None:
    """The picture has a row per series, in order, with its name and a cell for each day, of equal width."""
    calendars = {"eia/A/demand": "█" * 20 + "▄▁·▒" + "█" * 6, "eia/B/demand": "·" * 30, "eia/C/demand": "▁█" * 15}
    picture = read_picture(draw_calendars(calendars))
    assert [text.text for text in picture.iter(TEXT)] == list(calendars)
    assert read_days(picture, 12) == dict(enumerate(calendars.values()))
    assert (picture.get("width"), picture.get("height")) == (str(300 + 30 * 12), "48")
    assert len(draw_calendars({f"eia/{number}/demand": "█" * 30 for number in range(20)})) < 4000


def test_a_year_is_still_narrow_and_nothing_has_no_picture() -> None:
    """Cells get narrower with the number of days; without series there is no image."""
    picture = read_picture(draw_calendars({"eia/A/demand": "█▄" * 180}))
    assert read_days(picture, 1) == {0: "█▄" * 180}
    assert draw_calendars({}) == ""


def test_names_are_texts_whatever_is_in_them() -> None:
    """Markup, control characters and long names neither break the picture nor a table."""
    names = ["generic/<script>&'\"/load", "generic/new\nline\x00\x1b/load", f"generic/{'x' * 300}/load"]
    picture = read_picture(draw_calendars(dict.fromkeys(names, "█")))
    texts = [text.text or "" for text in picture.iter(TEXT)]
    assert texts[:2] == ["generic/<script>&'\"/load", "generic/new line  /load"]
    assert len(texts[2]) == 46
    assert escape_cell("a|b`c\nd <i>*e* [f](g)") == "a\\|b\\`c d &lt;i&gt;\\*e\\* \\[f\\](g)"


def test_the_legend_names_every_flag() -> None:
    """Each colour of a calendar is explained."""
    picture = read_picture(draw_flag_legend())
    assert [path.get("fill") for path in picture.iter(PATH)] == [FLAG_COLOURS[symbol] for symbol in SYMBOLS.values()]
    assert [text.text for text in picture.iter(TEXT)] == ["good", "not evaluated", "suspect", "fail", "missing"]
