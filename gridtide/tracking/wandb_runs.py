"""Runs of Weights & Biases: one for each prepared set, with the set as an artifact.

The only module that imports W&B. Where runs go is said by W&B's variables, such as `WANDB_PROJECT`, `WANDB_DIR`,
`WANDB_MODE` and `WANDB_API_KEY`. https://docs.wandb.ai/models/track/environment-variables
"""

from __future__ import annotations

import os
from pathlib import Path

import wandb

from gridtide.tracking.tracked_set import TrackedSet

PROJECT = "gridtide"
"""The project of prepared sets, unless `WANDB_PROJECT` names another."""


def log_set_artifact(tracked: TrackedSet) -> str:
    """Stores a run for the prepared set, and returns what it is called.

    The run has the short values of the spec as its configuration, the sizes as its summary, and an artifact of the type
    `dataset` with the documents and the fingerprint of the set. Without `WANDB_MODE` and `WANDB_API_KEY` it is offline:
    a folder that `wandb sync` sends. A run of the process that is under way is not touched.
    """
    is_configured = os.environ.get("WANDB_MODE") or os.environ.get("WANDB_API_KEY")
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        job_type="prepare",
        name=f"prepare {tracked.name}",
        config={**tracked.parameters, **tracked.tags},
        mode=None if is_configured else "offline",
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off"),
    )
    try:
        _fill_artifact(run, tracked)
    except BaseException:
        run.finish(exit_code=1)
        raise
    place = Path(run.dir).parent if run.offline else run.url
    run.finish()
    return f"run {run.id} of W&B at {place}"


def _fill_artifact(run: wandb.Run, tracked: TrackedSet) -> None:
    artifact = wandb.Artifact(tracked.name, "dataset", metadata={**tracked.tags, **tracked.metrics})
    for name, body in tracked.documents.items():
        with artifact.new_file(name, mode="wb") as file:
            file.write(body)
    run.log_artifact(artifact)
    run.summary.update(tracked.metrics)
