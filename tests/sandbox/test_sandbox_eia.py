"""EIA v2 in the sandbox: envelope, labels, paging, facets, lags, revisions, irregularities and errors."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gridtide.sandbox.upstreams import list_secrets
from gridtide.simulation import HOUR_STEP, Grid, list_interval_starts
from tests.support.upstreams.sandbox_server import KEY, NOW, serving

ROUTE = "/v2/electricity/rto/{}/data/"
SORTED = [("sort[0][column]", "period"), ("sort[0][direction]", "asc")]
HOURLY = [("frequency", "hourly"), ("data[0]", "value")]
ISNE_DEMAND = [("facets[respondent][]", "ISNE"), ("facets[type][]", "D")]


async def ask(client, route, *params, headers=KEY, status=200):
    """The decoded answer to a request with these parameters, which must have this status."""
    async with client.get(ROUTE.format(route), params=[*HOURLY, *params], headers=headers) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        return await response.json()


def period(start, end):
    return [("start", start), ("end", end)]


async def test_only_a_valid_key_gets_data_by_header_or_query():
    """A missing or wrong key gives a 403 of EIA; the right key works in header and query, and is repeated in the
    answer."""
    async with serving() as client:
        for headers, code in (({}, "API_KEY_MISSING"), ({"X-Api-Key": "no"}, "API_KEY_INVALID")):
            refused = await ask(client, "region-data", headers=headers, status=403)
            assert refused["error"]["code"] == code
            assert isinstance(refused["error"]["message"], str)
        day = period("2024-01-01T01", "2024-01-01T02")
        by_header = await ask(client, "region-data", *ISNE_DEMAND, *day, *SORTED)
        key = list_secrets()["EIA_API_KEY"]
        by_query = await ask(client, "region-data", *ISNE_DEMAND, *day, *SORTED, ("api_key", key), headers={})
    assert by_header == by_query
    assert by_header["request"]["params"]["api_key"] == key


async def test_the_envelope_is_eias():
    """The envelope has the total as a string, the rows, and the request with its brackets as lists and objects."""
    async with serving() as client:
        answer = await ask(
            client, "region-data", *ISNE_DEMAND, *period("2024-01-01T01", "2024-01-01T01"), *SORTED, ("length", "5000")
        )
    assert list(answer) == ["response", "request", "apiVersion", "ExcelAddInVersion"]
    response = answer["response"]
    assert list(response) == ["total", "dateFormat", "frequency", "data", "description"]
    assert response["total"] == "1"
    assert response["dateFormat"] == 'YYYY-MM-DD"T"HH24'
    [row] = response["data"]
    value = row.pop("value")
    assert isinstance(value, str)
    assert value.isdigit()
    assert row == {
        "period": "2024-01-01T01",
        "respondent": "ISNE",
        "respondent-name": "ISO New England",
        "type": "D",
        "type-name": "Demand",
        "value-units": "megawatthours",
    }
    assert answer["request"]["command"] == "/v2/electricity/rto/region-data/data/"
    assert answer["request"]["params"] | {"api_key": ""} == {
        "frequency": "hourly",
        "data": ["value"],
        "facets": {"respondent": ["ISNE"], "type": ["D"]},
        "start": "2024-01-01T01",
        "end": "2024-01-01T01",
        "sort": [{"column": "period", "direction": "asc"}],
        "length": "5000",
        "api_key": "",
    }


async def test_labels_name_the_hour_that_ends_and_both_bounds_are_included():
    """The labels 00 to 03 are the hours from 23:00 to 03:00, with their simulated demand."""
    async with serving() as client:
        answer = await ask(client, "region-data", *ISNE_DEMAND, *period("2024-03-10", "2024-03-10T03"), *SORTED)
    labels = [row["period"] for row in answer["response"]["data"]]
    assert labels == ["2024-03-10T00", "2024-03-10T01", "2024-03-10T02", "2024-03-10T03"]
    begins = list_interval_starts(
        datetime(2024, 3, 9, 23, tzinfo=UTC), datetime(2024, 3, 10, 3, tzinfo=UTC), timedelta(hours=1)
    )
    expected = Grid(0).state_at("ISNE", begins + HOUR_STEP // 2).whole().demand
    assert [int(row["value"]) for row in answer["response"]["data"]] == expected.astype(int).tolist()


async def test_pages_together_are_the_total_without_gap_or_repeat():
    """All pages together have every key once, and each page has a warning, even the last."""
    keys, offset, total = Counter(), 0, None
    async with serving() as client:
        while total is None or offset < total:
            answer = await ask(
                client,
                *("fuel-type-data", *period("2024-02-01T00", "2024-02-02T23"), *SORTED),
                *(("offset", str(offset)), ("length", "9999")),
            )
            response = answer["response"]
            assert response["warnings"][0]["warning"] == "incomplete return"
            total = int(response["total"])
            assert len(response["data"]) == min(5000, total - offset)
            keys.update((row["period"], row["respondent"], row["fueltype"]) for row in response["data"])
            offset += 5000
        beyond = await ask(client, "fuel-type-data", *period("2024-02-01T00", "2024-02-02T23"), ("offset", str(total)))
    assert total > 5000
    assert len(keys) == total
    assert set(keys.values()) == {1}
    assert beyond["response"]["data"] == []


async def test_a_page_cuts_an_hour_where_it_must():
    """Pages that end within an hour have the same rows as one request."""
    asked = ("region-data", ("facets[respondent][]", "ISNE"), *period("2024-02-01T00", "2024-02-01T09"), *SORTED)
    async with serving() as client:
        whole = (await ask(client, *asked))["response"]["data"]
        parts = []
        for offset in range(0, 40, 7):
            page = await ask(client, *asked, ("offset", str(offset)), ("length", "7"))
            parts += page["response"]["data"]
    assert len(whole) == 40
    assert parts == whole


async def test_no_warning_where_everything_fits():
    """Answers with at most 5,000 rows in total have no warning."""
    async with serving() as client:
        answer = await ask(client, "region-data", *ISNE_DEMAND, *period("2024-01-01T00", "2024-01-02T00"))
    assert "warnings" not in answer["response"]


async def test_unknown_facet_values_are_no_error_but_unknown_facets_are():
    """An unknown value gives total "0" and no rows; an unknown facet gives 400 with a text."""
    async with serving() as client:
        nothing = await ask(client, "region-data", ("facets[respondent][]", "NOWHERE"))
        refused = await ask(client, "region-data", ("facets[colour][]", "red"), status=400)
    assert nothing["response"]["total"] == "0"
    assert nothing["response"]["data"] == []
    assert refused["code"] == 400
    assert refused["error"].startswith("Invalid facet 'colour' provided.")


async def test_rows_come_in_no_order_unless_sorted():
    """Rows are sorted as requested; without `sort` they are unsorted."""
    asked = ("region-data", *ISNE_DEMAND, *period("2024-02-01T00", "2024-02-05T00"))
    async with serving() as client:
        rising, unsorted = [await ask(client, *asked, *more) for more in (SORTED, ())]
        falling = await ask(client, *asked, SORTED[0], ("sort[0][direction]", "desc"))
    rows = [answer["response"]["data"] for answer in (rising, unsorted, falling)]
    assert rows[0] == sorted(rows[0], key=lambda row: row["period"])
    assert rows[2] == rows[0][::-1]
    assert rows[1] not in (rows[0], rows[2])
    assert sorted(rows[1], key=lambda row: row["period"]) == rows[0]


async def test_each_kind_is_published_after_its_own_lag():
    """At 18:30 UTC demand reaches 17, generation 13, interchange 14 of yesterday, and forecasts the end of tomorrow."""
    last = {}
    async with serving() as client:
        for route, facet, kind in (
            ("region-data", "facets[type][]", "D"),
            ("region-data", "facets[type][]", "NG"),
            ("region-data", "facets[type][]", "TI"),
            ("region-data", "facets[type][]", "DF"),
            ("fuel-type-data", "facets[fueltype][]", "SUN"),
            ("interchange-data", "facets[toba][]", "NYIS"),
        ):
            own = "facets[fromba][]" if route == "interchange-data" else "facets[respondent][]"
            answer = await ask(client, route, (own, "ISNE"), (facet, kind), ("start", "2026-06-08"), *SORTED)
            last[route, kind] = answer["response"]["data"][-1]["period"]
    assert last == {
        ("region-data", "D"): "2026-06-10T17",
        ("region-data", "NG"): "2026-06-10T13",
        ("region-data", "TI"): "2026-06-09T14",
        ("region-data", "DF"): "2026-06-12T04",
        ("fuel-type-data", "SUN"): "2026-06-10T13",
        ("interchange-data", "NYIS"): "2026-06-09T14",
    }


async def test_totals_count_only_what_is_out():
    """The total of the last days is the number of rows on all pages."""
    asked = ("region-data", ("facets[respondent][]", "ISNE"), ("start", "2026-06-01T00"), *SORTED)
    async with serving() as client:
        answer = await ask(client, *asked)
    kinds = Counter(row["type"] for row in answer["response"]["data"])
    assert kinds == {"D": 9 * 24 + 18, "NG": 9 * 24 + 14, "TI": 8 * 24 + 15, "DF": 11 * 24 + 5}
    assert int(answer["response"]["total"]) == sum(kinds.values())


async def test_recent_hours_are_revised_and_old_ones_are_not():
    """A day later, most values of the last day differ, and no value of a week earlier."""
    answers = []
    for now in (NOW, NOW + timedelta(days=1)):
        async with serving(now=now) as client:
            answer = await ask(client, "region-data", *ISNE_DEMAND, *period("2026-06-01", "2026-06-10T17"), *SORTED)
            answers.append([int(row["value"]) for row in answer["response"]["data"]])
    before, after = map(np.array, answers)
    assert (before[:144] == after[:144]).all()
    assert (before[-24:] != after[-24:]).mean() > 0.9
    assert np.abs(before / after - 1).max() < 0.04


async def test_values_are_rarely_null_absent_or_without_their_zero():
    """In 20,000 rows each irregularity occurs, together in less than half a percent."""
    rows = []
    async with serving() as client:
        for year in (2020, 2021, 2022, 2023):
            answer = await ask(client, "fuel-type-data", ("facets[respondent][]", "ISNE"), ("start", f"{year}-01-01"))
            rows += answer["response"]["data"]
    odd = Counter(
        "absent" if "value" not in row else "null" if row["value"] is None else "short"
        for row in rows
        if row.get("value") in (None, ".306")
    )
    assert len(rows) == 20_000
    assert set(odd) == {"absent", "null", "short"}
    assert sum(odd.values()) < 100


async def test_rows_of_every_route_have_their_own_columns():
    """Fuels, neighbours and subregions have the upstream's columns."""
    day = period("2024-01-01T05", "2024-01-01T05")
    async with serving() as client:
        [fuel] = (
            await ask(client, "fuel-type-data", ("facets[respondent][]", "CISO"), ("facets[fueltype][]", "NUC"), *day)
        )["response"]["data"]
        flows = (await ask(client, "interchange-data", ("facets[fromba][]", "CISO"), *day))["response"]["data"]
        zones = (await ask(client, "region-sub-ba-data", ("facets[parent][]", "CISO"), *day))["response"]["data"]
        [demand] = (await ask(client, "region-data", ("facets[respondent][]", "CISO"), ("facets[type][]", "D"), *day))[
            "response"
        ]["data"]
    assert (fuel["fueltype"], fuel["type-name"]) == ("NUC", "Nuclear")
    assert len(flows) == 11
    assert list(flows[0]) == ["period", "fromba", "fromba-name", "toba", "toba-name", "value", "value-units"]
    assert list(zones[0]) == ["period", "subba", "subba-name", "parent", "parent-name", "value", "value-units"]
    assert sum(int(row["value"]) for row in zones) == pytest.approx(int(demand["value"]), abs=4)


@pytest.mark.parametrize(
    "wrong",
    [
        ("frequency", "daily"),
        ("data[1]", "colour"),
        ("start", "yesterday"),
        ("end", "2024-13-01"),
        ("offset", "-1"),
        ("sort[0][column]", "value"),
    ],
)
async def test_what_is_not_understood_is_400_with_a_string(wrong):
    """A wrong request gives 400 with a text that names the problem."""
    async with serving() as client:
        refused = await ask(client, "region-data", wrong, status=400)
    assert refused["code"] == 400
    assert wrong[1] in refused["error"]


async def test_an_unknown_route_is_a_500_that_means_404():
    """An unknown route gives HTTP 500 with {"error": "Not found.", "code": 404}, as recorded."""
    async with serving() as client:
        assert await ask(client, "wholesale-prices", status=500) == {"error": "Not found.", "code": 404}


async def test_rows_have_values_only_if_data_are_asked_for():
    """Without data[0]=value, rows have only their keys."""
    async with (
        serving() as client,
        client.get(
            ROUTE.format("region-data"), params=[*ISNE_DEMAND, *period("2024-01-01T00", "2024-01-01T01")], headers=KEY
        ) as response,
    ):
        rows = (await response.json())["response"]["data"]
    assert len(rows) == 2
    assert not any("value" in row for row in rows)
