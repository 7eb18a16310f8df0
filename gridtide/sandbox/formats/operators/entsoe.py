"""ENTSO-E's Transparency Platform, imitated: /api?documentType=….

Documents of XML hold series of points that are numbered from the start of their period, in UTC. Since October 2025
day-ahead prices have quarter hours. On curves of the type A03 a position that repeats the value before it is left out.
That there is no data is an acknowledgement under HTTP 200; a wrong token is a 401, and a wrong request a 400.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import Period, local_midnight
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html
from gridtide.sandbox.formats.operators.market_days import QUARTER_HOUR, WHOLE_HOUR, find_middles, mix_fuels
from gridtide.simulation import (
    FRENCH_ZONE,
    Grid,
    GridState,
    Times,
    Values,
    count_day_ahead_lead,
    list_interval_starts,
)

PATH_PREFIXES = ("/api",)

RATE_LIMITS = ((400, 60.0),)
"""Requests per number of seconds."""

SECRETS = {"ENTSOE_TOKEN": "sandbox-entsoe-token"}

BRUSSELS_CLOCK = ZoneInfo("Europe/Brussels")

LONGEST_DOCUMENT = timedelta(days=366)

QUARTERS_FROM = datetime(2025, 9, 30, 22, tzinfo=UTC)
"""The delivery day from which day-ahead prices have quarter hours."""

PRODUCTION_TYPES = {
    "B04": {"natural_gas": 1.0},
    "B05": {"coal": 1.0},
    "B06": {"petroleum": 1.0},
    "B10": {"hydro": 0.1},
    "B11": {"hydro": 0.6},
    "B12": {"hydro": 0.3},
    "B14": {"nuclear": 1.0},
    "B16": {"solar": 1.0},
    "B17": {"other": 1.0},
    "B19": {"wind": 1.0},
}
"""The types of production, by their shares of the simulated fuels; B10 is pumped storage, which also consumes."""


@dataclass(frozen=True, slots=True)
class DocumentSeries:
    """A series of a document: what tells it apart, as elements in their order, its values, shape (T,), and whether it
    leaves out repeated ones."""

    elements: tuple[tuple[str, str], ...]
    values: Values
    is_curve: bool = False


@dataclass(frozen=True, slots=True)
class ImitatedDocument:
    """A kind of document: its root and namespace, the parameters of its zones, the element of its values, its series,
    and when they are known: the time from the start of their interval, None for those of the day before."""

    root: str
    namespace: str
    zones: tuple[str, ...]
    element: str
    series: Callable[[Question, str, Times, timedelta], Sequence[DocumentSeries]]
    lag: timedelta | None
    data_item: str


def answer_request(question: Question) -> WireAnswer:
    """Answers with a document or an acknowledgement; the token is checked first."""
    if question.get("securityToken") != SECRETS["ENTSOE_TOKEN"]:
        return _acknowledge(question, "Authentication failed. Please check your security token.", 401)
    document = DOCUMENTS.get((question.get("documentType"), question.get("processType")))
    if document is None:
        return _acknowledge(question, "The combination of documentType and processType is not valid.", 400)
    zones = {question.get(name) for name in document.zones}
    zone = question.get(document.zones[0])
    try:
        bounds = (datetime.strptime(question.get(f"period{end}"), "%Y%m%d%H%M") for end in ("Start", "End"))
        period = Period(*(bound.replace(tzinfo=UTC) for bound in bounds))
    except ValueError:
        return _acknowledge(question, "periodStart and periodEnd must be given as yyyyMMddHHmm.", 400)
    if len(zones) != 1 or not zone:
        return _acknowledge(question, f"Mandatory parameter {document.zones[0]} is missing.", 400)
    if period.duration > LONGEST_DOCUMENT:
        return _acknowledge(question, "Amount of requested data exceeds the allowed limit of one year.", 400)
    parts = _cut_periods(question, document, period) if zone == FRENCH_ZONE.code else []
    if not parts:
        interval = "/".join(f"{bound:%Y-%m-%dT%H:%M:%SZ}" for bound in (period.start, period.end))
        text = f"No matching data found for Data item {document.data_item} ({zone}) and interval {interval}."
        return _acknowledge(question, text, 200)
    return _write_document(question, document, zone, parts)


def write_refusal(status: int, window: float = 60, speed: float = 1) -> WireAnswer:
    """Returns the web page for an error with this status."""
    return write_html(f"HTTP Status {status}", status)


def _acknowledge(question: Question, text: str, status: int) -> WireAnswer:
    """Returns an acknowledgement with the reason 999, as for absent data (status 200) and for wrong requests."""
    body = f"""<?xml version="1.0" encoding="UTF-8"?>
<Acknowledgement_MarketDocument
\txmlns="urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0">
\t<mRID>316dc7ae-843b-4</mRID>
\t<createdDateTime>{question.now:%Y-%m-%dT%H:%M:%SZ}</createdDateTime>
\t<sender_MarketParticipant.mRID codingScheme="A01">10X1001A1001A450</sender_MarketParticipant.mRID>
\t<sender_MarketParticipant.marketRole.type>A32</sender_MarketParticipant.marketRole.type>
\t<receiver_MarketParticipant.mRID codingScheme="A01">10X1001A1001A450</receiver_MarketParticipant.mRID>
\t<receiver_MarketParticipant.marketRole.type>A39</receiver_MarketParticipant.marketRole.type>
\t<received_MarketDocument.createdDateTime>{question.now:%Y-%m-%dT%H:%M:%SZ}</received_MarketDocument.createdDateTime>
\t<Reason>
\t\t<code>999</code>
\t\t<text>{text}</text>
\t</Reason>
</Acknowledgement_MarketDocument>
"""
    return WireAnswer(body.encode(), status, "text/xml")


def _cut_periods(question: Question, document: ImitatedDocument, period: Period) -> list[tuple[Times, timedelta]]:
    """Returns the intervals that are known, divided where their length changes. Prices come as whole days of
    Brussels."""
    if document.lag is not None:
        starts = list_interval_starts(period.start, min(period.end, question.now - document.lag), WHOLE_HOUR)
        return [(starts, WHOLE_HOUR)] if len(starts) else []
    local_now = question.now.astimezone(BRUSSELS_CLOCK)
    days_out = 2 if (local_now.hour, local_now.minute) >= (12, 55) else 1
    known_until = local_midnight(local_now.date() + timedelta(days=days_out), BRUSSELS_CLOCK)
    first_day = period.start.astimezone(BRUSSELS_CLOCK).date()
    last_day = (period.end - timedelta(seconds=1)).astimezone(BRUSSELS_CLOCK).date() + timedelta(days=1)
    start, end = (local_midnight(day, BRUSSELS_CLOCK) for day in (first_day, last_day))
    end = min(end, known_until)
    parts = [
        (list_interval_starts(start, min(end, QUARTERS_FROM), WHOLE_HOUR), WHOLE_HOUR),
        (list_interval_starts(max(start, QUARTERS_FROM), end, QUARTER_HOUR), QUARTER_HOUR),
    ]
    return [(starts, step) for starts, step in parts if len(starts)]


def _write_document(
    question: Question, document: ImitatedDocument, zone: str, parts: Sequence[tuple[Times, timedelta]]
) -> WireAnswer:
    first, last = parts[0][0][0], parts[-1][0][-1] + np.timedelta64(parts[-1][1])
    number = 0
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<{document.root} xmlns="{document.namespace}">',
        "\t<mRID>3d8a83917cc94f23b8c8363829c955b7</mRID>",
        "\t<revisionNumber>1</revisionNumber>",
        f"\t<type>{question.get('documentType')}</type>",
        f"\t<createdDateTime>{question.now:%Y-%m-%dT%H:%M:%SZ}</createdDateTime>",
        f"\t<period.timeInterval>{_write_interval(first, last)}</period.timeInterval>",
    ]
    for starts, step in parts:
        for series in document.series(question, zone, starts, step):
            number += 1
            lines += ["\t<TimeSeries>", f"\t\t<mRID>{number}</mRID>"]
            lines += [f"\t\t<{name}>{text}</{name.split()[0]}>" for name, text in series.elements]
            lines += [f"\t\t<curveType>{'A03' if series.is_curve else 'A01'}</curveType>"]
            lines += _write_points(series, starts, step, document.element)
            lines += ["\t</TimeSeries>"]
    lines.append(f"</{document.root}>\n")
    return WireAnswer("\n".join(lines).encode(), content_type="text/xml")


def _write_interval(start: np.datetime64, end: np.datetime64) -> str:
    texts = [f"{np.datetime_as_string(bound.astype('datetime64[m]'))}Z" for bound in (start, end)]
    return f"<start>{texts[0]}</start><end>{texts[1]}</end>"


def _write_points(series: DocumentSeries, starts: Times, step: timedelta, element: str) -> list[str]:
    """Returns the period of a series; its points are numbered from 1."""
    values = [f"{value:.2f}" if element == "price.amount" else f"{value:.0f}" for value in series.values.tolist()]
    end = starts[-1] + np.timedelta64(step)
    points = [
        f"\t\t\t<Point><position>{position}</position><{element}>{value}</{element}></Point>"
        for position, value in enumerate(values, 1)
        if not series.is_curve or position == 1 or value != values[position - 2]
    ]
    return [
        "\t\t<Period>",
        f"\t\t\t<timeInterval>{_write_interval(starts[0], end)}</timeInterval>",
        f"\t\t\t<resolution>PT{int(step.total_seconds() // 60)}M</resolution>",
        *points,
        "\t\t</Period>",
    ]


def _code(name: str, zone: str) -> tuple[str, str]:
    return f'{name} codingScheme="A01"', zone


def _state_at(grid: Grid, zone: str, starts: Times, step: timedelta, lead_hours: Values | float = 0.0) -> GridState:
    return grid.state_at(zone, find_middles(starts, step), lead_hours)


def _make_load(question: Question, zone: str, starts: Times, step: timedelta) -> list[DocumentSeries]:
    return [_describe_load(zone, _state_at(question.grid, zone, starts, step).demand)]


def _make_load_forecast(question: Question, zone: str, starts: Times, step: timedelta) -> list[DocumentSeries]:
    lead_hours = count_day_ahead_lead(find_middles(starts, step), FRENCH_ZONE.zone)
    return [_describe_load(zone, _state_at(question.grid, zone, starts, step, lead_hours).demand)]


def _describe_load(zone: str, demand: Values) -> DocumentSeries:
    elements = (
        *(("businessType", "A04"), ("objectAggregation", "A01"), _code("outBiddingZone_Domain.mRID", zone)),
        ("quantity_Measure_Unit.name", "MAW"),
    )
    return DocumentSeries(elements, np.round(demand), is_curve=True)


def _make_generation(question: Question, zone: str, starts: Times, step: timedelta) -> list[DocumentSeries]:
    """Production by type, and the consumption of pumped storage, which names its zone as `outBiddingZone_Domain`."""
    state = _state_at(question.grid, zone, starts, step)
    outputs = [("in", kind, output) for kind, output in mix_fuels(state, PRODUCTION_TYPES).items()]
    outputs.append(("out", "B10", state.pumping))
    return [_describe_output(way, zone, kind, output) for way, kind, output in outputs]


def _make_output_forecast(question: Question, zone: str, starts: Times, step: timedelta) -> list[DocumentSeries]:
    """The solar and wind of the day as forecast on the day before."""
    lead_hours = count_day_ahead_lead(find_middles(starts, step), FRENCH_ZONE.zone)
    outputs = mix_fuels(_state_at(question.grid, zone, starts, step, lead_hours), PRODUCTION_TYPES)
    return [_describe_output("in", zone, kind, outputs[kind]) for kind in ("B16", "B19")]


def _describe_output(way: str, zone: str, kind: str, output: Values) -> DocumentSeries:
    elements = (
        *(("businessType", "A01"), ("objectAggregation", "A08"), _code(f"{way}BiddingZone_Domain.mRID", zone)),
        *(("quantity_Measure_Unit.name", "MAW"), ("MktPSRType", f"<psrType>{kind}</psrType>")),
    )
    return DocumentSeries(elements, np.round(output), is_curve=True)


def _make_prices(question: Question, zone: str, starts: Times, step: timedelta) -> list[DocumentSeries]:
    price = question.grid.price_nodes(zone, [zone], find_middles(starts, step), "day_ahead")[zone]
    elements = (
        *(("auction.type", "A01"), ("businessType", "A62"), _code("in_Domain.mRID", zone)),
        *(_code("out_Domain.mRID", zone), ("contract_MarketAgreement.type", "A01")),
        *(("currency_Unit.name", "EUR"), ("price_Measure_Unit.name", "MWH")),
    )
    return [DocumentSeries(elements, price.energy, is_curve=True)]


LOAD_NAMESPACE = "urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0"
PRICE_NAMESPACE = "urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"

DOCUMENTS: Mapping[tuple[str, str], ImitatedDocument] = {
    ("A65", "A16"): ImitatedDocument(
        root="GL_MarketDocument",
        namespace=LOAD_NAMESPACE,
        zones=("outBiddingZone_Domain",),
        element="quantity",
        series=_make_load,
        lag=timedelta(hours=2),
        data_item="ACTUAL_TOTAL_LOAD_R3 [6.1.A]",
    ),
    ("A65", "A01"): ImitatedDocument(
        root="GL_MarketDocument",
        namespace=LOAD_NAMESPACE,
        zones=("outBiddingZone_Domain",),
        element="quantity",
        series=_make_load_forecast,
        lag=-timedelta(hours=24),
        data_item="DAY_AHEAD_TOTAL_LOAD_FORECAST_R3 [6.1.B]",
    ),
    ("A75", "A16"): ImitatedDocument(
        root="GL_MarketDocument",
        namespace=LOAD_NAMESPACE,
        zones=("in_Domain",),
        element="quantity",
        series=_make_generation,
        lag=timedelta(hours=2),
        data_item="AGGREGATED_GENERATION_PER_TYPE_R3 [16.1.B&C]",
    ),
    ("A69", "A01"): ImitatedDocument(
        root="GL_MarketDocument",
        namespace=LOAD_NAMESPACE,
        zones=("in_Domain",),
        element="quantity",
        series=_make_output_forecast,
        lag=-timedelta(hours=24),
        data_item="DAY_AHEAD_WIND_AND_SOLAR_FORECAST_R3 [14.1.D]",
    ),
    ("A44", ""): ImitatedDocument(
        root="Publication_MarketDocument",
        namespace=PRICE_NAMESPACE,
        zones=("in_Domain", "out_Domain"),
        element="price.amount",
        series=_make_prices,
        lag=None,
        data_item="DAY_AHEAD_PRICES_R3 [12.1.D]",
    ),
}
"""The documents by their type and process."""
