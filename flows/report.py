"""The errors of flow runs under their documented name; see `flows.run.report`."""

from flows.run.report import RefusedError, RunError

__all__ = ["RefusedError", "RunError"]
