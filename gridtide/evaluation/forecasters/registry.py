"""The forecasters by name, and those of other modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from gridtide.errors import TrainingError
from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.evaluation.forecasters import kernel, learned, naive
from gridtide.observations.array_types import Floats, Integers

Forecaster = Callable[[EvaluationSet, Integers, Integers], Floats]
"""Predicts windows: from the set, the windows to learn from (M,) and the windows to predict (N,), the values (N, H) in
the unit of the target; NaN where it has none. It must not use what was not known at the t0 of a window."""

ENSEMBLE = "ensemble"
"""The name of the mean of `LEARNED`."""

BUILT_IN: Mapping[str, Forecaster] = {
    "persistence": naive.repeat_last,
    "day": naive.repeat_day,
    "week": naive.repeat_week,
    "operator": naive.use_operator,
    "ridge": learned.predict_ridge,
    "boosting": learned.predict_boosting,
    "neural": learned.predict_neural,
    "kernel": kernel.predict_kernel,
}

LEARNED = ("boosting", "neural", "kernel")
"""The forecasters whose mean is the ensemble."""

NEED_SKLEARN = ("ridge", *LEARNED)
"""The forecasters that need `gridtide[evaluate]`."""

DEFAULT = ("persistence", "day", "week", "ridge", "boosting", "neural", "kernel", ENSEMBLE)
"""The forecasters that are compared if none is named; the operator's own too, if the set has it."""


def find_forecasters(names: Sequence[str]) -> dict[str, Forecaster]:
    """Returns the forecasters `names` but the ensemble, with those that it needs; `package.module:function` names one
    of another module.

    Raises `TrainingError` for a name that is unknown or cannot be imported, and for one that needs scikit-learn if it
    is not installed.
    """
    all_names = dict.fromkeys([*names, *(LEARNED if ENSEMBLE in names else ())])
    learning = [name for name in all_names if name in NEED_SKLEARN]
    if learning and find_spec("sklearn") is None:
        simple = ", ".join(name for name in BUILT_IN if name not in NEED_SKLEARN)
        raise TrainingError(
            "evaluate",
            f"{', '.join(learning)} need scikit-learn, which is not installed",
            f"Install gridtide[evaluate], or compare only {simple} with --model",
        )
    return {name: BUILT_IN.get(name) or _import_forecaster(name) for name in all_names if name != ENSEMBLE}


def _import_forecaster(name: str) -> Forecaster:
    module, _, function = name.partition(":")
    choices = ", ".join([*BUILT_IN, ENSEMBLE])
    if not function:
        fix = f"Choose from {choices}, or name a function of your own as package.module:function"
        raise TrainingError("evaluate", f"{name} is not a forecaster", fix)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        forecaster: Forecaster = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        fix = "Run it in the folder of the module, or correct the name"
        raise TrainingError("evaluate", f"{name} cannot be imported: {error}", fix) from error
    return forecaster
