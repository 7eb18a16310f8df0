"""The metadata of a file: in a Parquet footer under `gridtide.*`, or else in a JSON sidecar."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from gridtide import __version__
from gridtide.periods import Period

_FOOTER = "gridtide."


_SIZE = "size"


_SHA256 = "sha256"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a file's content comes from: the entry, the requested period and scope, and the entry's fingerprint."""

    entry: str
    period: Period | None
    fingerprint: str
    skipped: Sequence[Mapping[str, Any]] = ()
    """What the response contained and the file does not: `reason`, `count` and one `example` each."""
    scope: str = ""
    """What was requested, apart from the period, as `entries.scope` writes it."""
    absent: Sequence[Period] = ()
    """The parts of the period for which the upstream has nothing, as its status says."""
    reach: datetime | None = None
    """The end of the last interval with a value, if no other clock has shown that the clock of this machine was right:
    later hours of the period may not have come yet. None if one has."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """A file's provenance and content; `stored_at` (UTC) is the time just before the file was stored.

    `content_hash` is that of `observations.content_hash`, or for a body the SHA-256 of its bytes. `version` is that of
    the code that wrote the file; `size` is the file's size in bytes by its sidecar.
    """

    entry: str
    period: Period | None
    fingerprint: str
    rows: int
    content_hash: str
    stored_at: datetime
    version: str
    size: int | None = None
    skipped: Sequence[Mapping[str, Any]] = ()
    scope: str = ""
    """What was requested, apart from the period; empty in files of older versions, which did not record it."""
    series: str = ""
    """The file's series, as `observations.series_days.encode_series` writes them; empty for a body, and for a file of
    an older version."""
    absent: Sequence[Period] = ()
    """The parts of the period for which the upstream has nothing, as its status says."""
    reach: datetime | None = None
    """As that of `Provenance`; None in files of older versions, which did not record it."""

    @classmethod
    def now(cls, provenance: Provenance, rows: int, content_hash: str, series: str = "") -> Metadata:
        """Returns the metadata of a file that is about to be stored."""
        return cls(
            provenance.entry,
            provenance.period,
            provenance.fingerprint,
            rows,
            content_hash,
            datetime.now(UTC),
            __version__,
            skipped=tuple(provenance.skipped),
            scope=provenance.scope,
            series=series,
            absent=tuple(provenance.absent),
            reach=provenance.reach,
        )

    def as_footer(self) -> dict[str, str]:
        """Returns the key-value pairs for a Parquet footer."""
        return {_FOOTER + key: text for key, text in self.as_texts().items()}

    def as_sidecar(self, body: Any) -> bytes:
        """Returns the JSON of the sidecar of a file with content `body`, with its size and SHA-256."""
        texts = {**self.as_texts(), _SIZE: str(len(body)), _SHA256: _hash_body(body)}
        return json.dumps(texts, indent=2).encode() + b"\n"

    @classmethod
    def from_footer(cls, pairs: Mapping[bytes, bytes]) -> Metadata:
        """Parses the output of `as_footer`; raises `ValueError` if the pairs are not those of a lake file."""
        return cls.from_texts({name: pairs[key].decode() for key, name in _KEYS.items() if key in pairs})

    @classmethod
    def from_sidecar(cls, body: bytes) -> Metadata:
        """Parses the output of `as_sidecar`; raises `ValueError` if `body` is not the sidecar of a lake file."""
        return cls.from_texts(json.loads(body))

    def as_texts(self) -> dict[str, str]:
        """Returns each field as text."""
        texts = {
            "entry": self.entry,
            "period": _write_period(self.period) if self.period else "",
            "fingerprint": self.fingerprint,
            "rows": str(self.rows),
            "content_hash": self.content_hash,
            "stored_at": self.stored_at.isoformat(timespec="microseconds"),
            "version": self.version,
        }
        texts |= {"scope": self.scope} if self.scope else {}
        texts |= {"series": self.series} if self.series else {}
        texts |= {"reach": self.reach.isoformat()} if self.reach else {}
        texts |= {"absent": json.dumps([_write_period(period) for period in self.absent])} if self.absent else {}
        return texts | ({"skipped": json.dumps(list(self.skipped))} if self.skipped else {})

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Metadata:
        """Parses the output of `as_texts`; raises `ValueError` if a field is missing or cannot be read."""
        try:
            return cls(
                texts["entry"],
                _read_period(texts["period"]) if texts["period"] else None,
                texts["fingerprint"],
                int(texts["rows"]),
                texts["content_hash"],
                datetime.fromisoformat(texts["stored_at"]),
                texts["version"],
                int(texts[_SIZE]) if _SIZE in texts else None,
                tuple(json.loads(texts.get("skipped", "[]"))),
                scope=texts.get("scope", ""),
                series=texts.get("series", ""),
                absent=tuple(_read_period(text) for text in json.loads(texts.get("absent", "[]"))),
                reach=datetime.fromisoformat(texts["reach"]) if "reach" in texts else None,
            )
        except KeyError as error:
            raise ValueError(f"no metadata of a lake file: nothing says its {error.args[0]}") from error
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no metadata of a lake file: {error}") from error


def _write_period(period: Period) -> str:
    return f"{period.start.isoformat()}/{period.end.isoformat()}"


def _read_period(text: str) -> Period:
    start, _, end = text.partition("/")
    return Period(datetime.fromisoformat(start), datetime.fromisoformat(end))


def verify_sidecar(sidecar: bytes, body: Any) -> None:
    """Raises `ValueError` unless `body` has the SHA-256 that its `sidecar` states."""
    if json.loads(sidecar).get(_SHA256) != _hash_body(body):
        raise ValueError("its bytes are not those that were stored")


def _hash_body(body: Any) -> str:
    return hashlib.sha256(body).hexdigest()


_KEYS = {f"{_FOOTER}{field.name}".encode(): field.name for field in fields(Metadata)}
"""The keys of a Parquet footer, and the fields that they hold."""
