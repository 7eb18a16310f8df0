"""What ten years of all balancing authorities and of nodal prices would take on AWS, from measured unit costs.

python -m benchmarks.projection prints the tables of docs/scaling.md. Every figure that goes in has a name here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

YEARS = 10
HOURS = YEARS * 8766
MONTHS = YEARS * 12


@dataclass(frozen=True)
class Dataset:
    """`series` values every `minutes`, collected in files of `chunk` hours, each answered by `pages` requests, of
    which the upstream takes `rate` a second. A million rows take `ingest` CPU seconds; a row takes `file` bytes of a
    file, and `month` bytes once it is compacted."""

    name: str
    series: int
    minutes: int
    chunk: int
    pages: int
    rate: float
    ingest: float
    file: float
    month: float

    @property
    def rows(self) -> int:
        """Over all years."""
        return self.series * HOURS * 60 // self.minutes

    @property
    def files(self) -> int:
        """Over all years."""
        return -(-HOURS // self.chunk)

    @property
    def upstream_hours(self) -> float:
        """How long the upstream's quota makes the backfill at least."""
        return self.files * self.pages / self.rate / 3600


@dataclass(frozen=True)
class Units:
    """Measured on two shared cores of one machine, those marked so by the sections of `python -m benchmarks`, and
    `file` and `month` of EIA on its values of 2019."""

    compact: float = 1.5
    """CPU seconds for a million rows: 1.0 (`cluster`), and half for the files near its ends, which two months read."""
    raw: float = 11.0
    """Bytes a row in kept bodies: zips of OASIS."""
    memory: float = 135.0
    """Bytes a row that a compaction of a month holds, beside `base` (`cluster`)."""
    base: float = 0.65
    """GB of a worker whatever it does."""
    task: float = 0.15
    """CPU seconds of worker and flow for a task run (`cluster`)."""
    flow: float = 0.042
    """CPU seconds of these that the flow's process takes: it hands out no more than one in that time."""
    server: float = 0.009
    """CPU seconds of the Prefect server for a task run (`prefect_overhead`)."""
    record: float = 20e3
    """Bytes of the Prefect server's database for a task run."""
    cell: float = 0.07
    """CPU seconds for a million cells (hour × column) of a training set (`cluster`)."""
    page: int = 1000
    """Names in an answer to a LIST."""


@dataclass(frozen=True)
class Prices:
    """Dollars, list prices of us-east-1: aws.amazon.com/fargate/pricing and aws.amazon.com/s3/pricing have today's."""

    vcpu: float = 0.04048
    """An hour of a Fargate vCPU, Linux on x86."""
    gb: float = 0.004445
    """An hour of a GB of its memory."""
    stored: float = 0.023
    """A month of a GB in S3 Standard."""
    put: float = 0.005e-3
    """A PUT or LIST."""
    get: float = 0.0004e-3
    """A GET or HEAD."""


SIZES = ((1, 8), (2, 16), (4, 30), (8, 60), (16, 120))
"""vCPU of a Fargate task, and the GB it may have at most."""

DATASETS = (
    Dataset("EIA: 65 authorities, by type, fuel and neighbour", 1_100, 60, 60 * 24, 317, 2.5, 1.8, 2.7, 1.7),
    Dataset("CAISO day-ahead: 16,500 nodes × 5", 82_500, 60, 12, 1, 0.2, 1.15, 8.2, 5.6),
    Dataset("CAISO 5-minute: 16,500 nodes × 5", 82_500, 5, 1, 1, 0.2, 1.15, 8.2, 5.6),
    Dataset("ISO-NE day-ahead: 1,200 nodes × 4", 4_800, 60, 24, 1, 5.0, 1.8, 8.2, 5.6),
    Dataset("ISO-NE 5-minute: 1,200 nodes × 4", 4_800, 5, 24, 1, 5.0, 1.8, 8.2, 5.6),
)
UNITS, PRICES = Units(), Prices()
WORKERS = 8
"""Fargate tasks that work at once."""

SET_LOCATIONS, SET_COLUMNS = 65, 200
"""Of a training set of all balancing authorities."""


def cpu_hours(one: Dataset) -> tuple[float, float, float]:
    """CPU hours to collect, to compact, and for task runs."""
    tasks = one.files + MONTHS
    return one.rows / 1e6 * one.ingest / 3600, one.rows / 1e6 * UNITS.compact / 3600, tasks * UNITS.task / 3600


def gb(one: Dataset) -> tuple[float, float, float]:
    """GB of files, of months, and of bodies while they are kept."""
    return one.rows * one.file / 1e9, one.rows * one.month / 1e9, one.rows * UNITS.raw / 1e9


def requests(one: Dataset) -> tuple[int, int, int]:
    """PUT, GET and LIST requests to collect without bodies and compact, and the LISTs that keeping bodies adds.

    Each share lists the files; each collection lists the bodies of those before it.
    """
    put = one.files + 2 * MONTHS
    twice = min(2 * one.files, one.files + MONTHS * -(-16 * 24 // one.chunk))
    listed = (MONTHS + 3) * -(-one.files // UNITS.page)
    bodies = one.files * one.files // (2 * UNITS.page) + one.files
    return put + listed, twice + 2 * MONTHS, bodies


def memory(one: Dataset) -> float:
    """GB that a worker needs to compact a month."""
    return UNITS.base + one.rows / MONTHS * UNITS.memory / 1e9


def size(needed: float) -> tuple[int, float]:
    """vCPU and GB of the smallest Fargate task with `needed` GB."""
    return next((vcpu, max(needed, 2.0 * vcpu)) for vcpu, most in SIZES if needed <= most)


def hours(one: Dataset) -> float:
    """How long all of it takes on `WORKERS`: to collect no shorter than the quota, then to compact."""
    collect, compact, tasks = cpu_hours(one)
    return max(one.upstream_hours, (collect + tasks) / WORKERS) + compact / WORKERS


def dollars(one: Dataset) -> tuple[float, float]:
    """Dollars to collect and compact once, and to store for a month, without bodies. A worker that waits for the
    upstream is paid, too."""
    collect, compact, tasks = cpu_hours(one)
    vcpu, room = size(memory(one))
    put, get, _ = requests(one)
    collecting = max(one.upstream_hours, collect + tasks)
    once = collecting * (PRICES.vcpu + 2 * PRICES.gb) + compact * (vcpu * PRICES.vcpu + room * PRICES.gb)
    files, months, _ = gb(one)
    return once + put * PRICES.put + get * PRICES.get, (files + months) * PRICES.stored


COLUMNS: tuple[tuple[str, Callable[[Dataset], str]], ...] = (
    ("million rows", lambda one: f"{one.rows / 1e6:,.0f}"),
    ("files", lambda one: f"{one.files:,}"),
    ("upstream's quota, h", lambda one: f"{one.upstream_hours:,.1f}"),
    ("collect, vCPU h", lambda one: f"{cpu_hours(one)[0]:,.1f}"),
    ("compact, vCPU h", lambda one: f"{cpu_hours(one)[1]:,.1f}"),
    (f"on {WORKERS} workers, h", lambda one: f"{hours(one):,.1f}"),
    ("task runs, vCPU h", lambda one: f"{cpu_hours(one)[2]:,.1f}"),
    ("files + months, GB", lambda one: f"{gb(one)[0]:,.1f} + {gb(one)[1]:,.1f}"),
    ("PUT and LIST; GET", lambda one: "{:,}; {:,}".format(*requests(one)[:2])),
    ("a month: file, memory, GB", lambda one: f"{gb(one)[1] / MONTHS:,.2f}; {memory(one):,.1f}"),
    ("once; a month, $", lambda one: "{:,.2f}; {:,.2f}".format(*dollars(one))),
)


def table(datasets: Sequence[Dataset] = DATASETS) -> str:
    """The datasets, as Markdown."""
    lines = [["", *(one.name for one in datasets)], ["---", *("---:" for _ in datasets)]]
    lines += [[name, *(show(one) for one in datasets)] for name, show in COLUMNS]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def limits(datasets: Sequence[Dataset] = DATASETS) -> list[str]:
    """All of it together, and where the next limits lie: sentences in Markdown."""
    rows, tasks = sum(one.rows for one in datasets), sum(one.files + MONTHS for one in datasets)
    busy = sum(sum(cpu_hours(one)) for one in datasets)
    once, monthly = (sum(part) for part in zip(*map(dollars, datasets), strict=True))
    slowest = max(datasets, key=lambda one: one.upstream_hours)
    largest = max(datasets, key=memory)
    most = max(datasets, key=lambda one: requests(one)[2])
    cells, base = SET_LOCATIONS * SET_COLUMNS * HOURS, SET_COLUMNS * HOURS * 5 / 1e9
    return [
        f"All together: {rows / 1e9:,.1f} G rows, {busy:,.0f} vCPU hours, ${once:,.0f} once, ${monthly:,.0f} a month.",
        f"**The upstream is the first limit.** {slowest.name} takes {slowest.upstream_hours / 24:,.1f} days at one "
        f"request in {1 / slowest.rate:,.0f} seconds, on however many workers, of whose time it needs "
        f"{cpu_hours(slowest)[0] + cpu_hours(slowest)[2]:,.0f} vCPU hours.",
        f"**Then the size of a month.** One of {largest.name} has {largest.rows / MONTHS / 1e6:,.0f} M rows: a worker "
        f"needs {memory(largest):,.0f} GB for {cpu_hours(largest)[1] / MONTHS:,.1f} h to compact it, which is a "
        f"Fargate task of {size(memory(largest))[0]} vCPU. Its file has {gb(largest)[1] / MONTHS:,.1f} GB, and whoever "
        "reads one node fetches all of it.",
        f"**Then listing.** A collection lists the bodies that its entry keeps: with a file an hour "
        f"{requests(most)[2] / 1e6:,.1f} M requests (${requests(most)[2] * PRICES.put:,.0f}), "
        f"{most.files // UNITS.page} one after the other for the last, and {gb(most)[2]:,.0f} GB of bodies. "
        'Set `"raw": false` for such a backfill, as this page assumes.',
        f"**Prefect is far off.** {tasks:,} task runs are {tasks * UNITS.record / 1e9:,.1f} GB in its database and "
        f"{tasks * UNITS.server / 3600:,.1f} CPU hours of its server. A flow hands out {1 / UNITS.flow:,.0f} a second "
        f"at most, which keeps {WORKERS} workers busy with pieces of {WORKERS * UNITS.flow:,.1f} s or more.",
        f"A training set of {SET_LOCATIONS} authorities, {YEARS} years and {SET_COLUMNS} columns has "
        f"{cells / 1e9:,.1f} G cells: {cells / 1e6 * UNITS.cell / 60:,.1f} CPU minutes to derive them, and "
        f"{SET_LOCATIONS * base:,.1f} GB that the flow holds, twice while it puts them together.",
    ]


def page() -> str:
    """What docs/scaling.md shows."""
    return "\n\n".join([table(), "\n".join(f"- {line}" for line in limits())])


if __name__ == "__main__":
    print(page())
