"""The folder of recorded answers of the upstreams, if it exists."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the recorded payloads are not at {SHARED.name}/ beside the project"
)
