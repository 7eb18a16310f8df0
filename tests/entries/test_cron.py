"""The crons that a schedule may have."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule

from gridtide.entries.cron import check_cron

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = ((), (), (), ("jan", "Feb", "DEC"), ("sun", "Mon", "SAT"))


def is_plain_cron(text: str) -> bool:
    """The five fields of numbers, lists, ranges and steps as crontab(5) defines them, names left out."""
    fields = text.split()
    return len(fields) == 5 and all(map(is_plain_field, fields, BOUNDS))


def is_plain_field(field: str, bounds: tuple[int, int]) -> bool:
    """Whether `field` is a list of `*`, `a`, `a-b`, each with a step or none, within `bounds`."""
    for part in field.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
        numbers = [int(number) for number in match.group(1, 2) if number is not None] if match else []
        if match is None or numbers != sorted(numbers) or any(not bounds[0] <= n <= bounds[1] for n in numbers):
            return False
    return True


def is_accepted(text: str) -> bool:
    """Whether `text` may be the cron of a schedule, or is one that only never comes."""
    try:
        check_cron(text)
    except ValueError as error:
        return "never comes" in str(error)
    return True


NUMBERS = st.integers(0, 70).map(str)
PARTS = st.one_of(
    st.just("*"), NUMBERS, st.tuples(NUMBERS, NUMBERS).map("-".join), st.tuples(st.just("*"), NUMBERS).map("/".join)
)
FIELDS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)


@given(st.lists(FIELDS | st.text("*0123456789-/, ", max_size=6), min_size=4, max_size=6).map(" ".join))
@example("0 6 30 2 *")
@example("*/5 0-6,12 1 1-12/3 *")
def test_what_crontab_defines_is_accepted_and_the_rest_is_not(text: str) -> None:
    """For everything made of numbers, a cron is accepted exactly if crontab(5) defines it."""
    assert is_accepted(text) == is_plain_cron(text)


@given(st.tuples(*(st.sampled_from(["*", str(low), *names]) for (low, _), names in zip(BOUNDS, NAMES, strict=True))))
def test_what_is_accepted_prefect_schedules(fields: tuple[str, ...]) -> None:
    """Accepted names of months and days, in any case, work in Prefect."""
    cron = " ".join(fields)
    assert is_accepted(cron)
    assert CronSchedule(cron=cron).cron == cron


@pytest.mark.parametrize(
    "cron",
    ["0 0 L * *", "0 0 LW * *", "0 0 15W * *", "0 0 * * 5L", "0 0 * * MON#2", "0 0 ? * *", "0 0 l * *", "0 0 0 1 1 *"],
)
def test_what_schedulers_read_differently_is_refused(cron: str) -> None:
    """Extensions that schedulers read differently are refused, such as the last day or seconds."""
    with pytest.raises(ValueError, match="is not a cron; use five fields"):
        check_cron(cron)
