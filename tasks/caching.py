"""When an earlier result may stand for asking again."""

from __future__ import annotations

import hashlib

from gridtide.config import Entry
from gridtide.periods import Period


def cache_key(entry: Entry, period: Period | None, lake: str) -> str:
    """What tells one collection from another: what is asked, how, for when, and where it goes.

    Letters, digits, `_` and `-` alone, as it names a file and a lock.
    """
    asked = "\n".join(("collect", entry.name, entry.fingerprint, str(period), lake))
    return f"collect-{hashlib.sha256(asked.encode()).hexdigest()[:32]}"
