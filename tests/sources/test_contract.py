"""The contract of a source: a sixth operator is one module, and no other module knows it."""

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from safetensors.numpy import load_file
from typer.testing import CliRunner, Result

from deployments.cli import app
from flows.backfill import backfill
from flows.ingest import ingest
from flows.monitor import monitor
from flows.prepare_training import prepare_training
from gridtide.collect import find_scheduled_period
from gridtide.config import parse
from gridtide.errors import ConfigurationError
from gridtide.periods import EPOCH, floor
from gridtide.sources import contract
from gridtide.sources.registry import find_host_source, get_source, list_sources

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

OPERATOR = '''
    """The operator of an island: a line for each hour or half hour, `<hours since 1970>;<area>;<number>`."""

    import re
    from datetime import timedelta

    from gridtide.errors import FormatError, UpstreamError
    from gridtide.periods import EPOCH
    from gridtide.sources.contract import Page, Request

    from gridtide.variables import Quantity, Variable, unit_of

    SYSTEM_LOCATIONS = ("NORTH", "SOUTH")
    VARIABLES = (
        Variable("load", "MW", "mean", "Load"),
        Variable("vindkraft", "MW", "mean", "Output of wind", quantity=Quantity("generation", "wind")),
        Variable("crossings", "ferries", "sum", "Ferries that left, each of which charges its batteries"),
    )
    NAMES = {"load": "load", "wind": "vindkraft", "ferry": "crossings"}
    HOUR = timedelta(hours=1)

    def choose_defaults(url, params):
        return {"resolution": "PT1H", "available": {"lag": "PT1H"}, "reread": "P1D", "chunk": "P2D", "retries": 2}

    def find_problems(entry):
        return [] if entry.get("params", {}).get("what") in NAMES else ["params.what: is no series; use load or wind"]

    def correct_status(status, body):
        return 429 if b"slow down" in body else status

    def read_wait(message, now):
        match = re.search(r"slow down for (\\\\d+) ms", message)
        return int(match[1]) / 1000 if match else None

    def build_requests(entry, period):
        hours = [(moment - EPOCH) // HOUR for moment in (period.start, period.end)]
        params = (("what", str(entry.params["what"])), ("from", str(hours[0])), ("to", str(hours[1])))
        return [Request(entry.url, params, label=str(period), period=period)]

    def parse_response(entry, request, response):
        from gridtide.observations.table import from_columns

        try:
            rows = [line.split(";") for line in response.body.decode().split()]
            starts = [EPOCH + float(hour) * HOUR for hour, _, _ in rows]
        except ValueError as error:
            raise FormatError(entry.name, f"a line is no hour, area and number: {error}") from error
        variable = NAMES[entry.params["what"]]
        step = HOUR if variable != "crossings" else HOUR / 2
        table = from_columns(
            "island_grid.operator",
            response.retrieved_at,
            interval_start=starts,
            interval_end=[start + step for start in starts],
            location=[area for _, area, _ in rows],
            variable=variable,
            unit=unit_of(VARIABLES, variable),
            value=[float(number) for _, _, number in rows],
        )
        return Page(table, len(rows))
'''


class Island:
    """The server of the operator: wind for area `NORTH`, load for area `SOUTH`, and half-hourly ferries. It refuses the
    next `refusals` requests with HTTP 400, although they are only too frequent."""

    def __init__(self) -> None:
        self.url = ""
        self.refusals = 0
        self.requests: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with a line for each hour."""
        self.requests.append(dict(request.query))
        if self.refusals:
            self.refusals -= 1
            return web.Response(text="please slow down for 20 ms", status=400)
        hours = range(int(request.query["from"]), int(request.query["to"]))
        if request.query["what"] == "ferry":
            return web.Response(
                text="".join(f"{hour};SOUTH;{hour % 3}\n{hour}.5;SOUTH;{hour % 3 + 1}\n" for hour in hours)
            )
        area, scale = {"load": ("SOUTH", 2), "wind": ("NORTH", 1)}[request.query["what"]]
        return web.Response(text="".join(f"{hour};{area};{scale * (100 + hour % 24)}\n" for hour in hours))

    def config(self, lake: Path, **keys: Any) -> dict[str, Any]:
        """An entry for each series."""
        apis = [
            {
                "name": f"island_{what}",
                "source": "island_grid.operator",
                "url": self.url,
                "params": {"what": what},
                "output_folder": f"island_{what}",
                **keys,
            }
            for what in ("load", "wind", "ferry")
        ]
        return {"lake": str(lake), "task_retries": {"count": 0}, "apis": apis}


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the module of the operator on the import path."""
    package = tmp_path / "modules" / "island_grid"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "operator.py").write_text(textwrap.dedent(OPERATOR).replace("\\\\", "\\"))
    monkeypatch.syspath_prepend(str(package.parent))


@pytest.fixture
async def island() -> AsyncIterator[Island]:
    """Start the server of the operator on a free port."""
    server_of_island = Island()
    application = web.Application()
    application.router.add_get("/hours", server_of_island.answer)
    async with TestServer(application) as server:
        server_of_island.url = str(server.make_url("/hours"))
        yield server_of_island


@pytest.mark.usefixtures("operator", "prefect_server")
async def test_a_sixth_operator_is_one_module(tmp_path: Path, island: Island) -> None:
    """Ingest, backfill, monitor and prepare work with an operator whose module is outside Gridtide."""
    now = datetime.now(UTC)
    start = floor(now, DAY) - 9 * DAY
    settings = island.config(tmp_path / "lake")
    island.refusals = 1
    report = await ingest(settings)
    assert report["pipeline_status"] == "success"
    assert [row["rows"] for row in report["results"]] == [24, 24, 48]
    assert len(island.requests) == 4
    filled = await backfill(start, floor(now, DAY), config=settings)
    assert filled["pipeline_status"] == "success"
    assert filled["statistics"]["chunks"] >= 3 * 4
    lost, *_ = (
        file for file in sorted((tmp_path / "lake" / "island_load").iterdir()) if f"_{start:%Y%m%d}T" in file.name
    )
    lost.unlink()
    before = len(island.requests)
    healed = await monitor(settings, days=8)
    assert healed["pipeline_status"] == "success"
    second_requests = [query for query in island.requests[before:] if query["what"] == "load"]
    assert str((start - EPOCH) // HOUR + 24) in {query["from"] for query in second_requests}
    place = {"name": "ISLAND", "targets": ["island_grid.operator/SOUTH/load"], "inputs": ["island_grid.operator/*/*"]}
    spec = {"name": "island", "locations": [place], "seq_len": 24, "horizon": 6, "features": {"power": True}}
    await prepare_training(spec, settings, str(tmp_path / "lake"))
    folder = next((tmp_path / "lake" / "features").rglob("manifest.json")).parent
    (location,) = json.loads((folder / "manifest.json").read_text())["locations"]
    formulas = " ".join(column["formula"] for column in location["columns"] if "/net_load" in column["name"])
    # SYSTEM_LOCATIONS puts the load of one area and the wind of the other together, VARIABLES says which is wind.
    assert "island_grid.operator/SOUTH/load − island_grid.operator/NORTH/vindkraft" in formulas
    number, crossings = next((i, c) for i, c in enumerate(location["columns"]) if "/crossings" in c["name"])
    assert crossings["unit"] == "ferries"
    arrays = load_file(folder / "sequences.safetensors")
    values = arrays["values"][0, :, number] * arrays["deviation"][0, number] + arrays["mean"][0, number]
    observed = arrays["mask"][0, :, number].astype(bool)
    assert set(values[observed].round(3)) == {0 + 1, 1 + 2, 2 + 3}  # summed, by the hourly rule of VARIABLES


async def validate(folder: Path, settings: dict[str, Any]) -> Result:
    """The result of `gridtide validate --probe` with `settings`, in a thread, as the operator answers in this one."""
    path = folder / "api_config.json"
    path.write_text(json.dumps(settings))
    return await asyncio.to_thread(CliRunner().invoke, app, ["validate", "--probe", "--config", str(path)])


@pytest.mark.usefixtures("operator")
async def test_a_sixth_operator_is_validated(tmp_path: Path, island: Island) -> None:
    """`gridtide validate --probe` requests the last due day of each entry, and reports what the module refuses."""
    result = await validate(tmp_path, island.config(tmp_path / "lake"))
    assert result.exit_code == 0, result.output
    assert result.stdout.count("answers, 24 rows") == 2
    assert result.stdout.count("answers, 48 rows") == 1
    assert sorted(query["what"] for query in island.requests) == ["ferry", "load", "wind"]
    result = await validate(tmp_path, island.config(tmp_path / "lake", params={"what": "rain"}))
    assert result.exit_code == 2
    assert "island_load: params.what: is no series; use load or wind" in result.stderr
    assert len(island.requests) == 3


@pytest.mark.usefixtures("operator")
def test_the_problems_of_a_module_are_reported_before_any_request(tmp_path: Path, island: Island) -> None:
    """The problems that a module finds are among the problems of the configuration, with the name of the entry."""
    with pytest.raises(ConfigurationError, match="no series; use load or wind"):
        parse(island.config(tmp_path, params={"what": "rain"}))
    with pytest.raises(ConfigurationError, match=r'source: "island_grid.nobody" cannot be imported: .*set PYTHONPATH'):
        parse(island.config(tmp_path, source="island_grid.nobody"))
    with pytest.raises(ConfigurationError, match='source: "island" is unknown; use one of caiso, eia'):
        parse(island.config(tmp_path, source="island"))


def test_a_module_without_requests_or_parser_is_no_source() -> None:
    """A module without them is refused, and the message names them; all other functions have defaults."""
    module = ModuleType("half")
    with pytest.raises(TypeError, match="half is not a source: it defines no build_requests and no parse_response"):
        contract.complete(module)


@pytest.mark.parametrize("name", list_sources())
def test_every_host_leads_to_its_source(name: str) -> None:
    """Each host belongs to one source, and an unknown host to the generic source."""
    assert [find_host_source(host) for host in get_source(name).HOSTS] == [name] * len(get_source(name).HOSTS)
    assert find_host_source("grid.example") == "generic"


def test_a_generic_entry_with_current_and_placeholders_is_asked_for_a_period() -> None:
    """`/current` in a URL means a snapshot only for ISO-NE; no other upstream is sent a literal `{start}`."""
    url = "https://grid.example/current/load?from={start}&to={end}"
    api = {"name": "load", "url": url, "output_folder": "load", "time": "t", "reread": "P1D"}
    entry = parse({"apis": [api]}).apis[0]
    now = datetime(2026, 3, 1, 10, 12, tzinfo=UTC)
    period = find_scheduled_period(entry, now)
    assert period is not None
    assert (period.end, period.duration) == (datetime(2026, 3, 1, 10, tzinfo=UTC), DAY)
    (request,) = get_source("generic").build_requests(entry, period)
    assert request.url == "https://grid.example/current/load?from=2026-02-28T10%3A00%3A00Z&to=2026-03-01T10%3A00%3A00Z"
    current = parse({"apis": [{"name": "lmp", "url": ISO_NE, "output_folder": "lmp"}]}).apis[0]
    assert find_scheduled_period(current, now) is None


ISO_NE = "https://webservices.iso-ne.com/api/v1.1/hourlylmp/da/final/current/location/4000"
