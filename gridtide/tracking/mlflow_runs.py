"""Runs and datasets of MLflow: one run for each prepared set, and the set as a dataset of it and of training runs.

The only module that imports MLflow, which takes seconds and has a state of its own. Where runs are stored is said by
MLflow's variables: `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` or `MLFLOW_EXPERIMENT_ID`, and its credentials.
https://mlflow.org/docs/latest/ml/dataset/
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.entities import Dataset as StoredDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema

from gridtide.tracking.tracked_set import TrackedSet, open_tracked_set

EXPERIMENT = "gridtide"
"""The experiment of prepared sets, unless MLflow's variables name another."""

MOST_PARAMETERS = 100
"""The most parameters, or tags, of a request to MLflow."""

LONGEST_PROFILE = 16_777_215
"""The most bytes of a profile; one that is longer is cut to what it says of the set as a whole."""

LONGEST_SCHEMA = 1_048_575
"""The most bytes of a schema; a longer one is left out, as the manifest has all columns."""


class TrainingSetDataset(Dataset):
    """A training set as a dataset of MLflow: name, digest (the first 32 digits of the fingerprint), address, columns,
    and as profile the fingerprint and the statistics."""

    def __init__(self, tracked: TrackedSet) -> None:
        self.tracked = tracked
        super().__init__(_resolve_source(tracked.address), tracked.name, tracked.digest)

    def _compute_digest(self) -> str:
        return self.tracked.digest

    @cached_property
    def profile(self) -> Mapping[str, Any]:
        """The fingerprint, and the statistics of the set."""
        return {"fingerprint": self.tracked.fingerprint, **self.tracked.statistics}

    @cached_property
    def schema(self) -> Schema:
        """The columns of `x` by their keys, which all locations share."""
        columns = self.tracked.manifest["locations"][0]["columns"]
        return Schema([ColSpec(DataType.float, column["key"]) for column in columns])

    def to_dict(self) -> dict[str, str]:
        """Returns what MLflow stores of the dataset."""
        profile = json.dumps(self.profile)
        if len(profile) > LONGEST_PROFILE:
            profile = json.dumps({key: value for key, value in self.profile.items() if key != "locations"})
        schema = json.dumps({"mlflow_colspec": self.schema.to_dict()})
        described: dict[str, str] = super().to_dict() | {"profile": profile}
        return described | ({"schema": schema} if len(schema) <= LONGEST_SCHEMA else {})


def load_mlflow_dataset(address: str | Path) -> TrainingSetDataset:
    """Returns the training set at `address`, a folder or a URI, for `mlflow.log_input(…, context="training")`.

    It is the dataset that the run of its preparation has: same name and digest. Raises `StorageError` if there is none.
    """
    return TrainingSetDataset(open_tracked_set(address))


def log_prepared_set(tracked: TrackedSet) -> str:
    """Stores a run for the prepared set, and returns what it is called.

    The run has the short values of the spec as parameters, the sizes as metrics, the documents as artifacts, and the
    set as its dataset. A set that has a finished run already, with this fingerprint at this address, gets no second.
    Raises the errors of MLflow; the run has failed then.
    """
    client = MlflowClient()
    experiment = _find_experiment(client)
    run_filter = f"tags.`gridtide.fingerprint` = '{tracked.fingerprint}' and attributes.status = 'FINISHED'"
    for earlier in client.search_runs([experiment], run_filter):
        if earlier.data.tags.get("gridtide.address") == tracked.address:
            return f"run {earlier.info.run_id} of MLflow, which has it already"
    run = client.create_run(experiment, tags=tracked.tags, run_name=f"prepare {tracked.name}")
    run_id: str = run.info.run_id
    try:
        _fill_run(client, run_id, tracked)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return f"run {run_id} of MLflow"


def _find_experiment(client: MlflowClient) -> str:
    """Returns the id of the experiment that the environment names, which is created if it does not exist."""
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return experiment_id
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process may have created it since
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


def _fill_run(client: MlflowClient, run_id: str, tracked: TrackedSet) -> None:
    milliseconds = time.time_ns() // 1_000_000
    parameters = [Param(name, value) for name, value in tracked.parameters.items()]
    metrics = [Metric(name, number, milliseconds, 0) for name, number in tracked.metrics.items()]
    client.log_batch(run_id, metrics=metrics)
    for first in range(0, len(parameters), MOST_PARAMETERS):
        client.log_batch(run_id, params=parameters[first : first + MOST_PARAMETERS])
    context = InputTag("mlflow.data.context", "prepared")
    dataset = StoredDataset(**TrainingSetDataset(tracked).to_dict())
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])
    with TemporaryDirectory() as folder:
        for name, body in tracked.documents.items():
            Path(folder, name).write_bytes(body)
        client.log_artifacts(run_id, folder)


def _resolve_source(address: str) -> DatasetSource:
    """Returns the source at the URI `address`; where MLflow does not know its scheme, as with `az`, the address is a
    tag of the source."""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # it knows its local source twice
            return resolve_dataset_source(address)
    except MlflowException:
        return CodeDatasetSource({"address": address})
