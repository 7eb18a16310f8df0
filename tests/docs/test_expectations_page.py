"""The rules in docs/expectations.md are valid."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from gridtide.entries.expect.rules import AnswerRule, CrossRule, Expect, RowRule
from gridtide.entries.structs import read_value

PAGE = (Path(__file__).parents[2] / "docs" / "expectations.md").read_text()


def test_every_rule_of_the_page_is_valid_and_every_kind_is_on_it() -> None:
    """Each rule in the table is read without a problem, and the table has a rule of each kind."""
    rules = [json.loads(text) for text in re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)]
    problems: list[str] = []
    expect = read_value(Expect, {"rules": rules}, "expect", problems)
    assert problems == []
    assert {type(rule) for rule in expect.rules} == {*get_args(RowRule), *get_args(AnswerRule), *get_args(CrossRule)}


def test_the_example_of_all_keys_is_valid() -> None:
    """The block with the older keys is read without a problem, and has all keys."""
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    problems: list[str] = []
    keys = json.loads(f"{{{block}}}")["expect"]
    assert read_value(Expect, keys, "expect", problems) is not None
    assert (problems, set(keys)) == ([], set(Expect.__struct_fields__))
