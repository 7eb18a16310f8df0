"""Calculates the cost of ten years of all balancing authorities and of nodal prices on AWS, from measured unit costs.

`python -m benchmarks.projection` prints the tables of docs/scaling.md. Every figure of the calculation has a name here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

YEARS = 10
HOURS = YEARS * 8766
MONTHS = YEARS * 12


@dataclass(frozen=True)
class Dataset:
    """A dataset of `series` values every `minutes`, collected in files of `chunk` hours with `pages` requests each.

    The upstream allows `rate` requests per second. A million rows take `ingest` CPU seconds. A row takes `file` bytes
    in a collected file, and `month` bytes in a compacted month."""

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
        """The rows of all years."""
        return self.series * HOURS * 60 // self.minutes

    @property
    def files(self) -> int:
        """The files of all years."""
        return -(-HOURS // self.chunk)

    @property
    def upstream_hours(self) -> float:
        """The hours that the backfill takes at least because of the upstream's quota."""
        return self.files * self.pages / self.rate / 3600


@dataclass(frozen=True)
class Units:
    """Unit costs, measured on two shared cores of one machine. A name in brackets is the section of
    `python -m benchmarks` that measures the figure; `file` and `month` of EIA were measured on its values of 2019."""

    compact: float = 1.5
    """CPU seconds for a million rows: 1.0 (`cluster`), and a half more for files that two months read."""
    raw: float = 11.0
    """Bytes per row of stored bodies: zips of OASIS."""
    memory: float = 135.0
    """Bytes of memory per row in a compaction of a month, in addition to `base` (`cluster`)."""
    base: float = 0.65
    """GB of memory of an idle worker."""
    task: float = 0.017
    """CPU seconds of worker and flow for a call that does nothing (`cluster`)."""
    flow: float = 0.014
    """CPU seconds of these in the busiest process, the flow, which limits the rate at which it starts task runs."""
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
    """List prices of us-east-1 in dollars; see aws.amazon.com/fargate/pricing and aws.amazon.com/s3/pricing."""

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
"""The sizes of Fargate tasks: vCPU, and the maximum of GB."""

DATASETS = (
    Dataset("EIA: 65 authorities, by type, fuel and neighbour", 1_100, 60, 60 * 24, 317, 2.5, 1.8, 2.7, 1.7),
    Dataset("CAISO day-ahead: 16,500 nodes × 5", 82_500, 60, 12, 1, 0.2, 1.15, 8.2, 5.6),
    Dataset("CAISO 5-minute: 16,500 nodes × 5", 82_500, 5, 1, 1, 0.2, 1.15, 8.2, 5.6),
    Dataset("ISO-NE day-ahead: 1,200 nodes × 4", 4_800, 60, 24, 1, 5.0, 1.8, 8.2, 5.6),
    Dataset("ISO-NE 5-minute: 1,200 nodes × 4", 4_800, 5, 24, 1, 5.0, 1.8, 8.2, 5.6),
)
UNITS, PRICES = Units(), Prices()
WORKERS = 8
"""The number of Fargate tasks that run at a time."""

SET_LOCATIONS, SET_COLUMNS = 65, 200
"""The size of a training set of all balancing authorities."""


def cpu_hours(dataset: Dataset) -> tuple[float, float, float]:
    """CPU hours to collect, to compact, and for task runs."""
    tasks = dataset.files + MONTHS
    return (
        dataset.rows / 1e6 * dataset.ingest / 3600,
        dataset.rows / 1e6 * UNITS.compact / 3600,
        tasks * UNITS.task / 3600,
    )


def gb(dataset: Dataset) -> tuple[float, float, float]:
    """GB of files, of months, and of bodies, as long as they are stored."""
    return dataset.rows * dataset.file / 1e9, dataset.rows * dataset.month / 1e9, dataset.rows * UNITS.raw / 1e9


def requests(dataset: Dataset) -> tuple[int, int, int]:
    """The numbers of PUT and LIST, and of GET requests to collect without bodies and compact, and of the LISTs that
    bodies add.

    Each share lists the files; each collection lists the bodies of earlier ones.
    """
    put = dataset.files + 2 * MONTHS
    twice = min(2 * dataset.files, dataset.files + MONTHS * -(-16 * 24 // dataset.chunk))
    listed = (MONTHS + 3) * -(-dataset.files // UNITS.page)
    bodies = dataset.files * dataset.files // (2 * UNITS.page) + dataset.files
    return put + listed, twice + 2 * MONTHS, bodies


def memory(dataset: Dataset) -> float:
    """GB that a worker needs to compact a month."""
    return UNITS.base + dataset.rows / MONTHS * UNITS.memory / 1e9


def size(gigabytes: float) -> tuple[int, float]:
    """vCPU and GB of the smallest Fargate task with `gigabytes`."""
    return next((vcpu, max(gigabytes, 2.0 * vcpu)) for vcpu, most in SIZES if gigabytes <= most)


def hours(dataset: Dataset) -> float:
    """The hours to collect, at least those of the quota, and then to compact, on `WORKERS`."""
    collect, compact, tasks = cpu_hours(dataset)
    return max(dataset.upstream_hours, (collect + tasks) / WORKERS) + compact / WORKERS


def dollars(dataset: Dataset) -> tuple[float, float]:
    """Dollars to collect and compact once, and to store for a month, without bodies. They include the time in which a
    worker waits for the upstream."""
    collect, compact, tasks = cpu_hours(dataset)
    vcpu, room = size(memory(dataset))
    put, get, _ = requests(dataset)
    collecting = max(dataset.upstream_hours, collect + tasks)
    once = collecting * (PRICES.vcpu + 2 * PRICES.gb) + compact * (vcpu * PRICES.vcpu + room * PRICES.gb)
    files, months, _ = gb(dataset)
    return once + put * PRICES.put + get * PRICES.get, (files + months) * PRICES.stored


COLUMNS: tuple[tuple[str, Callable[[Dataset], str]], ...] = (
    ("million rows", lambda dataset: f"{dataset.rows / 1e6:,.0f}"),
    ("files", lambda dataset: f"{dataset.files:,}"),
    ("upstream's quota, h", lambda dataset: f"{dataset.upstream_hours:,.1f}"),
    ("collect, vCPU h", lambda dataset: f"{cpu_hours(dataset)[0]:,.1f}"),
    ("compact, vCPU h", lambda dataset: f"{cpu_hours(dataset)[1]:,.1f}"),
    (f"on {WORKERS} workers, h", lambda dataset: f"{hours(dataset):,.1f}"),
    ("task runs, vCPU h", lambda dataset: f"{cpu_hours(dataset)[2]:,.1f}"),
    ("files + months, GB", lambda dataset: f"{gb(dataset)[0]:,.1f} + {gb(dataset)[1]:,.1f}"),
    ("PUT and LIST; GET", lambda dataset: "{:,}; {:,}".format(*requests(dataset)[:2])),
    ("a month: file, memory, GB", lambda dataset: f"{gb(dataset)[1] / MONTHS:,.2f}; {memory(dataset):,.1f}"),
    ("once; a month, $", lambda dataset: "{:,.2f}; {:,.2f}".format(*dollars(dataset))),
)


def table(datasets: Sequence[Dataset] = DATASETS) -> str:
    """The table of the datasets as Markdown."""
    lines = [["", *(dataset.name for dataset in datasets)], ["---", *("---:" for _ in datasets)]]
    lines += [[name, *(show(dataset) for dataset in datasets)] for name, show in COLUMNS]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def limits(datasets: Sequence[Dataset] = DATASETS) -> list[str]:
    """The totals and the limits, as sentences in Markdown."""
    rows, tasks = sum(dataset.rows for dataset in datasets), sum(dataset.files + MONTHS for dataset in datasets)
    busy = sum(sum(cpu_hours(dataset)) for dataset in datasets)
    once, monthly = (sum(part) for part in zip(*map(dollars, datasets), strict=True))
    slowest = max(datasets, key=lambda dataset: dataset.upstream_hours)
    largest = max(datasets, key=memory)
    most = max(datasets, key=lambda dataset: requests(dataset)[2])
    cells, base = SET_LOCATIONS * SET_COLUMNS * HOURS, SET_COLUMNS * HOURS * 5 / 1e9
    return [
        f"In total: {rows / 1e9:,.1f} G rows, {busy:,.0f} vCPU hours, ${once:,.0f} once, ${monthly:,.0f} a month.",
        f"**The upstream is the first limit.** {slowest.name} takes {slowest.upstream_hours / 24:,.1f} days at one "
        f"request in {1 / slowest.rate:,.0f} seconds, with any number of workers. The workers are busy for only "
        f"{cpu_hours(slowest)[0] + cpu_hours(slowest)[2]:,.0f} vCPU hours of that time.",
        f"**The second limit is the size of a month.** A month of {largest.name} has "
        f"{largest.rows / MONTHS / 1e6:,.0f} M rows. To compact it, a worker needs {memory(largest):,.0f} GB for "
        f"{cpu_hours(largest)[1] / MONTHS:,.1f} h, a Fargate task of {size(memory(largest))[0]} vCPU. Its file has "
        f"{gb(largest)[1] / MONTHS:,.1f} GB, and a reader of one node fetches all of it.",
        f"**The third limit is listing.** A collection lists the stored bodies of its entry. With a file per hour, "
        f"this takes {requests(most)[2] / 1e6:,.1f} M requests (${requests(most)[2] * PRICES.put:,.0f}), of which the "
        f"last collection sends {most.files // UNITS.page} one after the other, and {gb(most)[2]:,.0f} GB of bodies. "
        'Set `"raw": false` for such a backfill; the figures above assume it.',
        f"**Prefect is not a limit.** {tasks:,} task runs take {tasks * UNITS.record / 1e9:,.1f} GB in its database "
        f"and {tasks * UNITS.server / 3600:,.1f} CPU hours of its server. A flow starts at most {1 / UNITS.flow:,.0f} "
        f"task runs per second, so {WORKERS} workers are busy if a piece takes {WORKERS * UNITS.flow:,.1f} s or more.",
        f"A training set of {SET_LOCATIONS} authorities, {YEARS} years and {SET_COLUMNS} columns has "
        f"{cells / 1e9:,.1f} G cells. It takes {cells / 1e6 * UNITS.cell / 60:,.1f} CPU minutes to derive them. "
        f"The flow needs {SET_LOCATIONS * base:,.1f} GB of memory, and twice that while it joins the locations.",
    ]


def page() -> str:
    """The table and the sentences of docs/scaling.md."""
    return "\n\n".join([table(), "\n".join(f"- {line}" for line in limits())])


if __name__ == "__main__":
    print(page())
