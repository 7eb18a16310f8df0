"""Train a small forecaster on the training set that README makes: `python examples/train.py`."""

from functools import partial

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from gridtide.mlx_store import iterate_batches, open_store

STORE = "lake/features/isne_demand/sequences.safetensors"
EPOCHS = 20


class Forecaster(nn.Module):
    """x, mask (B, L, F) → y (B, H, 1): two layers over the flattened week and what of it was observed."""

    def __init__(self, length: int, inputs: int, horizon: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * length * inputs, 64)
        self.out = nn.Linear(64, horizon)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        """The scaled targets of the next hours."""
        week = mx.concatenate([x, mask.astype(mx.float32)], axis=-1).reshape(len(x), -1)
        return self.out(nn.relu(self.hidden(week)))[..., None]


def loss(model: Forecaster, batch: dict[str, mx.array]) -> mx.array:
    """The mean absolute error over the targets that were observed."""
    error = mx.abs(model(batch["x"], batch["mask"]) - batch["y"]) * batch["y_mask"]
    return error.sum() / mx.maximum(batch["y_mask"].sum(), 1)


def main() -> None:
    """Train, and print the errors in the target's own unit."""
    mx.random.seed(0)
    store = open_store(STORE)
    batches = partial(iterate_batches, store, batch_size=8)
    first = next(iter(batches("train")))
    model = Forecaster(*first["x"].shape[1:], first["y"].shape[1])
    optimizer = optim.Adam(1e-3)
    step = nn.value_and_grad(model, loss)
    deviation = float(store.target_scale().deviation[0])
    for epoch in range(EPOCHS):
        for batch in batches("train", epoch=epoch):
            _, gradients = step(model, batch)
            optimizer.update(model, gradients)
            mx.eval(model.parameters())
    for split in ("train", "validation", "test"):
        errors = [float(loss(model, batch)) for batch in batches(split)]
        print(f"{split:<10} mean absolute error {deviation * sum(errors) / len(errors):,.0f} MWh")


if __name__ == "__main__":
    main()
