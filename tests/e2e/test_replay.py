"""The whole way from recorded bytes of the upstreams to the lake, compared with an independent reading.

A local server answers with real EIA rows and with recorded bytes of the four upstreams. The expected observations
are read here from the same bytes, with only json, csv and zipfile.
"""

import asyncio
import csv
import io
import json
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period
from tests.support.shared import SHARED, needs_shared

pytestmark = needs_shared

SECRETS = {"EIA_API_KEY": "SECRETKEY123", "ISO_NE_USERNAME": "grid", "ISO_NE_PASSWORD": "pa55word"}
HOUR = timedelta(hours=1)
PAYLOADS = SHARED / "payloads"
Reading = set[tuple[datetime, datetime, str, str, str, str, float | None]]


@pytest.fixture(scope="module")
def replay() -> Iterator[str]:
    """Start the server; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tool, rows = SHARED / "tools" / "upstream.py", next((SHARED / "real").glob("*.parquet"))
    command = [sys.executable, tool, "--port", str(port), "--eia", rows, "--payloads", PAYLOADS]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.kill()


def collected(folder: Path, period: Period | None = None, **keys: Any) -> Reading:
    """The contents of the lake after a collection of an entry, without retrieval times."""
    entry = parse({"apis": [{"name": "entry", "output_folder": "entry", "rate_limit": None, **keys}]}).apis[0]

    async def run() -> Reading:
        lake = Lake.open(str(folder))
        async with Http(SECRETS) as http:
            stamp = datetime(2026, 1, 1, tzinfo=UTC)
            done = await collect(entry, lake=lake, http=http, stamp=stamp, period=period)
        assert done.file is not None
        table = await lake.read_table(done.file)
        columns = ("interval_start", "interval_end", "source", "location", "variable", "unit", "value")
        return set(zip(*(table[column].to_pylist() for column in columns), strict=True))

    return asyncio.run(run())


def recorded(path: str) -> Any:
    """A recorded JSON body."""
    return json.loads((PAYLOADS / path).read_bytes())


@pytest.mark.slow
def test_a_year_of_real_eia_demand(replay: str, tmp_path: Path) -> None:
    """Every real row of 2019 of two balancing authorities is stored, from slices and pages."""
    import pyarrow.parquet as pq

    rows = pq.read_table(next((SHARED / "real").glob("*.parquet"))).to_pylist()
    start, end = datetime(2019, 2, 1, tzinfo=UTC), datetime(2019, 12, 1, tzinfo=UTC)
    expected = set()
    for row in rows:
        moment = row["timestamp"].replace(tzinfo=UTC)
        if row["data_type"] == "demand" and row["region"] in ("ISNE", "PACW") and start <= moment - HOUR < end:
            expected.add((moment - HOUR, moment, "eia", row["region"], "demand", "MWh", float(int(row["value"]))))
    params = {"facets[respondent][]": ["ISNE", "PACW"], "facets[type][]": "D"}
    url = f"{replay}/v2/electricity/rto/region-data/data/"
    assert collected(tmp_path, Period(start, end), source="eia", url=url, params=params) == expected
    assert len(expected) > 14_000


def test_recorded_eia_interchange(replay: str, tmp_path: Path) -> None:
    """Interchange is stored by pair, from values that are signed strings."""
    expected = set()
    for row in recorded("eia/interchange-data_CISO_2024-01-01_2024-01-02.json")["response"]["data"]:
        end = datetime.fromisoformat(f"{row['period']}:00+00:00")
        pair = f"{row['fromba']}>{row['toba']}"
        expected.add((end - HOUR, end, "eia", pair, "interchange", "MWh", float(row["value"])))
    url = f"{replay}/v2/electricity/rto/interchange-data/data/"
    assert collected(tmp_path, source="eia", url=url) == expected
    assert len(expected) == 275


def test_recorded_iso_ne_prices_on_the_day_of_25_hours(replay: str, tmp_path: Path) -> None:
    """The day of 25 hours has 25 different hours with four components each."""
    expected = set()
    for row in recorded("isone/hourlylmp_da_final_day_20251102_location_4000.json")["HourlyLmps"]["HourlyLmp"]:
        start = datetime.fromisoformat(row["BeginDate"]).astimezone(UTC)
        fields = {"": "LmpTotal", "_energy": "EnergyComponent", "_congestion": "CongestionComponent"}
        for suffix, field in {**fields, "_loss": "LossComponent"}.items():
            name = f"lmp_day_ahead{suffix}"
            expected.add((start, start + HOUR, "iso_ne", "4000", name, "USD/MWh", float(row[field])))
    url = f"{replay}/api/v1.1/hourlylmp/da/final/day/20251102/location/4000"
    assert collected(tmp_path, source="iso_ne", url=url) == expected
    assert len({row[0] for row in expected}) == 25


def test_recorded_iso_ne_fuel_mix_on_the_day_of_23_hours(replay: str, tmp_path: Path) -> None:
    """Generation and marginal flag of each fuel are stored as instants at irregular seconds."""
    expected = set()
    for row in recorded("isone/genfuelmix_day_20240310.json")["GenFuelMixes"]["GenFuelMix"]:
        at = datetime.fromisoformat(row["BeginDate"]).astimezone(UTC)
        fuel = row["FuelCategory"].lower().replace(" ", "_")
        expected.add((at, at, "iso_ne", "ISNE", f"generation_{fuel}", "MW", float(row["GenMw"])))
        if "MarginalFlag" in row:
            flag = {"Y": 1.0, "N": 0.0}[row["MarginalFlag"]]
            expected.add((at, at, "iso_ne", "ISNE", f"marginal_{fuel}", "1", flag))
    url = f"{replay}/api/v1.1/genfuelmix/day/20240310"
    assert collected(tmp_path, source="iso_ne", url=url) == expected


@pytest.mark.parametrize(
    ("params", "pattern"),
    [
        ({"queryname": "SLD_FCST", "market_run_id": "ACTUAL"}, "SLD_FCST_ACTUAL_*.csv"),
        ({"queryname": "SLD_REN_FCST", "market_run_id": "DAM"}, "*_SLD_REN_FCST_DAM_*.zip"),
        ({"queryname": "ENE_SLRS", "market_run_id": "DAM"}, "*_ENE_SLRS_DAM_*.csv"),
        ({"queryname": "PRC_LMP", "market_run_id": "DAM"}, "20200510_*_PRC_LMP_DAM_*.csv"),
    ],
    ids=lambda value: value.get("queryname") if isinstance(value, dict) else "",
)
def test_recorded_caiso_reports(replay: str, tmp_path: Path, params: dict[str, str], pattern: str) -> None:
    """Every row of a report is stored by its GMT columns, in any order of rows and columns."""
    [path] = (PAYLOADS / "caiso").glob(pattern)
    body = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            body = archive.read(archive.namelist()[0])
    expected = set()
    for row in csv.DictReader(io.StringIO(body.decode())):
        start, end = (datetime.fromisoformat(row[f"INTERVAL{which}TIME_GMT"]) for which in ("START", "END"))
        location, name, unit = caiso_name(row)
        expected.add((start, end, "caiso", location, name, unit, float(row["MW"])))
    url = f"{replay}/oasisapi/SingleZip"
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    assert collected(tmp_path, period, source="caiso", url=url, params=params) == expected


def caiso_name(row: dict[str, str]) -> tuple[str, str, str]:
    """Location, variable and unit of a row of a report."""
    if "LMP_TYPE" in row:
        suffix = {"LMP": "", "MCE": "_energy", "MCC": "_congestion", "MCL": "_loss", "MGHG": "_ghg"}[row["LMP_TYPE"]]
        return row["NODE_ID"], f"lmp_day_ahead{suffix}", "USD/MWh"
    if "SCHEDULE" in row:
        return row["TAC_ZONE_NAME"], f"schedule_{row['SCHEDULE'].lower()}_day_ahead", "MW"
    if "RENEWABLE_TYPE" in row:
        return row["TRADING_HUB"], f"generation_{row['RENEWABLE_TYPE'].lower()}_forecast_day_ahead", "MW"
    return row["TAC_AREA_NAME"], "load", "MW"


def test_recorded_open_meteo_history(replay: str, tmp_path: Path) -> None:
    """Every hour of the recorded archive is stored at the location of the entry, in the upstream's units."""
    recording = sorted((PAYLOADS / "openmeteo").glob("archive*.json"))[-1]
    answer = json.loads(recording.read_bytes())
    hourly, units = answer["hourly"], answer["hourly_units"]
    expected = set()
    for name in set(hourly) - {"time"}:
        for label, value in zip(hourly["time"], hourly[name], strict=True):
            at = datetime.fromisoformat(f"{label}+00:00")
            expected.add((at, at, "open_meteo", "berlin", name, units[name], value))
    params = {"latitude": 52.52, "longitude": 13.41, "hourly": ["temperature_2m"]}
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    keys = {"source": "open_meteo", "url": f"{replay}/v1/archive", "params": params, "location": "berlin"}
    assert collected(tmp_path, period, **keys) == expected
