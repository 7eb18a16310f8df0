"""Coverage for people: a bar of blocks, and the missing periods."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gridtide.coverage import failed_periods, gaps
from gridtide.coverage.answered import clip_to_due
from gridtide.coverage.scopes import read_answers
from gridtide.entries.entry import Entry
from gridtide.lake import Lake, soundness
from gridtide.lake.soundness import CheckedFiles
from gridtide.periods import Period, missing

WIDTH = 20
"""The number of cells in a bar."""


FAILED = "×"


LEVELS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The parts of `span` that are `complete`, the parts that are `missing`, and the parts whose requests `failed`."""

    span: Period
    complete: tuple[Period, ...]
    failed: tuple[Period, ...] = ()

    @property
    def missing(self) -> list[Period]:
        """The parts of the span that are not complete."""
        return missing(self.span, self.complete)

    @property
    def share(self) -> float:
        """The complete share of the span, 0 to 1."""
        return 1 - sum((period.duration for period in self.missing), timedelta()) / self.span.duration

    def __str__(self) -> str:
        picture = self.picture()
        return f"{self.span.start:%Y-%m-%d} {picture} {self.span.end:%Y-%m-%d} {int(100 * self.share):>3}%"

    def picture(self, width: int = WIDTH) -> str:
        """Returns the span as a bar of `width` cells. The height of a cell is its complete share; `×` means a failed
        request.

        >>> day = lambda n: EPOCH + n * timedelta(days=1)
        >>> Coverage(Period(day(0), day(4)), (Period(day(0), day(2)),), (Period(day(3), day(4)),)).picture(4)
        '██ ×'
        """
        cell_length = self.span.duration / width
        cells = [
            Period(self.span.start + index * cell_length, self.span.start + (index + 1) * cell_length)
            for index in range(width)
        ]
        return "".join(self._cell(cell) for cell in cells)

    def _cell(self, cell: Period) -> str:
        """Returns the block of a cell: empty if nothing is complete, full if all is, and between for any part."""
        missing_periods = missing(cell, self.complete)
        if any(period.overlaps(failed) for period in missing_periods for failed in self.failed):
            return FAILED
        share = 1 - sum((period.duration for period in missing_periods), timedelta()) / cell.duration
        if not missing_periods or not share:
            return LEVELS[-1] if share else LEVELS[0]
        return LEVELS[min(len(LEVELS) - 2, 1 + int(share * (len(LEVELS) - 2)))]


async def measure_coverage(
    lake: Lake, entry: Entry, period: Period, now: datetime, before: CheckedFiles | None = None
) -> Coverage | None:
    """Measures how much of `period`, as far as due at `now`, the lake covers without damaged files.

    What was checked `before` is not read again. Returns None if nothing is due. Raises `StorageError`.
    """
    span = clip_to_due(entry, period, now)
    if span is None:
        return None
    files = await lake.list_files(entry.output_folder, entry.file_prefix)
    checked = await soundness.check_files(lake, files, span, before)
    open_parts = gaps.find_gaps(entry, span, now, read_answers(entry, files, checked, now))
    failed = tuple(failure.period for failure in await failed_periods.recall_failures(lake, entry))
    return Coverage(span, tuple(missing(span, [part.period for part in open_parts])), failed)
