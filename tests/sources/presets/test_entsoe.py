"""Europe: positions, curves that leave out what repeats, quarter hours, consumption, no data, and recordings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gridtide.errors import ConfigurationError, FormatError
from gridtide.sources.contract import Page
from tests.support.presets import entry_of, read_product, recording, requests_of, stored_of, used_skipped

FRANCE = {"locations": ["FR"]}
SERIES = """<TimeSeries>{labels}<curveType>{curve}</curveType><Period>
<timeInterval><start>{start}</start><end>{end}</end></timeInterval><resolution>{step}</resolution>{points}</Period></TimeSeries>"""


def write_series(
    labels: str, start: str, end: str, step: str, values: dict[int, float], *, tag: str = "quantity", curve: str = "A01"
) -> str:
    """A series of a document with values at positions."""
    points = "".join(
        f"<Point><position>{position}</position><{tag}>{value}</{tag}></Point>" for position, value in values.items()
    )
    return SERIES.format(labels=labels, start=start, end=end, step=step, points=points, curve=curve)


def prices(start: str, end: str, step: str, values: dict[int, float], labels: str = "") -> str:
    """A document of day-ahead prices of France."""
    zone = f"<in_Domain.mRID>10YFR-RTE------C</in_Domain.mRID><currency_Unit.name>EUR</currency_Unit.name>{labels}"
    series = write_series(zone, start, end, step, values, tag="price.amount", curve="A03")
    return f"<Publication_MarketDocument>{series}</Publication_MarketDocument>"


def test_a_position_that_is_left_out_repeats_the_one_before() -> None:
    """Of four hours the third is not written, the last is that of position 4; negative prices stay negative."""
    page = read_product(
        "entsoe",
        "price_day_ahead",
        prices("2026-01-09T23:00Z", "2026-01-10T03:00Z", "PT60M", {1: 85.1, 2: -5.5, 4: 81}),
        **FRANCE,
    )
    assert [row["value"] for row in page.observations.to_pylist()] == [85.1, -5.5, -5.5, 81]
    assert stored_of(page)["2026-01-10T01:00Z", "FR", "price_day_ahead"] == -5.5


def test_quarter_hours_have_their_own_intervals() -> None:
    """A day has 96 prices, on that of the autumn change 100; a position that is left out at the end repeats too."""
    page = read_product(
        "entsoe",
        "price_day_ahead",
        prices("2026-10-24T22:00Z", "2026-10-25T23:00Z", "PT15M", {1: 10, 99: 20}),
        **FRANCE,
    )
    rows = page.observations.to_pylist()
    assert (len(rows), [row["value"] for row in rows[-3:]]) == (100, [10, 20, 20])
    assert {(row["interval_end"] - row["interval_start"]).total_seconds() for row in rows} == {900}
    assert rows[-1]["interval_end"] == datetime(2026, 10, 25, 23, tzinfo=UTC)


def test_hours_become_quarters_of_an_hour_within_a_document() -> None:
    """Until September 2025 a price is one of an hour, from 1 October 00:00 of Paris on one of a quarter of an hour."""
    hours = prices("2025-09-30T20:00Z", "2025-09-30T22:00Z", "PT60M", {1: 80, 2: 70})
    quarters = prices("2025-09-30T22:00Z", "2025-09-30T23:00Z", "PT15M", {1: 61, 2: 62, 4: 64})
    both = hours.replace("</Publication_MarketDocument>", "") + quarters.removeprefix("<Publication_MarketDocument>")
    page = read_product("entsoe", "price_day_ahead", both, **FRANCE)
    rows = sorted(page.observations.to_pylist(), key=lambda row: row["interval_start"])
    assert [(f"{row['interval_start']:%H:%M}", f"{row['interval_end']:%H:%M}", row["value"]) for row in rows] == [
        *(("20:00", "21:00", 80), ("21:00", "22:00", 70), ("22:00", "22:15", 61), ("22:15", "22:30", 62)),
        *(("22:30", "22:45", 62), ("22:45", "23:00", 64)),
    ]


def test_what_is_consumed_alone_is_no_generation() -> None:
    """A document may have the consumption of a type without its generation, on a curve that leaves out positions."""
    zone = "<outBiddingZone_Domain.mRID>10YFR-RTE------C</outBiddingZone_Domain.mRID>"
    labels = f"{zone}<MktPSRType><psrType>B10</psrType></MktPSRType>"
    series = write_series(labels, "2026-03-28T23:00Z", "2026-03-29T03:00Z", "PT60M", {1: 900, 4: 0}, curve="A03")
    page = read_product("entsoe", "generation", f"<GL_MarketDocument>{series}</GL_MarketDocument>", **FRANCE)
    assert stored_of(page) == {
        ("2026-03-28T23:00Z", "FR", "consumption_pumped_storage"): 900,
        ("2026-03-29T00:00Z", "FR", "consumption_pumped_storage"): 900,
        ("2026-03-29T01:00Z", "FR", "consumption_pumped_storage"): 900,
        ("2026-03-29T02:00Z", "FR", "consumption_pumped_storage"): 0,
    }


@pytest.mark.parametrize("hours", [23, 25])
def test_the_load_of_a_day_of_a_clock_change_has_its_own_hours(hours: int) -> None:
    """The day of spring has 23 positions, that of autumn 25, from midnight of Paris; a further one is refused."""
    start, end = (
        ("2026-03-28T23:00Z", "2026-03-29T22:00Z") if hours == 23 else ("2026-10-24T22:00Z", "2026-10-25T23:00Z")
    )
    zone = "<outBiddingZone_Domain.mRID>10YFR-RTE------C</outBiddingZone_Domain.mRID>"
    values = {position: 50000 + position for position in range(1, hours + 1)}
    series = write_series(zone, start, end, "PT60M", values)
    page = read_product("entsoe", "load", f"<GL_MarketDocument>{series}</GL_MarketDocument>", **FRANCE)
    rows = page.observations.to_pylist()
    assert [row["value"] for row in rows] == [50000 + position for position in range(1, hours + 1)]
    assert (f"{rows[0]['interval_start']:%Y-%m-%dT%H:%MZ}", f"{rows[-1]['interval_end']:%Y-%m-%dT%H:%MZ}") == (
        start,
        end,
    )
    series = write_series(zone, start, end, "PT60M", values | {hours + 1: 1})
    with pytest.raises(FormatError, match=f"do not run from 1 to {hours}"):
        read_product("entsoe", "load", f"<GL_MarketDocument>{series}</GL_MarketDocument>", **FRANCE)


def test_a_second_auction_is_counted_and_not_stored() -> None:
    """Prices of another sequence than the first, and in other currencies, are other products."""
    tag = "classificationSequence_AttributeInstanceComponent.position"
    bodies = [
        prices("2026-01-09T23:00Z", "2026-01-10T00:00Z", "PT60M", {1: value}, f"<{tag}>{value}</{tag}>")
        for value in (1, 2)
    ]
    both = bodies[0].replace("</Publication_MarketDocument>", "") + bodies[1].removeprefix(
        "<Publication_MarketDocument>"
    )
    page = read_product("entsoe", "price_day_ahead", both, **FRANCE)
    assert [row["value"] for row in page.observations.to_pylist()] == [1]
    assert [(item.count, item.expected) for item in used_skipped(page)] == [(1, True)]


def test_generation_and_consumption_of_a_type_are_two_variables() -> None:
    """Production has an in-zone, consumption an out-zone; a document may have one of them alone."""
    day = ("2026-01-09T23:00Z", "2026-01-10T00:00Z", "PT60M")

    def of_type(direction: str, kind: str, value: float) -> str:
        zone = f"<{direction}BiddingZone_Domain.mRID>10YFR-RTE------C</{direction}BiddingZone_Domain.mRID>"
        return write_series(f"{zone}<MktPSRType><psrType>{kind}</psrType></MktPSRType>", *day, {1: value})

    produced = of_type("in", "B10", 5) + of_type("in", "B14", 40000) + of_type("in", "B19", 7)
    for series, consumed in (
        (produced, {}),
        (produced + of_type("out", "B10", 900), {"consumption_pumped_storage": 900}),
    ):
        page = read_product("entsoe", "generation", f"<GL_MarketDocument>{series}</GL_MarketDocument>", **FRANCE)
        expected = {
            "generation_pumped_storage": 5,
            "generation_nuclear": 40000,
            "generation_wind_onshore": 7,
        } | consumed
        assert stored_of(page) == {("2026-01-09T23:00Z", "FR", name): value for name, value in expected.items()}


PRICE_ZONE = "<in_Domain.mRID>10YFR-RTE------C</in_Domain.mRID><currency_Unit.name>{currency}</currency_Unit.name>"
SEQUENCE = "<{tag}>{number}</{tag}>"
AUCTION = "classificationSequence_AttributeInstanceComponent.position"


def write_prices(
    number: str, start: str, end: str, values: dict[int, float], *, step: str = "PT60M", currency: str = "EUR"
) -> str:
    """A series of prices of France in the auction `number`, which may be empty."""
    labels = PRICE_ZONE.format(currency=currency) + (SEQUENCE.format(tag=AUCTION, number=number) if number else "")
    return write_series(labels, start, end, step, values, tag="price.amount", curve="A03")


def read_prices(*series: str) -> Page:
    """The page of a document with these series of prices."""
    document = f"<Publication_MarketDocument>{''.join(series)}</Publication_MarketDocument>"
    return read_product("entsoe", "price_day_ahead", document, **FRANCE)


def test_prices_of_the_first_auction_are_those_that_have_no_number_too() -> None:
    """Series without a number stand beside numbered ones; those of a second auction are counted."""
    page = read_prices(
        write_prices("", "2026-01-09T23:00Z", "2026-01-10T00:00Z", {1: 10}),
        write_prices("1", "2026-01-10T00:00Z", "2026-01-10T01:00Z", {1: -20}),
        write_prices("2", "2026-01-10T00:00Z", "2026-01-10T01:00Z", {1: 99}),
    )
    assert [row["value"] for row in page.observations.to_pylist()] == [10, -20]
    assert [item.count for item in used_skipped(page)] == [1]


def test_prices_in_another_currency_alone_are_told() -> None:
    """A zone that only has prices in pounds stores none, and the run warns of it."""
    page = read_prices(write_prices("", "2026-01-09T23:00Z", "2026-01-10T00:00Z", {1: 10}, currency="GBP"))
    assert page.observations.num_rows == 0
    assert [(item.count, item.expected) for item in used_skipped(page)] == [(1, False)]


def test_hours_with_prices_of_two_lengths_are_none_and_others_are_stored() -> None:
    """What an hour and its quarters say about one time is not stored, but counted with the way to choose."""
    hours = write_prices("", "2026-01-09T22:00Z", "2026-01-10T00:00Z", {1: 10, 2: 20})
    quarters = write_prices("", "2026-01-09T23:00Z", "2026-01-10T00:00Z", {1: 19, 2: 20, 3: 21, 4: 22}, step="PT15M")
    for series in ([hours, quarters], [quarters, hours]):
        page = read_prices(*series)
        assert stored_of(page) == {("2026-01-09T22:00Z", "FR", "price_day_ahead"): 10}
        (counted,) = used_skipped(page)
        assert (counted.count, counted.expected) == (5, False)
        assert '"where": {"resolution": ["PT' in counted.example
    document = f"<Publication_MarketDocument>{hours}{quarters}</Publication_MarketDocument>"
    for length, values in (("PT60M", [10, 20]), ("PT15M", [19, 20, 21, 22])):
        keys = {**FRANCE, "where": {"resolution": [length]}}
        page = read_product("entsoe", "price_day_ahead", document, **keys)
        assert [row["value"] for row in page.observations.to_pylist()] == values


def test_every_type_has_a_name_on_both_sides() -> None:
    """All codes of the list, and one that is newer, are generation or consumption, in forecasts with their ending."""
    codes = [f"B{number:02}" for number in range(1, 27)]
    zone = "<{side}BiddingZone_Domain.mRID>10YFR-RTE------C</{side}BiddingZone_Domain.mRID>"
    labels = zone + "<MktPSRType><psrType>{code}</psrType></MktPSRType>"
    series = "".join(
        write_series(
            labels.format(side=side, code=code), "2026-01-09T23:00Z", "2026-01-10T00:00Z", "PT60M", {1: number}
        )
        for side in ("in", "out")
        for number, code in enumerate(codes)
    )
    for product, end in (("generation", ""), ("wind_solar_forecast", "_forecast_day_ahead")):
        page = read_product("entsoe", product, f"<GL_MarketDocument>{series}</GL_MarketDocument>", **FRANCE)
        names = {variable: value for (_, _, variable), value in stored_of(page).items()}
        assert len(names) == 52
        for side in ("generation", "consumption"):
            for code, name in (("B05", "coal"), ("B13", "marine"), ("B24", "transformer"), ("B26", "b26")):
                assert names[f"{side}_{name}{end}"] == codes.index(code)


def test_no_data_under_200_is_an_answer_without_rows() -> None:
    """The acknowledgement with the reason 999 is neither an error nor a row."""
    page = read_product("entsoe", "load", recording("entsoe/load_FR_2050_no_data.xml"), **FRANCE)
    assert (page.observations.num_rows, used_skipped(page)) == (0, [])


def test_zones_are_requested_one_by_one_under_their_codes() -> None:
    """Names stand for codes; a code without a name is sent as it is; without zones the entry is refused."""
    asked = requests_of(
        "entsoe",
        "price_day_ahead",
        datetime(2026, 1, 9, 23),
        datetime(2026, 1, 10, 23),
        locations=["FR", "10YXX-OTHER----Z"],
    )
    assert [dict(request.params)["in_Domain"] for request in asked] == ["10YFR-RTE------C", "10YXX-OTHER----Z"]
    assert [dict(request.params)["out_Domain"] for request in asked] == ["10YFR-RTE------C", "10YXX-OTHER----Z"]
    assert dict(asked[0].params)["periodStart"] == "202601092300"
    assert "processType" not in dict(asked[0].params)
    with pytest.raises(ConfigurationError, match="locations: is missing"):
        entry_of("entsoe", "load")


def test_recordings_are_read_whole() -> None:
    """Loads and prices of France, and prices of Portugal of which one position is left out."""
    page = read_product("entsoe", "load", recording("entsoe/load_FR_20210101.xml"), **FRANCE)
    assert stored_of(page)["2021-01-01T00:00Z", "FR", "load"] == 64139
    assert page.observations.num_rows == 24
    page = read_product("entsoe", "price_day_ahead", recording("entsoe/FR_prices.xml"), **FRANCE)
    assert stored_of(page)["2023-05-06T22:00Z", "FR", "price_day_ahead"] == 106.78
    page = read_product("entsoe", "price_day_ahead", recording("entsoe/prices_PT_20241229_A03.xml"), locations=["PT"])
    assert (page.observations.num_rows, stored_of(page)["2024-12-29T22:00Z", "PT", "price_day_ahead"]) == (24, 148.19)
