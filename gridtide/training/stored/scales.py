"""The scales of a training set, as they are read from it: what undoes its scaling, whatever that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gridtide.training.windows.scaling import Scale

CALENDAR_PREFIX = "calendar/"
"""The prefix of the keys of columns that are never transformed."""

ScaledPart = Literal["inputs", "targets", "future"]

TENSOR_PREFIXES: Mapping[ScaledPart, str] = {"inputs": "", "targets": "target_", "future": "future_"}


def find_scale(
    manifest: Mapping[str, Any], mapped: Mapping[str, npt.NDArray[Any]], part: ScaledPart, location: int = 0
) -> Scale:
    """Returns the scale of the inputs, the targets or the covariates of the future of `location`, of the set with this
    `manifest` and these tensors: `invert` converts (…, F) back to values in their units, `apply` scales values.

    The `per_window` scaling of batches is undone with the numbers that each batch has.
    """
    prefix = TENSOR_PREFIXES[part]
    mean, deviation = (np.asarray(mapped[f"{prefix}{name}"][location], np.float64) for name in ("mean", "deviation"))
    spec = manifest["spec"]
    method = spec.get("scaling", "standard")
    if part == "targets":
        method = spec.get("target_scaling") or method
    is_log = None
    if method == "log1p":
        columns = {"inputs": "columns", "future": "future"}.get(part)
        described = manifest["locations"][location][columns] if columns else [{"key": ""}] * len(mean)
        is_log = np.array([is_transformed(column["key"]) for column in described], bool)
    knots = mapped.get(f"{prefix}knots")
    return Scale(mean, deviation, None, is_log, None if knots is None else np.asarray(knots[location], np.float64))


def is_transformed(key: str) -> bool:
    """Whether columns with this `key` are transformed by `log1p` and `quantile`: neither calendar nor ages are."""
    return not key.startswith(CALENDAR_PREFIX) and not key.endswith(" age")
