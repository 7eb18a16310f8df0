"""What identifies entries, rows and files is the same under every version of Python.

The digests were computed with CPython 3.11, 3.12 and 3.13, each with other seeds of hashes; under all three, files,
months and training sets of one input also had the same bytes.
"""

import hashlib
import math
from datetime import UTC, datetime

import pytest

from gridtide.config.loading import parse
from gridtide.lake.files.encoding import SINKS
from gridtide.observations.identity import content_hash
from gridtide.observations.series_days import SeriesDays, encode_series
from gridtide.observations.table import Row, from_rows, pa
from gridtide.periods import HOUR
from gridtide.sources.registry import find_entry_scope

START = datetime(2024, 3, 10, tzinfo=UTC)


@pytest.fixture
def table() -> pa.Table:
    """Returns 200 hours of two series, with nulls, small differences and names beyond ASCII."""
    rows = [
        Row(START + n * HOUR, START + (n + 1) * HOUR, name, "load", "MW", None if n % 97 == 5 else math.sqrt(n) + 1e-9)
        for name in ("Österreich", "B/1")
        for n in range(200)
    ]
    return from_rows("synthetic", rows, START + 300 * HOUR)


def digest(text: str | bytes) -> str:
    """Returns the first 16 digits of the SHA-256."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def test_rows_and_series_have_these_digests(table: pa.Table) -> None:
    """The content hash, and the names of the series as a file lists them."""
    days = SeriesDays()
    days.add(table)
    assert content_hash(table).hexdigest()[:16] == "89f8825e09773f5b"
    assert encode_series(days.names) == r'[[["load"], ["B/1", "\u00d6sterreich"]]]'


def test_a_csv_file_has_these_bytes(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> None:
    """CSV has no library behind it whose version could change its bytes."""
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("wb") as file:
        sink = SINKS["csv"](file)
        sink.write(table)
        sink.close({})
        file.flush()
    assert digest(path.read_bytes()) == "8b0cf23ebfa85ce4"


def test_an_entry_has_this_fingerprint_and_scope() -> None:
    """Both are in files for years: they must not change with the order of keys or the version of Python."""
    api = {"name": "grid", "url": "https://x.test/{start}/{end}?a=1&a=2", "time": "time", "location": "region"}
    api |= {"params": {"region": ["Österreich", "B"], "limit": 9.5}, "headers": {"X-Key": "a", "Accept": "b"}}
    api |= {
        "value": {"load": {"variable": "load", "unit": "MW"}, "wind": {}},
        "interval": "PT15M",
        "output_folder": "g",
    }
    for keys in (api, dict(reversed(api.items()))):
        entry = parse({"apis": [keys]}).apis[0]
        assert entry.fingerprint == "760829cf3e00"
        assert digest(find_entry_scope(entry).as_text()) == "704e81eb22282273"
