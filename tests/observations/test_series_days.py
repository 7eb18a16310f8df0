"""Which series begin or end within a period, and the text that names the series of a file."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.observations import series_days
from gridtide.observations.series_days import SeriesDays, decode_series, encode_series
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
PERIOD = Period(START, START + 6 * DAY)

presences = st.dictionaries(
    st.tuples(st.sampled_from("AB"), st.sampled_from(["load", "wind", "solar"])),
    st.builds(lambda first, length: set(range(first, first + length)), st.integers(-1, 7), st.integers(1, 8)),
    min_size=1,
)


@pytest.mark.parametrize("most_cells", [series_days._MOST_CELLS, 0])
@given(presences, st.integers(1, 5))
def test_series_begin_and_end_as_a_look_at_every_day_says(
    most_cells: int, presence: dict[tuple[str, str], set[int]], pages: int
) -> None:
    """Whatever pages the rows come in, a series ends that is there on the first day and not on the last that any series
    has within the period, and begins the other way round."""
    rows = [
        Row(START + day * DAY, START + (day + 1) * DAY, location, variable, "MW", 1.0)
        for (location, variable), days in presence.items()
        for day in days
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series_days, "_MOST_CELLS", most_cells)
        found = SeriesDays()
        for number in range(pages):
            found.add(from_rows("grid", rows[number::pages], START))
    within = {name: sorted(days & set(range(6))) for name, days in presence.items()}
    days = [day for of_series in within.values() for day in of_series]
    begun, ended = {}, {}
    for name, own in within.items():
        if own and own[0] > min(days) and own[-1] == max(days):
            begun[name] = START + own[0] * DAY
        if own and own[0] == min(days) and own[-1] < max(days):
            ended[name] = START + own[-1] * DAY
    assert found.begin_or_end(PERIOD) == (begun, ended)


@given(st.sets(st.tuples(st.text(), st.text())))
def test_names_of_series_are_read_as_they_were_written(names: set[tuple[str, str]]) -> None:
    """Any names come back, and their order does not change the text."""
    assert decode_series(encode_series(names)) == names
    assert encode_series(sorted(names)) == encode_series(sorted(names, reverse=True))
