"""The types of NumPy arrays that functions take and return; without Arrow, because a training loop needs them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


FloatArray = npt.NDArray[np.floating[Any]]
"""float32 or float64."""


Integers = npt.NDArray[np.int64]


Mask = npt.NDArray[np.bool_]
