"""Tables that are too large to be read at once."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

READ = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gridtide.config.loading import parse
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response

keys = {"time": "utc", "location": "authority", "melt": "mw *", "thousands": ",", "interval": "PT1H"}
base = {"name": "eia930", "url": "https://grid.example/x.csv", "output_folder": "eia930"}
entry = parse({"apis": [base | keys]}).apis[0]
response = Response(Path(sys.argv[1]).read_bytes(), datetime(2026, 1, 1, tzinfo=UTC))
page = generic.parse_response(entry, Request(entry.url), response)
rows = page.observations.num_rows + sum(piece.num_rows for piece in page.more)
status = Path("/proc/self/status").read_text()
print(rows, next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what a process held at most")
def test_a_half_year_of_30_million_cells_is_read_within_500_mb(tmp_path: Path) -> None:
    """300,000 rows of 100 columns, with thousands separators, are read completely, piece by piece."""
    values = 97
    cells = [
        ",".join(f'"1,{number % 1000:03}"' if number % 7 else "" for number in range(n, n + values)) for n in range(7)
    ]
    first = datetime(2026, 1, 1)
    hours = [f"{first + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}" for hour in range(4412)]
    names = ",".join(f"mw {number}" for number in range(values))
    with (tmp_path / "large.csv").open("w") as file:
        file.write(f"authority,utc,note,{names}\n")
        file.writelines(f"BA{row // 4412},{hours[row % 4412]},,{cells[row % 7]}\n" for row in range(300_000))
    command = [sys.executable, "-c", READ, str(tmp_path / "large.csv")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, peak_mb = map(int, answer.stdout.split())
    assert rows == 300_000 * values
    assert peak_mb < 500
