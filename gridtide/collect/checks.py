"""What the pages of one collection must keep: each key once, the upstream's own counts, the entry's expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, IncompleteError
from gridtide.periods import Period
from gridtide.sources.contract import Page, Request

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.lake import Draft


ABSENT_NAMED = 5
"""How many requests that the upstream has nothing for a warning names."""


NOTHING = (
    'the upstream has nothing for this period; it is asked again while "reread" lasts, later only without its file'
)


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """A page with each key once, the fingerprints of its rows, and how many exact duplicates there were."""

    page: Page
    marks: np.ndarray
    repeated: int = 0
    absent: bool = False
    """Whether the upstream says by its status that it has nothing for the request."""

    @property
    def following(self) -> Sequence[Request]:
        """What is to be asked next."""
        return self.page.following


class PageChecks:
    """Writes pages to a draft and holds them to what the upstream and the entry promise.

    Use it as a context manager: the draft is gone at its end.
    """

    def __init__(self, entry: Entry, period: Period | None) -> None:
        self.entry, self.period = entry, period
        self.draft = self._new_draft()
        self.marks: list[np.ndarray] = []
        self.repeated = 0
        self.received: Counter[Period | None] = Counter()
        self.totals: dict[Period | None, set[int]] = {}
        self.elsewhere: dict[Period, bool] = {}
        self.absent: list[str] = []
        self.warnings: list[str] = []

    def __enter__(self) -> PageChecks:
        return self

    def __exit__(self, *exc: object) -> None:
        self.draft.__exit__(*exc)

    def add(self, request: Request, parsed: ParsedPage) -> None:
        """Append the observations of a page and remember its counts."""
        from gridtide.observations import expectations

        page = parsed.page
        self.marks.append(parsed.marks)
        self.repeated += parsed.repeated
        if parsed.absent:
            self.absent.append(request.label or "the snapshot")
        self.received[request.period] += page.received
        if page.total is not None:
            self.totals.setdefault(request.period, set()).add(page.total)
        asked = request.period or self.period
        if asked and page.observations.num_rows and self.elsewhere.get(asked, True):
            self.elsewhere[asked] = not expectations.overlaps_period(page.observations, asked)
        self.draft.append(page.observations, parsed.marks)
        for piece in page.more:
            self._add_piece(piece)

    def _add_piece(self, piece: pa.Table) -> None:
        """Append a further piece of a page too large to be read at once, in itself with each key once."""
        from gridtide.observations.identity import drop_duplicates, fingerprints, has_repeats

        marks = fingerprints(piece)
        if has_repeats([marks]):
            whole = drop_duplicates(piece, self.entry.name)
            self.repeated += piece.num_rows - whole.num_rows
            piece, marks = whole, fingerprints(whole)
        self.marks.append(marks)
        self.draft.append(piece, marks)

    def complete(self) -> Draft:
        """The draft with each key once. Raises `IncompleteError` or `FormatError`."""
        self._check_counts()
        repeated = self.repeated + self._drop_repeats()
        self._check_repeats(repeated)
        self._check_expected()
        if repeated:
            self.warnings.append(f"{repeated} exact duplicates collapsed")
        if self.absent:
            named = ", ".join(self.absent[:ABSENT_NAMED]) + ", …" * (len(self.absent) > ABSENT_NAMED)
            self.warnings.append(f"the upstream has nothing, by its status, for {named}")
        if self.period is not None and not self.draft.rows:
            self.warnings.append(NOTHING)
        if any(self.elsewhere.values()):
            self.warnings.append(self._about_something_else())
        return self.draft

    def _about_something_else(self) -> str:
        """Let the file answer no period, as what was asked was not answered; returns what to say of that."""
        self.draft.provenance = replace(self.draft.provenance, period=None)
        first = next(asked for asked, elsewhere in self.elsewhere.items() if elsewhere)
        return f"of what the upstream answered for {first} nothing lies in it: the rows are kept, the period stays open"

    def _check_counts(self) -> None:
        """Rows received are as many as the upstream's own count, which stays the same on every page."""
        for period, totals in self.totals.items():
            if len(totals) > 1:
                happened = f"the upstream's count changed while it was paged, from {min(totals)} to {max(totals)}"
                raise IncompleteError(self.entry.name, f"{period or 'snapshot'}: {happened}", "Try again")
            if totals != {self.received[period]}:
                happened = f"{self.received[period]} rows received, the upstream says there are {max(totals)}"
                raise IncompleteError(self.entry.name, f"{period or 'snapshot'}: {happened}", "Try again")

    def _check_repeats(self, repeated: int) -> None:
        """A row that comes twice stands where another is missing, as the rows are as many as the upstream counts."""
        if repeated and self.totals:
            total = sum(map(max, self.totals.values()))
            happened = f"{total - repeated} different rows received, the upstream says there are {total}"
            raise IncompleteError(self.entry.name, f"{self.period or 'snapshot'}: {happened}", "Try again")

    def _drop_repeats(self) -> int:
        """Where pages share a key, make the whole distinct, as each page is in itself; how many rows
        that took away."""
        from gridtide.observations.identity import drop_duplicates, has_repeats

        before = self.draft.rows
        if has_repeats(self.marks):
            whole = drop_duplicates(self.draft.table(), self.entry.name)
            self.draft.__exit__(None, None, None)
            self.draft = self._new_draft()
            self.draft.append(whole)
        return before - self.draft.rows

    def _check_expected(self) -> None:
        expect = self.entry.expect
        if self.draft.rows < expect.minimum_rows:
            happened = f"{self.draft.rows} rows, at least {expect.minimum_rows} are expected"
            raise IncompleteError(self.entry.name, happened, 'Check the upstream, or "expect"')
        if expect.required or expect.ranges:
            from gridtide.observations import expectations

            broken = expectations.find_unexpected(self.draft.table(), expect.required, expect.ranges)
            if broken:
                raise FormatError(self.entry.name, broken, 'Check the upstream, or "expect"')

    def _new_draft(self) -> Draft:
        from gridtide.lake import Draft, Provenance

        form: Literal["parquet", "csv"] = "csv" if self.entry.format == "csv" else "parquet"
        return Draft(form, Provenance(self.entry.name, self.period, self.entry.fingerprint))
