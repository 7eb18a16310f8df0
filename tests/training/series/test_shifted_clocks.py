"""Labels that were an hour early in July 2021 are found in the lake, and corrected where the entry says so."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.run.judging.entry_hours import judge_entry
from gridtide import curated
from gridtide.config.loading import parse
from gridtide.entries.entry import Config
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.periods import DAY, HOUR, Period
from gridtide.quality.flags import Flag
from gridtide.quality.solar_clock import check_clocks
from gridtide.sources.registry import find_longitude
from gridtide.training.reading import ReadingPlan, gather_series
from gridtide.training.spec import load_spec
from gridtide.variables import SeriesName
from tests.support.shared import SHARED, needs_shared

ROWS = SHARED / "screening" / "E_raw_2021-07-10_2021-07-20.csv"
EARLY = ("CISO", "PJM", "TEPC")
SHIFT = {
    "by": "PT1H",
    "from": "2021-07-01",
    "until": "2021-08-01",
    "series": [f"eia/{name}/generation_solar" for name in EARLY],
}


def configure(**keys: Any) -> Config:
    """A configuration with an entry of solar generation."""
    url = "https://api.eia.gov/v2/electricity/rto/fuel-type-data/data/"
    return parse({"apis": [{"name": "solar", "url": url, "output_folder": "solar", **keys}]})


async def store_solar(lake: Lake, config: Config) -> Period:
    """Store the solar generation of all authorities as it was reported; gives its hours."""
    with ROWS.open() as file:
        records = list(csv.DictReader(file))
    names = sorted(name.split("_")[1] for name in records[0] if name.endswith("_SUN"))
    ends = [datetime.fromisoformat(record["period"]).replace(tzinfo=UTC) for record in records]
    rows = [
        Row(end - HOUR, end, name, "generation_solar", "MWh", float(record[f"E_{name}_SUN"] or "nan"))
        for end, record in zip(ends, records, strict=True)
        for name in names
    ]
    (entry,) = config.apis
    hours = Period(ends[0] - HOUR, ends[-1])
    with Draft("parquet", Provenance(entry.name, hours, entry.fingerprint)) as draft:
        draft.append(from_rows("eia", rows, hours.end))
        await lake.put_draft(draft, entry.output_folder, entry.file_prefix, hours.end)
    return hours


async def find_flagged(lake: Lake, config: Config, hours: Period) -> set[str]:
    """The series whose clock the flow `quality` calls suspect, some days after these hours."""
    judged = await judge_entry(lake, config.apis[0], hours.end + 10 * DAY, 30)
    return {verdict.series for verdict in judged.verdicts if (verdict.check, verdict.flag) == ("clock", Flag.SUSPECT)}


async def find_shifted(lake: Lake, config: Config, hours: Period) -> set[str]:
    """The authorities whose solar day, as training reads it, is not where it should be."""
    place = {"name": "all", "targets": ["eia/CISO/generation_solar"], "inputs": ["eia/*/generation_solar"]}
    spec = load_spec({"name": "clock", "locations": [place], "seq_len": 24, "horizon": 24})
    entries = {entry.name: entry for entry in config.apis}
    inputs = tuple(await curated.list_inputs(lake, config.apis, hours))
    hourly = (await gather_series(ReadingPlan(spec, entries, hours, hours, inputs), lake)).hourly
    places = [SeriesName.parse(name).location for name in hourly.names]
    check = check_clocks(hourly.values, hours.start, [find_longitude("eia", place) for place in places])
    return {place for place, shifted in zip(places, check.shifted, strict=True) if shifted.any()}


@needs_shared
async def test_early_labels_are_found_by_the_flow_and_corrected_by_the_entry(tmp_path: Path) -> None:
    """Exactly the three known authorities are flagged by their reported hours; as training reads them with the shift,
    none is."""
    lake, config = Lake.open(str(tmp_path)), configure()
    hours = await store_solar(lake, config)
    flagged = await find_flagged(lake, config, hours)
    assert flagged == {f"eia/{name}/generation_solar" for name in EARLY}
    assert await find_shifted(lake, config, hours) == set(EARLY)
    corrected = configure(shift=SHIFT)
    assert await find_shifted(lake, corrected, Period(hours.start, hours.end + HOUR)) == set()
    assert await find_flagged(lake, corrected, hours) == flagged, "the flow judges what was reported"
