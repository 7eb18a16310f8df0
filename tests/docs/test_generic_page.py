"""Each body on docs/sources/generic.md is read by the keys that follow it."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gridtide.config.loading import parse
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response
from tests.support.presets import used_skipped

PAGE = Path(__file__).parents[2] / "docs" / "sources" / "generic.md"
EXAMPLES = re.findall(r"```(js|csv|xml)\n(.*?)\n```\n\n```json\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
VALUES = [2, 2, 2, 2, 4, 2, 2, 2, 4, 2, 2, 2, 2, 2, 2, 2, 6, 4, 2, 6, 2, 2, 4, 2, 2, 2, 2, 2, 7, 4, 6, 2, 2, 4, 4, 4, 4]
"""How many values each example stores."""
COUNTED = {11, 21, 32}
"""The examples of a line without records, of conflicting values and of records that are not selected, where one is
counted."""


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_keys_read_the_body_before_them(number: int) -> None:
    """All values of the body are stored, and nothing else of their columns is counted."""
    language, body, keys = EXAMPLES[number]
    shown = json.loads(keys if keys.startswith("{") else f"{{{keys}}}")
    defaults = {"name": "shown", "url": "https://example.com/table", "output_folder": "shown"}
    entry = parse({"apis": [defaults | shown]}).apis[0]
    content = f"{body}\n".encode("shift_jis" if shown.get("encoding") == "shift_jis" else "utf-8")
    page = generic.parse_response(entry, Request(entry.url), Response(content, datetime(2026, 2, 1, tzinfo=UTC)))
    assert (page.observations.num_rows, bool(used_skipped(page))) == (VALUES[number], number in COUNTED), language
