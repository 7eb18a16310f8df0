"""What is done about values that are missing; pure and causal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def fill_forward(values: npt.NDArray[np.float64], limit: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """`values` (…, T) with gaps filled from the last value before, at most `limit` steps on.

    Returns the filled values and the mask (…, T) of what was observed. What lies further than `limit`
    from the last observation stays NaN. Nothing after a step changes it.
    """
    observed = ~np.isnan(values)
    steps = np.arange(values.shape[-1])
    latest = np.maximum.accumulate(np.where(observed, steps, -1), axis=-1)
    reached = (latest >= 0) & (steps - latest <= limit)
    filled = np.where(reached, np.take_along_axis(values, np.maximum(latest, 0), axis=-1), values)
    return filled, observed
