"""Trains a small forecaster on a training set, and compares it with the values of one day and one week earlier.

    python examples/train_mlx.py [lake/features/isne_demand]
    python examples/train_mlx.py --track lake/features/isne_demand
    python examples/train_mlx.py --rows eia_hourly.parquet
    gridtide evaluate lake/features/isne_demand --model day --model examples.train_mlx:forecast_windows

The set must predict the next 24 hours of one series, and have this series as an input. With `--track`, a run of MLflow
has the errors, and the set as its dataset. The third form prepares a set of the regions in a file of EIA's hourly rows,
see `eia_rows.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.mlx_store import Batch, Store, get_training_sequences, open_store
from gridtide.observations.array_types import Floats, Integers

DAY, WEEK = 24, 168
EPOCHS, PATIENCE = 60, 15
"""Training ends after `EPOCHS` epochs, or after `PATIENCE` epochs without a smaller validation error."""

BATCH_SIZE = 16
"""Windows in a batch. With 8, training takes twice as long and the errors are the same to 2 %."""

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
"""The learning rates that are tried. The validation error selects one, so that the test split stays unseen."""

USUAL = 4
"""Scaled inputs are clipped to this many deviations, because some reported values are absurd."""


class Forecaster(nn.Module):
    """Maps x (B, L, F) to y (B, 24): the latest available value of each hour of the day plus a learned correction."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        scalings = {store.manifest["spec"].get(key) for key in ("scaling", "target_scaling")}
        if scalings & {"log1p", "quantile", "per_window"}:
            raise SystemExit("this forecaster adds scaled values, so it needs scaling standard, robust or none")
        days = store.length // DAY
        place = store.manifest["locations"][0]
        self.own = [column["series"] for column in place["columns"]].index(place["targets"][0])
        delay = place["columns"][self.own]["lookback"]  # row r contains the value of hour r − delay
        self.rows = np.arange(days * DAY).reshape(days, DAY)[:, (np.arange(DAY) + delay) % DAY]
        self.units = [np.array(store.mapped[name][:, self.own]) for name in ("mean", "deviation")]
        self.scaled = [np.array(store.mapped[f"target_{name}"][:, 0]) for name in ("mean", "deviation")]
        self.mix = nn.Linear(days, 1, bias=False)
        self.hidden = nn.Linear(days * DAY + len(place["columns"]), 32)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(32, DAY)
        for layer in (self.mix, self.out):  # so that the untrained model returns the latest available values
            layer.update({name: mx.zeros_like(weight) for name, weight in layer.parameters().items()})

    def __call__(self, batch: Batch) -> mx.array:
        """The scaled target of the next 24 hours."""
        x, place = mx.clip(batch["x"][:, -self.rows.size :], -USUAL, USUAL), batch["location_id"]
        mean, deviation, target_mean, target_deviation = (
            mx.array(values)[place][:, None, None] for values in (*self.units, *self.scaled)
        )
        own = (x[..., self.own][:, mx.array(self.rows)] * deviation + mean - target_mean) / target_deviation
        latest = own[:, -1]
        mixed = self.mix((own - latest[:, None]).swapaxes(1, 2))[..., 0]
        shape = (own - latest.mean(axis=-1)[:, None, None]).reshape(len(x), -1)
        features = mx.concatenate([shape, x[:, -1]], axis=-1)
        return latest + mixed + self.out(self.dropout(nn.relu(self.hidden(features))))


def loss(model: Forecaster, batch: Batch) -> mx.array:
    """The mean absolute error over the observed targets."""
    error = mx.abs(model(batch) - batch["y"][..., 0]) * batch["y_mask"][..., 0]
    return error.sum() / mx.maximum(batch["y_mask"].sum(), 1)


def seasonal_naive(store: Store, hours: int) -> Callable[[Batch], mx.array]:
    """A seasonal-naive forecast: the target `hours` earlier, even if that was not reported yet at the time; NaN where
    it is missing."""

    def forecast(batch: Batch) -> mx.array:
        rows = np.array(batch["start"])[:, None] + store.manifest["spec"]["seq_len"] + np.arange(DAY) - hours
        cells = np.array(batch["location_id"])[:, None], rows, 0
        return mx.array(np.where(store.mapped["target_mask"][cells], store.mapped["targets"][cells], np.nan))

    return forecast


def mean_errors(store: Store, split: str, *forecasts: Callable[[Batch], mx.array]) -> list[list[float]]:
    """The mean absolute error of each of `forecasts` over `split` per location, in the unit of the target.

    They are compared over the same hours: those that were observed, and for which all forecasts have a value.
    """
    sums, counts = (np.zeros((len(forecasts), len(store.manifest["locations"]))) for _ in range(2))
    for batch in get_training_sequences(store, split, batch_size=32, shuffle=False):
        values = np.stack([np.array(forecast(batch)) for forecast in forecasts])
        errors = np.abs(values - np.array(batch["y"][..., 0]))
        compared = np.array(batch["y_mask"][..., 0]).astype(bool) & ~np.isnan(errors).any(axis=0)
        for row, place in enumerate(batch["location_id"].tolist()):
            sums[:, place] += errors[:, row, compared[row]].sum(axis=-1)
            counts[:, place] += compared[row].sum()
    return (sums / counts * store.mapped["target_deviation"][:, 0]).tolist()


def train(store: Store) -> Forecaster:
    """The forecaster of the learning rate and the epoch with the smallest validation error."""

    def validate(model: Forecaster) -> float:
        errors = mean_errors(store, "validation", model)[0] / store.mapped["target_deviation"][:, 0]
        return float(np.mean(errors))

    return train_best(store, lambda epoch: get_training_sequences(store, batch_size=BATCH_SIZE, seed=epoch), validate)


def train_best(
    store: Store, batches: Callable[[int], Iterable[Batch]], validate: Callable[[Forecaster], float]
) -> Forecaster:
    """The forecaster of the learning rate and the epoch with the smallest error by `validate`, learned from
    `batches`."""
    trained = (train_at(store, rate, batches, validate) for rate in RATES)
    return min(trained, key=lambda candidate: candidate[0])[1]


def train_at(
    store: Store, rate: float, batches: Callable[[int], Iterable[Batch]], validate: Callable[[Forecaster], float]
) -> tuple[float, Forecaster]:
    """The smallest validation error at the learning rate `rate`, in deviations of the target, and its forecaster."""
    mx.random.seed(0)
    model = Forecaster(store)
    optimizer = optim.AdamW(rate)
    step = nn.value_and_grad(model, loss)
    smallest, parameters, epochs_since = float("inf"), model.parameters(), 0
    for epoch in range(EPOCHS):
        model.train()
        for batch in batches(epoch):
            _, gradients = step(model, batch)
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
        model.eval()
        error = validate(model)
        if error < smallest:
            smallest, parameters, epochs_since = error, dict(model.parameters()), 0
        epochs_since += 1
        if epochs_since > PATIENCE:
            break
    model.update(parameters)
    return smallest, model


def forecast_windows(evaluation: EvaluationSet, learned: Integers, predicted: Integers) -> Floats:
    """The forecaster as a model of `gridtide evaluate --model examples.train_mlx:forecast_windows`.

    It learns from the windows `learned` (M,), of which the last seventh selects the learning rate and the epoch, and
    returns its values (N, 24) for the windows `predicted` (N,).
    """
    store = open_store(evaluation.path)
    held_out = max(len(learned) // 7, 1)

    def batches(epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng(epoch).permutation(learned[:-held_out])
        firsts = range(0, len(order), BATCH_SIZE)
        return (gather_windows(evaluation, order[first : first + BATCH_SIZE]) for first in firsts)

    def validate(model: Forecaster) -> float:
        return float(loss(model, gather_windows(evaluation, learned[-held_out:])).item())

    model = train_best(store, batches, validate)
    scaled = [
        np.array(model(gather_windows(evaluation, predicted[first : first + 64])))
        for first in range(0, len(predicted), 64)
    ]
    place = evaluation.location[predicted]
    mean, deviation = (evaluation.arrays[f"target_{name}"][place, :1] for name in ("mean", "deviation"))
    return np.concatenate(scaled) * deviation + mean


def gather_windows(evaluation: EvaluationSet, windows: Integers) -> Batch:
    """A batch of the windows with these numbers, with what the forecaster needs of it."""
    place = evaluation.location[windows]
    length = evaluation.manifest["spec"]["seq_len"]
    context = evaluation.t0[windows][:, None] - length + np.arange(length)
    targets = place[:, None], evaluation.steps[windows]
    return {
        "x": mx.array(evaluation.arrays["values"][place[:, None], context]),
        "y": mx.array(evaluation.arrays["targets"][targets]),
        "y_mask": mx.array(evaluation.arrays["target_mask"][targets]),
        "location_id": mx.array(place.astype(np.int32)),
    }


def track_run(path: str, errors: dict[str, list[float]]) -> None:
    """Store a run of MLflow with the errors of each location, which refers to the training set at `path`."""
    import mlflow

    from gridtide.tracking.mlflow_runs import load_mlflow_dataset

    with mlflow.start_run(run_name="train_mlx"):
        mlflow.log_input(load_mlflow_dataset(path), context="training")
        mlflow.log_params({"rates": RATES, "epochs": EPOCHS, "patience": PATIENCE})
        for location, numbers in errors.items():
            for name, number in zip(("model", "day_before", "week_before"), numbers, strict=True):
                mlflow.log_metric(f"test_error/{location}/{name}", number)


def main() -> None:
    """Train on the set of the arguments, and print the errors on the test split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", default="lake/features/isne_demand", help="folder of a training set")
    parser.add_argument("--rows", type=Path, help="prepare the set from this Parquet file of EIA's rows")
    parser.add_argument("--track", action="store_true", help="store a run of MLflow, where its variables say")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.rows:
            from eia_rows import prepare_rows

            arguments.path = prepare_rows(arguments.rows, folder)
        store = open_store(arguments.path)
        test_errors = mean_errors(store, "test", train(store), seasonal_naive(store, DAY), seasonal_naive(store, WEEK))
        places = [place["name"] for place in store.manifest["locations"]]
        errors = {place: list(numbers) for place, *numbers in zip(places, *test_errors, strict=True)}
        if arguments.track:
            track_run(arguments.path, errors)
    windows = len(store.windows("test"))
    print(f"mean absolute error over {windows} test windows, MWh: the model, the day before, the week before")
    for place, numbers in errors.items():
        print(f"{place:<10}", *(f"{number:10,.1f}" for number in numbers))


if __name__ == "__main__":
    main()
