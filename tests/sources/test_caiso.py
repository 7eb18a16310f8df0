"""CAISO OASIS: its requests, and the meaning of its zips, CSVs and errors."""

import csv
import io
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry, RateLimit
from gridtide.errors import ConfigurationError, FormatError, GridtideError, UpstreamError
from gridtide.observations.identity import resolve_repeats
from gridtide.observations.table import SCHEMA, empty
from gridtide.periods import Period, local_day
from gridtide.sources import caiso
from gridtide.sources.contract import Page, Request, Response
from gridtide.sources.registry import get_source
from tests.support.shared import SHARED, needs_shared

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)
PACIFIC = ZoneInfo("America/Los_Angeles")
REQUEST = Request("https://oasis.caiso.com/oasisapi/SingleZip")

LOAD = "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,OPR_DT,OPR_HR,MARKET_RUN_ID,TAC_AREA_NAME,MW"
RENEWABLE = (
    "OPR_DT,OPR_HR,INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,TRADING_HUB,RENEWABLE_TYPE,XML_DATA_ITEM,MW,MARKET_RUN_ID"
)
SCHEDULE = "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,SLRS_TYPE,MARKET_RUN_ID,TAC_ZONE_NAME,SCHEDULE,MW"
PRICE = "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,NODE_ID_XML,NODE_ID,NODE,MARKET_RUN_ID,LMP_TYPE,POS,MW,GROUP"


def entry(**keys: Any) -> Entry:
    """A complete entry of OASIS."""
    raw: dict[str, Any] = {
        "name": "caiso_load",
        "url": "http://oasis.caiso.com/oasisapi/SingleZip",
        "output_folder": "caiso_load",
        "params": {"queryname": "SLD_FCST", "market_run_id": "ACTUAL"},
    }
    return parse({"apis": [raw | keys]}).apis[0]


def zipped(*members: str | bytes) -> bytes:
    """A zip of `members`."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"{number}.csv", member)
    return body.getvalue()


def read(body: bytes | str) -> Page:
    """The observations in `body`."""
    return caiso.parse_response(entry(), REQUEST, Response(body.encode() if isinstance(body, str) else body, AT))


def error(code: str, description: str) -> str:
    """An XML error of OASIS."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<m:OASISReport xmlns:m="http://www.caiso.com/soa/OASISReport_v1.xsd">'
        "<m:MessagePayload><m:RTO><m:name>CAISO</m:name><m:ERROR>\n"
        f"<m:ERR_CODE>{code}</m:ERR_CODE>\n<m:ERR_DESC>{description}</m:ERR_DESC>\n"
        "</m:ERROR></m:RTO></m:MessagePayload></m:OASISReport>"
    )


def row(header: str, **columns: Any) -> str:
    """One CSV with one row: hour 08:00Z of 2024-01-01 unless `columns` say otherwise."""
    known = {
        "INTERVALSTARTTIME_GMT": "2024-01-01T08:00:00-00:00",
        "INTERVALENDTIME_GMT": "2024-01-01T09:00:00-00:00",
        "OPR_HR": 1,
        **columns,
    }
    return f"{header}\n{','.join(str(known.get(column, '')) for column in header.split(','))}\n"


def test_a_period_is_asked_in_gmt_in_touching_pieces_of_at_most_thirty_days() -> None:
    """The end of a request is exclusive, so the pieces touch and no interval is requested twice."""
    period = Period(datetime(2024, 1, 1, 8, tzinfo=UTC), datetime(2024, 3, 1, 8, tzinfo=UTC))
    asked = caiso.build_requests(entry(), period)
    bounds = [(dict(r.params)["startdatetime"], dict(r.params)["enddatetime"]) for r in asked]
    assert bounds == [
        ("20240101T08:00-0000", "20240131T08:00-0000"),
        ("20240131T08:00-0000", "20240301T08:00-0000"),
    ]
    assert [r.period for r in asked] == [
        Period(datetime(2024, 1, 1, 8, tzinfo=UTC), datetime(2024, 1, 31, 8, tzinfo=UTC)),
        Period(datetime(2024, 1, 31, 8, tzinfo=UTC), datetime(2024, 3, 1, 8, tzinfo=UTC)),
    ]
    assert len({r.label for r in asked}) == 2


def test_a_chunk_cuts_shorter_but_never_longer_than_oasis_answers() -> None:
    """`chunk` is used up to the maximum of OASIS."""
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    assert len(caiso.build_requests(entry(chunk="P10D"), period)) == 6
    assert max(r.period.duration for r in caiso.build_requests(entry(chunk="P90D"), period) if r.period) == timedelta(
        days=30
    )


def test_parameters_are_the_entrys_own_lists_joined_by_commas() -> None:
    """Lists are joined by commas, the default version is 1, the format is CSV, and the period replaces that of the
    entry."""
    asked = caiso.build_requests(
        entry(
            params={
                "queryname": "PRC_LMP",
                "market_run_id": "DAM",
                "node": ["TH_NP15_GEN-APND", "TH_SP15_GEN-APND"],
                "version": 12,
                "resultformat": 5,
                "startdatetime": "20200101T00:00-0000",
            }
        ),
        Period(AT, AT + timedelta(hours=1)),
    )
    assert dict(asked[0].params) == {
        "queryname": "PRC_LMP",
        "market_run_id": "DAM",
        "node": "TH_NP15_GEN-APND,TH_SP15_GEN-APND",
        "version": "12",
        "resultformat": "6",
        "startdatetime": "20250301T12:00-0000",
        "enddatetime": "20250301T13:00-0000",
    }


def test_parameters_may_stand_in_the_url() -> None:
    """Parameters in the URL are used, and `params` take precedence."""
    url = "http://oasis.caiso.com/oasisapi/SingleZip?queryname=SLD_FCST&market_run_id=DAM&version=1"
    asked = caiso.build_requests(entry(url=url, params={"market_run_id": "2DA"}), Period(AT, AT + timedelta(hours=1)))
    assert asked[0].url == "http://oasis.caiso.com/oasisapi/SingleZip"
    assert dict(asked[0].params)["queryname"] == "SLD_FCST"
    assert dict(asked[0].params)["market_run_id"] == "2DA"


def test_an_entry_without_a_report_is_refused() -> None:
    """An entry without `queryname` is refused with its name and the key."""
    with pytest.raises(ConfigurationError, match=r"caiso_load: params\.queryname: is missing"):
        caiso.build_requests(entry(params={}), Period(AT, AT + timedelta(hours=1)))


@pytest.mark.parametrize(
    ("params", "available", "resolution"),
    [
        ({"queryname": "SLD_FCST", "market_run_id": "ACTUAL"}, timedelta(hours=2), timedelta(hours=1)),
        ({"queryname": "SLD_FCST", "market_run_id": "DAM"}, "13:00", timedelta(hours=1)),
        ({"queryname": "SLD_FCST", "market_run_id": ["DAM", "2DA"]}, "13:00", timedelta(hours=1)),
        ({"queryname": "SLD_FCST", "market_run_id": ["DAM", "ACTUAL"]}, timedelta(hours=2), timedelta(hours=1)),
        ({"queryname": "SLD_REN_FCST"}, timedelta(hours=2), timedelta(hours=1)),
        ({"queryname": "PRC_LMP", "node": "X"}, "13:00", timedelta(hours=1)),
        ({"queryname": "PRC_INTVL_LMP", "market_run_id": "RTM"}, timedelta(hours=1), timedelta(minutes=5)),
        ({"queryname": "PRC_RTPD_LMP", "market_run_id": "RTPD"}, timedelta(hours=1), timedelta(minutes=15)),
    ],
)
def test_defaults_know_when_a_market_is_published(params: Any, available: Any, resolution: timedelta) -> None:
    """Day-ahead products are available on the day before, others some time after the interval."""
    made = entry(params=params)
    assert (made.available.day_before or made.available.lag) == available
    assert made.available.timezone == ("America/Los_Angeles" if available == "13:00" else "UTC")
    assert made.resolution == resolution


def test_defaults_are_polite() -> None:
    """By default all entries of OASIS share one request in five seconds, without credentials."""
    made = entry()
    assert made.source == "caiso"
    assert made.rate_limit == RateLimit(name="caiso", rates=("1/5second",))
    assert made.auth.kind == "none"
    assert made.chunk <= timedelta(days=31)
    assert get_source("caiso").takes_period(made)


@pytest.mark.parametrize(
    ("header", "columns", "location", "variable", "unit"),
    [
        (LOAD, {"MARKET_RUN_ID": "ACTUAL", "TAC_AREA_NAME": "CA ISO-TAC"}, "CA ISO-TAC", "load", "MW"),
        (LOAD, {"MARKET_RUN_ID": "DAM", "TAC_AREA_NAME": "PGE"}, "PGE", "load_forecast_day_ahead", "MW"),
        (LOAD, {"MARKET_RUN_ID": "2DA", "TAC_AREA_NAME": "PGE-TAC"}, "PGE-TAC", "load_forecast_two_day_ahead", "MW"),
        (LOAD, {"MARKET_RUN_ID": "7DA", "TAC_AREA_NAME": "SCE"}, "SCE", "load_forecast_seven_day_ahead", "MW"),
        (LOAD, {"MARKET_RUN_ID": "RTM", "TAC_AREA_NAME": "SCE"}, "SCE", "load_forecast_real_time", "MW"),
        (
            RENEWABLE,
            {"MARKET_RUN_ID": "ACTUAL", "TRADING_HUB": "NP15", "RENEWABLE_TYPE": "Solar"},
            "NP15",
            "generation_solar",
            "MW",
        ),
        (
            RENEWABLE,
            {"MARKET_RUN_ID": "DAM", "TRADING_HUB": "ZP26", "RENEWABLE_TYPE": "Wind"},
            "ZP26",
            "generation_wind_forecast_day_ahead",
            "MW",
        ),
        (
            RENEWABLE,
            {"MARKET_RUN_ID": "HASP", "TRADING_HUB": "SP15", "RENEWABLE_TYPE": "Wind"},
            "SP15",
            "generation_wind_forecast_hasp",
            "MW",
        ),
        (
            SCHEDULE,
            {"MARKET_RUN_ID": "DAM", "TAC_ZONE_NAME": "Caiso_Totals", "SCHEDULE": "Export"},
            "Caiso_Totals",
            "schedule_export_day_ahead",
            "MW",
        ),
        (
            SCHEDULE,
            {"MARKET_RUN_ID": "RTM", "TAC_ZONE_NAME": "TAC_NORTH", "SCHEDULE": "Generation"},
            "TAC_NORTH",
            "schedule_generation_real_time",
            "MW",
        ),
        (PRICE, {"MARKET_RUN_ID": "DAM", "NODE_ID": "N", "LMP_TYPE": "LMP"}, "N", "lmp_day_ahead", "USD/MWh"),
        (PRICE, {"MARKET_RUN_ID": "DAM", "NODE_ID": "N", "LMP_TYPE": "MCE"}, "N", "lmp_day_ahead_energy", "USD/MWh"),
        (
            PRICE,
            {"MARKET_RUN_ID": "DAM", "NODE_ID": "N", "LMP_TYPE": "MCC"},
            "N",
            "lmp_day_ahead_congestion",
            "USD/MWh",
        ),
        (PRICE, {"MARKET_RUN_ID": "DAM", "NODE_ID": "N", "LMP_TYPE": "MCL"}, "N", "lmp_day_ahead_loss", "USD/MWh"),
        (PRICE, {"MARKET_RUN_ID": "DAM", "NODE_ID": "N", "LMP_TYPE": "MGHG"}, "N", "lmp_day_ahead_ghg", "USD/MWh"),
        (PRICE, {"MARKET_RUN_ID": "DAM", "NODE_ID": "N", "LMP_TYPE": "NEW"}, "N", "lmp_day_ahead_new", "USD/MWh"),
        (PRICE, {"MARKET_RUN_ID": "HASP", "NODE_ID": "N", "LMP_TYPE": "LMP"}, "N", "lmp_hasp", "USD/MWh"),
        (PRICE, {"MARKET_RUN_ID": "RUC", "NODE_ID": "N", "LMP_TYPE": "LMP"}, "N", "lmp_ruc", "USD/MWh"),
    ],
)
def test_report_and_market_make_the_variable(
    header: str, columns: dict[str, str], location: str, variable: str, unit: str
) -> None:
    """The columns give the report and the rows the market, whatever was requested."""
    page = read(zipped(row(header, **columns, MW="-1.5")))
    assert page.record_count == 1
    assert page.observations.to_pylist() == [
        {
            "interval_start": datetime(2024, 1, 1, 8, tzinfo=UTC),
            "interval_end": datetime(2024, 1, 1, 9, tzinfo=UTC),
            "source": "caiso",
            "location": location,
            "variable": variable,
            "unit": unit,
            "value": -1.5,
            "published_at": None,
            "retrieved_at": AT,
        }
    ]
    assert page.observations.schema == SCHEMA


@pytest.mark.parametrize(
    ("column", "market", "minutes", "variable"),
    [("VALUE", "RTM", 5, "lmp_five_minute_ghg"), ("PRC", "RTPD", 15, "lmp_fifteen_minute_ghg")],
)
def test_real_time_prices_have_a_column_of_their_own(column: str, market: str, minutes: int, variable: str) -> None:
    """The price is in VALUE for PRC_INTVL_LMP, in PRC for PRC_RTPD_LMP, and in MW for PRC_LMP."""
    body = row(
        PRICE.replace("MW", column),
        **{"MARKET_RUN_ID": market, "NODE_ID": "N", "LMP_TYPE": "MGHG", column: "0.25"},
        INTERVALENDTIME_GMT=f"2024-01-01T08:{minutes:02}:00-00:00",
    )
    found = read(body).observations.to_pylist()[0]
    assert (found["variable"], found["value"]) == (variable, 0.25)
    assert found["interval_end"] - found["interval_start"] == timedelta(minutes=minutes)


def test_columns_are_found_by_name_whatever_their_order_and_quoting() -> None:
    """A byte order mark, CRLF, quotes, other columns and another order do not change the result."""
    plain = read(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="CA ISO-TAC", MW="20536"))
    header = "MW,LABEL,TAC_AREA_NAME,INTERVALENDTIME_GMT,MARKET_RUN_ID,INTERVALSTARTTIME_GMT"
    quoted = ",".join(f'"{column}"' for column in header.split(","))
    values = '20536,"Load, hourly",CA ISO-TAC,2024-01-01T09:00:00-00:00,ACTUAL,2024-01-01T08:00:00-00:00'
    assert read(f"\ufeff{quoted}\r\n{values}\r\n").observations.equals(plain.observations)


def test_an_empty_value_is_a_reported_null() -> None:
    """A row without a value gives a null, and zero is a value."""
    null = read(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW=""))
    zero = read(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="0"))
    assert null.observations["value"].to_pylist() == [None]
    assert zero.observations["value"].to_pylist() == [0.0]


def test_a_header_alone_has_no_rows() -> None:
    """A CSV with only a header is an answer without rows."""
    assert read(LOAD + "\n") == Page(empty(), 0)


@pytest.mark.parametrize(
    ("day", "hours", "labels"),
    [
        ("2024-03-10", 23, [1, 2, *range(4, 25)]),
        ("2024-11-03", 25, [1, 2, 25, *range(3, 25)]),
        ("2024-07-01", 24, list(range(1, 25))),
    ],
)
def test_the_days_of_the_time_change_have_23_and_25_hours(day: str, hours: int, labels: list[int]) -> None:
    """All hours of GMT occur once, although OPR_HR skips 3 in spring and has 25 in autumn."""
    operating = local_day(datetime.fromisoformat(day).date(), PACIFIC)
    starts = [operating.start + timedelta(hours=hour) for hour in range(hours)]
    assert len(labels) == hours
    lines = [
        f"{start:%Y-%m-%dT%H:%M:%S}-00:00,{start + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}-00:00,{day},{label},DAM,PGE,1"
        for start, label in zip(starts, labels, strict=True)
    ]
    found = read("\n".join([LOAD, *reversed(lines)])).observations
    assert sorted(found["interval_start"].to_pylist()) == starts
    assert len(resolve_repeats(found, "refuse").rows) == hours


def test_rows_are_kept_in_the_order_given_and_duplicates_left_to_the_caller() -> None:
    """Rows are neither sorted nor removed."""
    one = row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="2").splitlines()
    two = row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="1").splitlines()
    page = read("\n".join([*one, two[1], one[1]]))
    assert (page.record_count, page.observations["value"].to_pylist()) == (3, [2.0, 1.0, 2.0])


def test_a_zip_of_several_csvs_is_one_answer() -> None:
    """The CSVs of a zip are read one after the other."""
    members = [row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME=area, MW="1") for area in ("PGE", "SCE")]
    assert read(zipped(*members)).observations["location"].to_pylist() == ["PGE", "SCE"]


@pytest.mark.parametrize("wrap", [zipped, str.encode], ids=["zip", "bare"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_error_1000_means_no_rows(wrap: Any, mark: str) -> None:
    """Error 1000 is an answer without rows, in a zip or not, with a byte order mark or not."""
    page = read(wrap(mark + error("1000", "No data returned for the specified selection")))
    assert page == Page(empty(), 0)


@pytest.mark.parametrize(
    ("code", "description", "kind", "says"),
    [
        ("1001", "Invalid Parameters of the given report name", ConfigurationError, "params"),
        ("1002", "Invalid datetime format", ConfigurationError, "params"),
        ("1003", "Timed out waiting for query response", UpstreamError, "1003"),
        ("1004", "Data can be requested for period of 31 days only", ConfigurationError, '"chunk" to P30D'),
        ("1005", "Report name does not exist", ConfigurationError, "params"),
        ("1010", "System Error", UpstreamError, "1010"),
        ("1014", "Start Date is beyond the limit", ConfigurationError, "39 months"),
        ("1015", "GroupZip DownLoad is in Processing", UpstreamError, "1015"),
        ("1017", "Please select a maximum of 10 nodes", ConfigurationError, "10 nodes"),
        ("1020", "Version parameter is missing", ConfigurationError, '"version"'),
    ],
)
def test_other_errors_say_entry_code_description_and_fix(
    code: str, description: str, kind: type[GridtideError], says: str
) -> None:
    """Errors with HTTP 200 are raised; temporary ones are retried, the others are not."""
    with pytest.raises(kind) as raised:
        read(zipped(error(code, description)))
    assert str(raised.value).startswith(f"caiso_load: OASIS answers error {code}: {description}")
    assert says in str(raised.value)
    assert raised.value.retryable is (kind is UpstreamError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body><p>CAISO Acceptable Use Policy Violation.</p></body></html>",
        b"\n<!DOCTYPE html><html></html>",
        zipped("<html>maintenance</html>"),
        zipped(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="1"))[:-30],
        zipped(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="1"))[:40],
        zipped(),
        error("1000", "No data")[:200].encode(),
    ],
    ids=["empty", "html", "doctype", "zipped html", "cut zip", "short zip", "empty zip", "cut xml"],
)
def test_bodies_that_are_no_answer_may_pass(body: bytes) -> None:
    """Web pages and truncated bodies are upstream errors, which are retried."""
    with pytest.raises(UpstreamError, match="caiso_load: "):
        read(body)


def test_a_damaged_member_may_pass() -> None:
    """A zip with a wrong checksum is an upstream error, which is retried."""
    body = bytearray(zipped(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="1")))
    body[60] ^= 0xFF
    with pytest.raises(UpstreamError, match="cut or broken"):
        read(bytes(body))


def test_a_zip_bomb_is_refused_before_it_is_unzipped() -> None:
    """A zip that declares too much content is refused, and no file is read beyond its declared size."""
    body = bytearray(zipped("x"))
    size = body.rindex(b"PK\x01\x02") + 24
    body[size : size + 4] = struct.pack("<I", 1 << 31)
    with pytest.raises(FormatError, match=r'more than 256 MiB.*"chunk"'):
        read(bytes(body))


def test_xml_with_a_document_type_is_refused() -> None:
    """XML with a document type is refused, so entities are never expanded."""
    with pytest.raises(FormatError, match="document type"):
        read('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')


def test_xml_without_an_error_is_not_what_was_asked_for() -> None:
    """A report in XML instead of CSV is a format error."""
    with pytest.raises(FormatError, match="OASISReport> without an error"):
        read("<OASISReport><MessagePayload/></OASISReport>")


def test_a_report_that_is_not_known_is_named_by_its_columns() -> None:
    """The message lists the columns and the supported reports."""
    with pytest.raises(FormatError, match=r"caiso_load: the columns A, B are of no report .* SLD_FCST"):
        read("A,B\n1,2\n")


def test_an_entry_that_keeps_bodies_may_ask_any_report() -> None:
    """The rows of any report are accepted, but an error with HTTP 200 is raised."""
    made = entry(format="raw", params={"queryname": "PRC_FUEL"})
    assert caiso.parse_response(made, REQUEST, Response(zipped("A,B\n1,2\n"), AT)) == Page(empty(), 0)
    with pytest.raises(ConfigurationError, match="1005"):
        caiso.parse_response(made, REQUEST, Response(zipped(error("1005", "Report name does not exist")), AT))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"MW": "many"}, "many"),
        ({"MW": "-inf"}, "no value is a number, the first is MW in row 1, PGE at 2024-01-01T08:00Z: '-inf'"),
        ({"MW": "1", "INTERVALSTARTTIME_GMT": "01/01/2024 08:00"}, "01/01/2024"),
        ({"MW": "1", "INTERVALSTARTTIME_GMT": "2024-01-01T08:00:00"}, "zone offset"),
        ({"MW": "1", "INTERVALSTARTTIME_GMT": ""}, "no interval_start"),
        ({"MW": "1", "TAC_AREA_NAME": ""}, "a row has no TAC_AREA_NAME"),
        ({"MW": "1", "TAC_AREA_NAME": " "}, "a row has no TAC_AREA_NAME"),
        ({"MW": "1", "MARKET_RUN_ID": ""}, "a row has no MARKET_RUN_ID"),
    ],
)
def test_values_and_times_that_cannot_be_read_are_format_errors(columns: dict[str, str], says: str) -> None:
    """The message contains the text in the row."""
    with pytest.raises(FormatError, match=says):
        read(row(LOAD, **{"MARKET_RUN_ID": "ACTUAL", "TAC_AREA_NAME": "PGE", **columns}))


@pytest.mark.parametrize("column", ["INTERVALSTARTTIME_GMT", "INTERVALENDTIME_GMT"])
@pytest.mark.parametrize("text", ["", "soon", "2024-01-01T08:00:00"])
def test_a_row_without_times_is_counted_and_the_others_are_read(column: str, text: str) -> None:
    """Whatever stands there instead; a request does not fail because of one row."""
    whole = {"MARKET_RUN_ID": "ACTUAL", "TAC_AREA_NAME": "PGE"}
    timeless = row(LOAD, **whole, MW="2", **{column: text}).partition("\n")[2]
    page = read(row(LOAD, **whole, MW="1") + timeless)
    assert page.observations["value"].to_pylist() == [1.0]
    (skipped,) = page.skipped
    assert (skipped.reason, skipped.count) == ("records without a time that can be read", 1)
    assert "row 2" in skipped.example


def test_a_price_without_its_node_is_a_format_error() -> None:
    """A price without a node is refused."""
    prices = row(PRICE, NODE_ID="TH_NP15_GEN-APND", MARKET_RUN_ID="DAM", LMP_TYPE="LMP", MW="31.5")
    nameless = row(PRICE, MARKET_RUN_ID="DAM", LMP_TYPE="LMP", MW="32.5").partition("\n")[2]
    with pytest.raises(FormatError, match="a row has no NODE_ID"):
        read(prices + nameless)


def test_a_row_with_too_few_fields_is_a_format_error() -> None:
    """A CSV that ends within a row is refused."""
    with pytest.raises(FormatError, match="cannot be read"):
        read(row(LOAD, MARKET_RUN_ID="ACTUAL", TAC_AREA_NAME="PGE", MW="1") + "2024-01-01T09:00:00-00:00,20")


RECORDED = {
    "20190301_20190401_PRC_LMP_DAM_20200603_09_21_36_v1.csv": 8916,
    "20191010_20191011_ENE_SLRS_DAM_20200511_12_10_51_v1.csv": 480,
    "20200510_20200511_PRC_LMP_DAM_20200510_10_49_47_v1.csv": 96,
    "20250204_20250211_SLD_REN_FCST_DAM_20250214_04_52_10_v1.zip": 1008,
    "SLD_FCST_ACTUAL_20251102_sample.csv": 12,
}


def expected(record: dict[str, str]) -> tuple[Any, ...]:
    """(start, end, location, variable, unit, value) of a recorded row."""
    times = [datetime.fromisoformat(record[f"INTERVAL{end}TIME_GMT"]) for end in ("START", "END")]
    match record:
        case {"LMP_TYPE": component, "NODE_ID": location}:
            assert record["MARKET_RUN_ID"] == "DAM"
            names = {"LMP": "", "MCE": "_energy", "MCC": "_congestion", "MCL": "_loss"}
            variable, unit = f"lmp_day_ahead{names[component]}", "USD/MWh"
        case {"SCHEDULE": schedule, "TAC_ZONE_NAME": location}:
            variable, unit = f"schedule_{schedule.lower()}_day_ahead", "MW"
        case {"RENEWABLE_TYPE": kind, "TRADING_HUB": location}:
            variable, unit = f"generation_{kind.lower()}_forecast_day_ahead", "MW"
        case {"TAC_AREA_NAME": location, "MARKET_RUN_ID": "ACTUAL"}:
            variable, unit = "load", "MW"
    return (*times, location, variable, unit, float(record["MW"]))


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of `table` in the form of `expected`."""
    names = ("interval_start", "interval_end", "location", "variable", "unit", "value")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


@needs_shared
@pytest.mark.parametrize(("name", "count"), RECORDED.items())
@pytest.mark.parametrize("packed", [True, False], ids=["zip", "bare"])
def test_recorded_reports_equal_an_independent_reading(name: str, count: int, packed: bool) -> None:
    """Every recorded row, read with the csv module, is an observation, and there is no other."""
    recorded = (SHARED / "payloads" / "caiso" / name).read_bytes()
    if name.endswith(".zip"):
        archive = zipfile.ZipFile(io.BytesIO(recorded))
        text = archive.read(archive.namelist()[0])
    else:
        text = recorded
    page = read(zipped(text) if packed else text)
    independent = [expected(record) for record in csv.DictReader(io.StringIO(text.decode()))]
    assert page.record_count == len(independent) == count
    assert rows(page.observations) == independent
    assert len(resolve_repeats(page.observations, "refuse").rows) == count


@needs_shared
def test_a_recorded_zip_is_read_as_it_came() -> None:
    """A recorded zip of the upstream is read."""
    name = "20250204_20250211_SLD_REN_FCST_DAM_20250214_04_52_10_v1.zip"
    assert read((SHARED / "payloads" / "caiso" / name).read_bytes()).record_count == 1008


@needs_shared
def test_the_recorded_march_has_an_hour_less() -> None:
    """The month of the spring change has 743 continuous hours in GMT."""
    name = "20190301_20190401_PRC_LMP_DAM_20200603_09_21_36_v1.csv"
    table = read((SHARED / "payloads" / "caiso" / name).read_bytes()).observations
    starts = sorted(set(table["interval_start"].to_pylist()))
    assert len(starts) == 743
    assert starts[-1] - starts[0] == timedelta(hours=742)


@needs_shared
@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("oasis_SLD_RTO_INVALID_REQUEST.xml_e9872.zip", ConfigurationError, "1001: Invalid Parameters"),
        ("oasis_429_5c234.html", UpstreamError, "web page"),
    ],
)
def test_recorded_errors_are_told(name: str, kind: type[GridtideError], says: str) -> None:
    """The recorded error zip and the recorded web page raise errors."""
    with pytest.raises(kind, match=says):
        read((SHARED / "payloads" / "caiso" / name).read_bytes())


@needs_shared
def test_the_recorded_answer_without_data_has_no_rows() -> None:
    """The recorded ERR_CODE 1000 is an answer without rows."""
    assert read((SHARED / "payloads" / "caiso" / "oasis_SLD_REN_FCST_no_data_1000.xml").read_bytes()).record_count == 0


@pytest.mark.parametrize(
    ("params", "minutes"),
    [
        ({"queryname": "ENE_SLRS", "market_run_id": "RTM"}, 5),
        ({"queryname": "ENE_SLRS", "market_run_id": "DAM"}, 60),
        ({"queryname": "SLD_FCST", "market_run_id": "RTM", "execution_type": "RTD"}, 5),
        ({"queryname": "SLD_FCST", "market_run_id": "RTM", "execution_type": "RTPD"}, 15),
        ({"queryname": "SLD_REN_FCST", "market_run_id": "RTPD"}, 15),
        ({"queryname": "SLD_REN_FCST", "market_run_id": "RTD"}, 5),
        ({"queryname": "SLD_FCST", "market_run_id": "ACTUAL"}, 60),
        ({"queryname": "PRC_RTPD_LMP", "market_run_id": "RTPD"}, 15),
    ],
)
def test_reports_of_the_real_time_markets_have_their_resolution(params: dict[str, str], minutes: int) -> None:
    """Entries of real-time reports have the resolution of the report."""
    api = {"name": "report", "url": "http://oasis.caiso.com/oasisapi/SingleZip", "params": params}
    assert parse({"apis": [api | {"output_folder": "report"}]}).apis[0].resolution == timedelta(minutes=minutes)


@pytest.mark.parametrize("body", [b"<script>location='/challenge'</script>", b'<error code="17" message="quota"/>'])
def test_markup_that_is_no_report_is_tried_again(body: bytes) -> None:
    """A page with a script, and an error in an unknown form, are retried."""
    asked = caiso.build_requests(entry(), Period(AT - timedelta(days=1), AT))[0]
    with pytest.raises(UpstreamError, match=r"OASIS answers <(script|error)> without an error in it"):
        caiso.parse_response(entry(), asked, Response(body, AT))
