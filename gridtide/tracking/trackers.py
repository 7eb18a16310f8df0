"""The trackers that a prepared set is told to, by the names in `GRIDTIDE_TRACKING`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from gridtide.errors import ConfigurationError, StorageError
from gridtide.tracking.tracked_set import TrackedSet

TRACKING = "GRIDTIDE_TRACKING"
"""The variable with the names of trackers, separated by commas."""

TRACKERS = {
    "mlflow": ("gridtide.tracking.mlflow_runs", "log_prepared_set"),
    "wandb": ("gridtide.tracking.wandb_runs", "log_set_artifact"),
}
"""By the name of a tracker, which is also that of its extra: the module and function that store a run of a set."""

SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "WANDB_API_KEY")
"""Variables of trackers whose values no message may hold."""

Tracker = Callable[[TrackedSet], str]
"""Stores a run of a set, and returns what it is called."""


def load_trackers(text: str) -> dict[str, Tracker]:
    """Returns the trackers that `text` names, separated by commas; none for an empty text.

    Raises `ConfigurationError` for a name that is none of `TRACKERS`, and if the package of a tracker is not installed.
    """
    names = dict.fromkeys(name for part in text.split(",") if (name := part.strip().lower()))
    if unknown := [name for name in names if name not in TRACKERS]:
        raise ConfigurationError(TRACKING, f"has {', '.join(unknown)}", f"The trackers are: {', '.join(TRACKERS)}")
    return {name: _import_tracker(name) for name in names}


def _import_tracker(name: str) -> Tracker:
    module, function = TRACKERS[name]
    try:
        tracker: Tracker = getattr(import_module(module), function)
    except ImportError as error:
        fix = f'Install what it needs: pip install "gridtide[{name}]"'
        raise ConfigurationError(TRACKING, f"has {name}, for which {error.name or error} is missing", fix) from error
    return tracker


def track_set(trackers: Mapping[str, Tracker], tracked: TrackedSet) -> tuple[list[str], list[str]]:
    """Tells each of `trackers` of the set; returns what each run is called, and a problem for each that failed.

    A problem has no password, neither one in a URL nor the value of a variable in `SECRET_VARIABLES`.
    """
    runs, problems = [], []
    for name, tracker in trackers.items():
        try:
            runs.append(tracker(tracked))
        except Exception as error:  # each tracker has errors of its own, and one of them is no reason to lose the set
            happened = hide_secrets(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            problem = StorageError(
                tracked.name, f"it was not logged to {name}: {happened}", "Log it by track_set again"
            )
            problems.append(str(problem))
    return runs, problems


def hide_secrets(text: str, names: Iterable[str] = SECRET_VARIABLES) -> str:
    """Returns `text` with *** for the user and password of each URL, and for the values of the variables `names`."""
    hidden = re.sub(r"://[^/\s]*@", "://***@", text)
    for value in (os.environ.get(name) for name in names):
        if value:
            hidden = hidden.replace(value, "***")
    return hidden
