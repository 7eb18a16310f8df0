"""Prepares a training set in the lake from a training spec.

The names below are imported at first use, so that a training loop does not load the modules that prepare a set.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridtide.training.preparation import prepare
    from gridtide.training.spec import TrainingSpec

__all__ = ["TrainingSpec", "prepare"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'preparation' if name == 'prepare' else 'spec'}"), name)
