"""What stored values can be believed: screening of series, cross-checks, and the clock of solar series.

`screen_causally` judges each value from what was known by then, `screen_afterwards` with the values on both sides of
it. Both return the flags of QARTOD with the name of the check that set them.
"""

from gridtide.quality.afterwards import TwoSidedLimits, screen_afterwards
from gridtide.quality.flags import Flag, Screened
from gridtide.quality.natures import Nature, find_nature
from gridtide.quality.screening import CausalLimits, screen_causally

__all__ = [
    "CausalLimits",
    "Flag",
    "Nature",
    "Screened",
    "TwoSidedLimits",
    "find_nature",
    "screen_afterwards",
    "screen_causally",
]
