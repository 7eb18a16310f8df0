"""The statement of a request: built by SQLAlchemy from the names of columns or the text of a query, never with values.

request.body    {"query": …} or {"table": …, "columns": …, "time": …}, with "updated" for changes,
                    and the clock of its times
request.params  the values of the parameters: JSON, and the bounds of the period as ISO 8601
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from gridtide.sources.contract import Request
from gridtide.sources.sql import BOUNDS, CHANGES, enclose_casts

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement
    from sqlalchemy.engine import Dialect


@dataclass(frozen=True, slots=True)
class Statement:
    """What a request asks of a database: its description, and the values of its parameters by name. The bounds are
    moments in UTC; `timezone` is the clock of times without an offset."""

    description: Mapping[str, Any]
    values: Mapping[str, Any]

    @property
    def timezone(self) -> str:
        """The name of the time zone of times without an offset."""
        return str(self.description["timezone"])

    def bind_moments(self) -> Statement:
        """Returns the statement for a database that compares moments with times of any type, by the time zone of the
        session; bounds of texts or numbers are written as these."""
        return self._bind(lambda moment: moment)

    def bind_clock(self) -> Statement:
        """Returns the statement for any other database, whose times are on a clock and have no offset."""
        zone = ZoneInfo(self.timezone)
        return self._bind(lambda moment: moment.astimezone(zone).replace(tzinfo=None))

    def bind_texts(self) -> Statement:
        """Returns the statement for a database without a type of times, as in `2024-03-10 00:00:00`."""
        zone = ZoneInfo(self.timezone)
        return self._bind(lambda moment: f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}")

    def _bind(self, write: Any) -> Statement:
        time_format = self.description["time_format"]
        zone = ZoneInfo(self.timezone)

        def convert(moment: datetime) -> Any:
            if time_format in ("unix", "unix_ms"):
                return int(moment.timestamp() * (1000 if time_format == "unix_ms" else 1))
            return moment.astimezone(zone).strftime(time_format) if time_format else write(moment)

        bounds = {name: convert(self.values[name]) for name in _MOMENTS if name in self.values}
        return Statement(self.description, {**self.values, **bounds})

    def build_clause(self) -> ClauseElement:
        """Returns the statement with its parameters, for any dialect of SQL."""
        import sqlalchemy

        description = self.description
        if "query" in description:
            clause = sqlalchemy.text(enclose_casts(description["query"]))
            names = [name for name in self.values if name in clause._bindparams]
            return clause.bindparams(
                *(
                    sqlalchemy.bindparam(name, self.values[name], expanding=isinstance(self.values[name], list))
                    for name in names
                )
            )
        schema, _, name = description["table"].rpartition(".")
        columns: list[Any] = [sqlalchemy.column(column) for column in description["columns"]] or [sqlalchemy.text("*")]
        label: Any = sqlalchemy.column(description["time"])
        condition = _is_between(label, BOUNDS, self.values)
        if "updated" in description:
            condition = ~condition & _is_between(sqlalchemy.column(description["updated"]), CHANGES, self.values)
        rows = sqlalchemy.table(name, schema=schema or None)
        return sqlalchemy.select(*columns).select_from(rows).where(condition)

    def compile_numbered(self) -> tuple[str, Sequence[Any]]:
        """Returns the text of the statement with the parameters `$1`, `$2`, …, and their values, as PostgreSQL and
        DuckDB take them."""
        from sqlalchemy.dialects.postgresql.base import PGDialect

        dialect: Dialect = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        compiled = self.build_clause().compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        names: Sequence[str] = compiled.positiontup or ()  # type: ignore[attr-defined]
        return str(compiled), [compiled.params[name] for name in names]


_MOMENTS = (*BOUNDS, *CHANGES)


def _is_between(column: Any, names: Sequence[str], values: Mapping[str, Any]) -> Any:
    import sqlalchemy

    bounds = [sqlalchemy.bindparam(name, values[name], type_=sqlalchemy.types.NullType()) for name in names]
    return (column >= bounds[0]) & (column < bounds[1])


def read_statement(request: Request) -> Statement:
    """Returns the statement that `request` describes."""
    values = {
        name: datetime.fromisoformat(text) if name in _MOMENTS else json.loads(text) for name, text in request.params
    }
    return Statement(json.loads(request.body or "{}"), values)
