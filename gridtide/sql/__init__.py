"""SQL over the lake: views of DuckDB with the rows that `gridtide.curated.read` returns."""

from gridtide.sql.connecting import connect

__all__ = ["connect"]
