"""The `checks` of a configuration: what series of different entries must be like together.

"checks": [
  {"kind": "sum", "total": "eia/*/net_generation", "plus": "eia/*/generation_*", "share": 0.01},
  {"kind": "compare", "series": "eia/ISNE/demand", "reference": "iso_ne/32/load", "bias": 0.03}
]

The flow `quality` judges stored values by them; no collection waits for them, and no row is rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from gridtide.entries.expect.rules import Amount, CrossRule, SeriesPattern
from gridtide.entries.structs import StrictStruct


class CompareRule(StrictStruct, frozen=True, kw_only=True):
    """In each month, `series` agree with their `reference`: the mean differs at most by the share `bias`, and by
    `drift` more or less than in the month before, the hours correlate at least by `correlation`, and neither is hours
    late; forecasts (`forecast`) are not bad for that."""

    kind: Literal["compare"]
    series: SeriesPattern
    reference: SeriesPattern
    bias: Amount = 0.05
    correlation: Annotated[float, Meta(ge=-1, le=1)] = 0.95
    drift: Amount = 0.02
    forecast: bool = False

    @property
    def name(self) -> str:
        """Its kind and its series, as reports name it."""
        return f"comparison of {self.series} with {self.reference}"


Check = CrossRule | CompareRule


def find_check_problems(checks: Sequence[Check]) -> list[str]:
    """Returns a problem for each of `checks` that says what happens to rows, of which it has none."""
    return [
        f'checks[{number}]: rows that are stored are neither rejected nor refused; leave out "otherwise"'
        for number, check in enumerate(checks)
        if getattr(check, "otherwise", "warn") != "warn"
    ]
