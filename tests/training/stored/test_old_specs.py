"""Specs that were written before newer keys came give the same sets, to the byte."""

import hashlib
from typing import Any

import numpy as np
import pytest

from gridtide.training import manifest
from gridtide.training.training_set import TrainingSet
from tests.support.sets import training_set

OLD_SPECS: list[tuple[dict[str, Any], str]] = [
    (
        {"features": {"calendar": False}, "cleaning": {"screening": "off"}},
        "40b4e139119fd038884f1ea14cd409c7875b8b2346072cf83aa52e9d13dfb448",
    ),
    (
        {
            "features": {"calendar": False, "power": True, "prices": True, "lags": [24], "rolling": [3, 24]},
            "leads": [1, 24],
            "gap": 3,
            "stride": 7,
            "cleaning": {"screening": "off"},
        },
        "a8a397d528f9cc340b7ab2aee5688f9e5a08333f2be1d7364a487a492f4ae68c",
    ),
    (
        {
            "features": {"calendar": False},
            "cleaning": {"stale": 12, "fill_limit": 2},
            "scaling": "none",
            "splits": {"test": 0, "gap": 5, "strict": True},
        },
        "c7c906e6a9d6de9e8ab3cfa9775282c6de359fa2572bd97a8b5dc83483269aac",
    ),
]
"""Keys of specs, and the hash of what they gave before newer keys came; without calendar, whose sines depend on the
processor, and without the screening, whose checks grow."""


def hash_set(training: TrainingSet) -> str:
    """The hash of the tensors and of the manifest, without the versions of packages."""
    body = hashlib.sha256()
    for name, array in manifest.to_tensors(training).items():
        body.update(f"{name} {array.dtype} {array.shape}".encode())
        body.update(np.asarray(array).tobytes())
    described = manifest.describe_set(training, [])
    body.update(
        manifest.to_json(
            {key: part for key, part in described.items() if key not in ("versions", "fingerprint")}
        ).encode()
    )
    return body.hexdigest()


@pytest.mark.parametrize(("keys", "digest"), OLD_SPECS, ids=["plain", "derived", "thresholds"])
def test_an_old_spec_gives_the_same_bytes(keys: dict[str, Any], digest: str) -> None:
    """The tensors and the manifest, without versions, have the hash that they had before the newer keys of the spec
    came."""
    assert hash_set(training_set(40, seq_len=48, horizon=12, **keys)) == digest
