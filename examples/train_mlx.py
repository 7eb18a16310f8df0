"""Train a small forecaster on a training set, and compare it with the same hours of the day and the week before.

    python examples/train_mlx.py [lake/features/isne_demand]
    python examples/train_mlx.py --rows eia_hourly.parquet

The set predicts the next 24 hours of one series, of which an input says what was known of it. The second
form makes a set of three regions from a file of EIA's hourly rows, see `eia_rows.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from gridtide.mlx_store import Batch, Store, get_training_sequences, open_store

DAY, WEEK = 24, 168
EPOCHS, PATIENCE = 60, 15
"""Training ends after so many epochs, or so many without a better validation error."""

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
"""Learning rates that are tried; validation chooses, so that the test says how good the choice is."""

USUAL = 4
"""Deviations from the mean beyond which an input counts as this much: some reported values are absurd."""


class Forecaster(nn.Module):
    """x (B, L, F) → y (B, 24): the latest known value of each hour of the day, and what is learned to add to it."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        days = store.length // DAY
        place = store.manifest["locations"][0]
        self.own = [column["series"] for column in place["columns"]].index(place["targets"][0])
        delay = place["columns"][self.own]["lookback"]  # row r holds the value of hour r − delay
        self.rows = np.arange(days * DAY).reshape(days, DAY)[:, (np.arange(DAY) + delay) % DAY]
        self.units = [np.array(store.mapped[name][:, self.own]) for name in ("mean", "deviation")]
        self.scaled = [np.array(store.mapped[f"target_{name}"][:, 0]) for name in ("mean", "deviation")]
        self.mix = nn.Linear(days, 1, bias=False)
        self.hidden = nn.Linear(days * DAY + len(place["columns"]), 32)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(32, DAY)
        for layer in (self.mix, self.out):  # it begins as the latest known values
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
        seen = mx.concatenate([shape, x[:, -1]], axis=-1)
        return latest + mixed + self.out(self.dropout(nn.relu(self.hidden(seen))))


def loss(model: Forecaster, batch: Batch) -> mx.array:
    """The mean absolute error over the targets that were observed."""
    error = mx.abs(model(batch) - batch["y"][..., 0]) * batch["y_mask"][..., 0]
    return error.sum() / mx.maximum(batch["y_mask"].sum(), 1)


def before(store: Store, hours: int) -> Callable[[Batch], mx.array]:
    """Seasonal-naive: each hour of the target as it was `hours` before, even where that was not reported yet."""

    def forecast(batch: Batch) -> mx.array:
        rows = np.array(batch["start"])[:, None] + store.manifest["spec"]["seq_len"] + np.arange(DAY) - hours
        return mx.array(store.mapped["targets"][np.array(batch["location_id"])[:, None], rows, 0])

    return forecast


def errors(store: Store, split: str, forecast: Callable[[Batch], mx.array]) -> list[float]:
    """The mean absolute error of `forecast` over `split`, by location, in the target's unit."""
    sums = np.zeros((2, len(store.manifest["locations"])))
    for batch in get_training_sequences(store, split, batch_size=32, shuffle=False):
        seen = np.array(batch["y_mask"][..., 0])
        wrong = np.abs(np.array(forecast(batch)) - np.array(batch["y"][..., 0])) * seen
        for row, place in enumerate(batch["location_id"].tolist()):
            sums[:, place] += wrong[row].sum(), seen[row].sum()
    return (sums[0] / sums[1] * store.mapped["target_deviation"][:, 0]).tolist()


def train(store: Store) -> Forecaster:
    """The forecaster of the learning rate and the epoch with the least validation error."""
    return min((trained(store, rate) for rate in RATES), key=lambda one: one[0])[1]


def trained(store: Store, rate: float) -> tuple[float, Forecaster]:
    """The least validation error of all epochs at `rate`, in deviations of the target, and the forecaster of then."""
    mx.random.seed(0)
    model = Forecaster(store)
    optimizer = optim.AdamW(rate)
    step = nn.value_and_grad(model, loss)
    best, kept, since = float("inf"), model.parameters(), 0
    for epoch in range(EPOCHS):
        model.train()
        for batch in get_training_sequences(store, batch_size=8, seed=epoch):
            _, gradients = step(model, batch)
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
        model.eval()
        error = float(np.mean(errors(store, "validation", model) / store.mapped["target_deviation"][:, 0]))
        if error < best:
            best, kept, since = error, dict(model.parameters()), 0
        since += 1
        if since > PATIENCE:
            break
    model.update(kept)
    return best, model


def main() -> None:
    """Train on what the arguments name, and print the errors on the held-out test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", default="lake/features/isne_demand", help="folder of a training set")
    parser.add_argument("--rows", type=Path, help="make the set from this Parquet file of EIA's rows instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.rows:
            from eia_rows import prepare_rows

            arguments.path = prepare_rows(arguments.rows, folder)
        store = open_store(arguments.path)
        found = [errors(store, "test", each) for each in (train(store), before(store, DAY), before(store, WEEK))]
    windows = len(store.windows("test"))
    print(f"mean absolute error over {windows} test windows, MWh: the model, the day before, the week before")
    for place, *numbers in zip(store.manifest["locations"], *found, strict=True):
        print(f"{place['name']:<10}", *(f"{number:10,.1f}" for number in numbers))


if __name__ == "__main__":
    main()
