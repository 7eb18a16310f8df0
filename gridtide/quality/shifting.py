"""Shifts arrays of hours in time."""

from __future__ import annotations

import numpy as np

from gridtide.observations.array_types import Floats, Mask


def shift_later(values: Floats, hours: int) -> Floats:
    """Shifts `values` (…, T) by `hours` rows to later rows; the first rows become NaN."""
    shifted = np.full_like(values, np.nan)
    shifted[..., hours:] = values[..., : max(values.shape[-1] - hours, 0)]
    return shifted


def shift_mask_later(observed: Mask, hours: int) -> Mask:
    """Shifts `observed` (…, T) by `hours` rows to later rows; the first rows become False."""
    shifted = np.zeros_like(observed)
    shifted[..., hours:] = observed[..., : max(observed.shape[-1] - hours, 0)]
    return shifted
