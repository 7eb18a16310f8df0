"""The flags of screened values, in the words and numbers of QARTOD.

U.S. Integrated Ocean Observing System, *Manual for the Use of Real-Time Oceanographic Data Quality Control Flags*,
version 1.2, 2020: the primary flags of table 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only functions on arrays load NumPy: the flags alone are also read where there are none
    import numpy as np
    import numpy.typing as npt

    from gridtide.observations.array_types import Mask


class Flag(IntEnum):
    """How far a value can be believed: the primary flags of QARTOD, with its numbers."""

    GOOD = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


SEVERITY = (Flag.NOT_EVALUATED, Flag.GOOD, Flag.SUSPECT, Flag.MISSING, Flag.FAIL)
"""The flags from the best to the worst. A day of which one check was not evaluated is good if another one is; what is
suspect may still be right, what is missing is certainly not there."""


def find_worst(flags: Iterable[int]) -> Flag:
    """Returns the worst of `flags`, of which there is at least one."""
    return max(map(Flag, flags), key=SEVERITY.index)


@dataclass(frozen=True)
class Screened:
    """C series over T hours, judged. `flags` (C, T) uint8, see `Flag`; `checks`: by the name of the check, the cells
    (C, T) that it flagged. No cell is flagged by two checks."""

    flags: npt.NDArray[np.uint8]
    checks: Mapping[str, Mask]

    @property
    def flagged(self) -> Mask:
        """The cells (C, T) that are suspect or fail."""
        import numpy as np

        is_flagged: Mask = np.isin(self.flags, (Flag.SUSPECT, Flag.FAIL))
        return is_flagged

    def name_checks(self) -> npt.NDArray[np.str_]:
        """Returns the name of the check that flagged each cell, (C, T), empty where none did."""
        import numpy as np

        names = np.zeros(self.flags.shape, f"U{max(map(len, self.checks), default=1)}")
        for check, cells in self.checks.items():
            names[cells] = check
        return names
