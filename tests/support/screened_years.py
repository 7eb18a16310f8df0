"""Years of demand of 54 balancing authorities that others have screened, if they are beside the project."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from tests.support.shared import SHARED

SCREENED_YEARS = SHARED / "screening" / "eia_930_screened_2015_2020.parquet"
needs_screened_years = pytest.mark.skipif(
    not SCREENED_YEARS.is_file(), reason="the screened years are not beside the project"
)


@dataclass(frozen=True)
class ScreenedYears:
    """R regions over T hours: `values` and `cleaned` (R, T), NaN where missing; `category` (R, T): what the published
    screening said; `anomalous` (R, T): where it is neither OKAY nor missing."""

    values: npt.NDArray[np.float64]
    cleaned: npt.NDArray[np.float64]
    category: npt.NDArray[np.str_]
    anomalous: npt.NDArray[np.bool_]


def load_screened_years(every: int = 1) -> ScreenedYears:
    """Returns the years of every `every`-th region, in the order of their names."""
    table = pq.read_table(SCREENED_YEARS)
    regions = sorted(set(table["region"].to_pylist()))[::every]
    hours = table["date_time"].to_numpy().astype("datetime64[h]").astype(np.int64)
    row = hours - hours.min()
    numbers = {region: number for number, region in enumerate(regions)}
    number = np.array([numbers.get(region, -1) for region in table["region"].to_pylist()])
    cells = number[number >= 0], row[number >= 0]
    shape = len(regions), int(row.max()) + 1

    def grid(column: str) -> npt.NDArray[np.float64]:
        values = np.full(shape, np.nan)
        values[cells] = table[column].to_numpy()[number >= 0]
        return values

    category = np.full(shape, "MISSING", "U24")
    category[cells] = np.array([name or "MISSING" for name in table["category"].to_pylist()])[number >= 0]
    return ScreenedYears(
        grid("raw demand (MW)"),
        grid("cleaned demand (MW)"),
        category,
        ~np.isin(category, ["OKAY", "MISSING"]),
    )
