"""Files that were requested under an old name of a series answer its new name, as far as an alias says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.coverage.picture import measure_coverage
from gridtide.coverage.plan import plan_chunks
from gridtide.entries.entry import Entry
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import empty
from gridtide.periods import DAY, Period
from gridtide.sources.registry import find_entry_scope

START = datetime(2024, 1, 1, tzinfo=UTC)
GENERIC = {"name": "grid", "url": "https://x.test/{start}/{end}", "time": "time", "location": "region", "unit": "MW"}
GENERIC |= {"interval": "PT1H", "chunk": "P90D", "output_folder": "grid"}
SYNTHETIC = {"name": "grid", "source": "synthetic", "chunk": "P90D", "output_folder": "grid"}


def entry_of(base: dict[str, Any], changes: dict[str, Any], *aliases: tuple[str, str, int | None, int | None]) -> Entry:
    """Returns the entry with these changes, and aliases of old and new names with the days of their bounds."""
    names = [
        {"from": f"{base.get('source', 'generic')}/{old}", "to": f"{base.get('source', 'generic')}/{new}"}
        | ({} if since is None else {"since": (START + since * DAY).isoformat()})
        | ({} if before is None else {"before": (START + before * DAY).isoformat()})
        for old, new, since, before in aliases
    ]
    return parse({"apis": [base | changes | {"aliases": names}]}).apis[0]


async def list_requested(path: Path, old: Entry, now: Entry, days: int = 20) -> list[tuple[int, int, str]]:
    """Stores the answer to `old` for the first `days`, and returns the first day and the end of each period that `now`
    requests of thirty days, with its regions; `gridtide status` shows the same."""
    lake, period = Lake.open(str(path)), Period(START, START + days * DAY)
    provenance = Provenance(old.name, period, old.fingerprint, scope=find_entry_scope(old).as_text())
    with Draft("parquet", provenance) as draft:
        draft.append(empty())
        await lake.put_draft(draft, "grid", "grid", START + 40 * DAY)
    month, late = Period(START, START + 30 * DAY), START + 60 * DAY
    plan = await plan_chunks(now, month, late, lake)
    coverage = await measure_coverage(lake, now, month, late)
    requested = [
        ((chunk.start - START).days, (chunk.end - START).days, "".join(map(str, entry.params.get("authority", ()))))
        for entry, chunk in plan.chunks
    ]
    assert coverage is not None
    assert sum(piece.duration / DAY for piece in coverage.missing) == len(
        {d for a, b, _ in requested for d in range(a, b)}
    )
    return requested


LOAD, MW = {"value": "load"}, {"value": {"LoadMW": {"variable": "load_mw", "unit": "MW"}}}
PLAIN = {"value": "LoadMW"}


@pytest.mark.parametrize("now", [MW, PLAIN])
@pytest.mark.parametrize(
    ("aliases", "requested"),
    [
        ((), [(0, 30)]),
        ((("A/load", "A/load_mw", None, 15),), [(15, 30)]),
        ((("*/load", "*/load_mw", None, 15),), [(15, 30)]),
        ((("A/load", "A/load_mw", 5, 15),), [(0, 5), (15, 30)]),
        ((("A/load", "A/load_mw", None, 25),), [(20, 30)]),
        ((("A/load", "A/load_mw", None, None),), [(0, 30)]),
        ((("A/load", "A/total", None, 15), ("A/total", "A/load_mw", None, 10)), [(10, 30)]),
        ((("A/total", "A/load_mw", None, 10), ("A/load", "A/total", None, 15)), [(0, 30)]),
        ((("A/wind", "A/load_mw", None, 15),), [(0, 30)]),
        ((("A/load", "A/wind", None, 15),), [(0, 30)]),
    ],
)
async def test_days_before_a_rename_are_not_requested_again(
    tmp_path: Path, now: dict[str, Any], aliases: Any, requested: list[tuple[int, int]]
) -> None:
    """A renamed column is complete where its old name was requested, until the alias ends; without an end, nothing
    shows how far the old name had values. Aliases apply in their order, as for readers."""
    chunks = await list_requested(tmp_path, entry_of(GENERIC, LOAD), entry_of(GENERIC, now, *aliases))
    assert chunks == [(first, end, "") for first, end in requested]


@pytest.mark.parametrize(
    ("old", "alias", "requested"),
    [
        ("A", ("X/load", "A/load", None, 15), [(0, 20, "B"), (20, 30, "AB")]),
        ("X", ("X/load", "A/load", None, 15), [(0, 15, "B"), (15, 30, "AB")]),
        ("XB", ("X/load", "A/load", None, 15), [(15, 20, "A"), (20, 30, "AB")]),
        ("AB", ("A/demand", "A/load", None, 15), [(0, 15, "B"), (15, 30, "AB")]),
        ("XB", ("X/demand", "A/load", None, 15), [(0, 15, "B"), (15, 30, "AB")]),
        ("AB", ("*/demand", "*/load", None, 15), [(15, 30, "AB")]),
    ],
)
async def test_a_renamed_region_is_requested_where_its_old_name_was_not(
    tmp_path: Path, old: str, alias: Any, requested: list[tuple[int, int, str]]
) -> None:
    """An alias of one region renames nothing of the other regions in the same answer."""
    variable = alias[0].partition("/")[2]
    before = entry_of(SYNTHETIC, {"params": {"authority": list(old), "variables": [variable]}})
    now = entry_of(SYNTHETIC, {"params": {"authority": ["A", "B"], "variables": ["load"]}}, alias)
    assert await list_requested(tmp_path, before, now) == requested
