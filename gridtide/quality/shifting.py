"""Shifts arrays of hours in time."""

from __future__ import annotations

import numpy as np

from gridtide.observations.array_types import Floats, Mask


def shift_later(values: Floats, hours: int) -> Floats:
    """Shifts `values` (…, T) by `hours` rows to later rows; the first rows become NaN."""
    shifted_values = np.full_like(values, np.nan)
    shifted_values[..., hours:] = values[..., : max(values.shape[-1] - hours, 0)]
    return shifted_values


def shift_mask_later(is_observed: Mask, hours: int) -> Mask:
    """Shifts `observed` (…, T) by `hours` rows to later rows; the first rows become False."""
    shifted_values = np.zeros_like(is_observed)
    shifted_values[..., hours:] = is_observed[..., : max(is_observed.shape[-1] - hours, 0)]
    return shifted_values
