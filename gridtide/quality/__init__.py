"""What stored values can be believed: screening of series, cross-checks, and the clock of solar series.

`screen_causally` judges each value from what was known by then, `screen_afterwards` with the values on both sides of
it. Both return the flags of QARTOD with the name of the check that set them.

The names below are imported at first use: they load NumPy, which `gridtide status` of an empty lake does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "afterwards": ("TwoSidedLimits", "screen_afterwards"),
    "flags": ("Flag", "Screened"),
    "natures": ("Nature", "find_nature"),
    "screening": ("CausalLimits", "screen_causally"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
