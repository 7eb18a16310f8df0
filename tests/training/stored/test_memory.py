"""The memory that a training set takes while it is assembled and encoded, and that a batch of it takes."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

from gridtide.periods import Period
from gridtide.training.features.bases import Base
from gridtide.training.features.columns import Feature
from gridtide.training.manifest import build_files, describe_set
from gridtide.training.series.cleaning import REPORTED
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.stored.covariates import find_target_steps
from gridtide.training.tensors import decode_tensors
from gridtide.training.training_set import assemble
from tests.support.grids import HOUR, START

LOCATIONS, STEPS, COLUMNS = 8, 20_000, 50
PERIOD = Period(START, START + STEPS * HOUR)
TRAIN = slice(0, STEPS * 7 // 10)
NEVER_TRAINED, CONSTANT = 7, 11
"""A column that no location observes in the train hours, and one that does not vary at the first location."""


def make_spec() -> TrainingSpec:
    """A spec that predicts one series of each location."""
    places = [
        {"name": f"R{number}", "targets": [f"eia/R{number}/demand"], "inputs": [f"eia/R{number}/*"]}
        for number in range(LOCATIONS)
    ]
    splits = {
        "train_end": (START + TRAIN.stop * HOUR).isoformat(),
        "validation_end": (START + (TRAIN.stop + 1_000) * HOUR).isoformat(),
    }
    return load_spec(
        {"name": "large", "locations": places, "pictures": False, "splits": splits, "seq_len": 48, "horizon": 24}
    )


def make_base(number: int) -> Base:
    """A base with random values, in the memory layout of derived columns: one column after another."""
    name, random = f"R{number}", np.random.default_rng(number)
    features = tuple(
        Feature(f"eia/{name}/s{column}", "MWh", "", 0, f"eia/{name}/s{column}", f"eia/0/s{column}")
        for column in range(COLUMNS)
    )
    values = random.normal(1000, 50, (COLUMNS, STEPS)).astype(np.float32)
    values[NEVER_TRAINED, TRAIN] = np.nan
    if number == 0:
        values[CONSTANT] = 5.0
    return Base(
        name,
        features,
        values.T,
        ~np.isnan(values).T,
        np.full((COLUMNS // 10, STEPS), REPORTED, np.uint8).T,
        (f"eia/{name}/demand",),
        random.normal(1000, 50, (STEPS, 1)),
        np.arange(STEPS)[:, None] + 1,
        {},
        {},
        {},
    )


def test_a_set_is_assembled_and_encoded_in_the_memory_of_its_columns() -> None:
    """Beside the columns of all locations, those of four more are in memory at most, also if columns are left out and
    dropped; and the file has them scaled."""
    first = make_base(1).values
    size_of_location = first.nbytes * 5 // 4 + STEPS * COLUMNS // 10
    gc.collect()
    tracemalloc.start()
    try:
        made = assemble(make_spec(), PERIOD, (make_base(number) for number in range(LOCATIONS)))
        body = build_files(made, describe_set(made, []))["sequences.safetensors"]
        assert sum(len(part) for part in body) == body.measure()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (LOCATIONS + 4) * size_of_location
    arrays, _ = decode_tensors(b"".join(body))
    kept = [column for column in range(COLUMNS) if column != NEVER_TRAINED]
    assert arrays["values"].shape == (LOCATIONS, STEPS, COLUMNS - 1)
    train = first[TRAIN][:, kept].astype(np.float64)
    expected = (first[:, kept] - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(arrays["values"][1], expected, atol=1e-4)
    assert not arrays["mask"][0, :, kept.index(CONSTANT)].any()
    assert arrays["mask"][1, :, kept.index(CONSTANT)].all()


@pytest.mark.parametrize("has_gate", [False, True])
def test_a_batch_reads_no_windows_but_its_own(has_gate: bool) -> None:
    """The steps to predict of two windows of a million take less than a thousandth of the memory of all."""
    starts = np.arange(1_000_000)
    mapped = {"windows.train": np.stack([starts % 3, starts], axis=1)}
    if has_gate:
        mapped["target_steps.train"] = np.stack([starts + 48, starts + 72], axis=1)
    tracemalloc.start()
    steps = find_target_steps(mapped, "train", 48, 24, np.array([5, -1]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert steps.tolist() == [[53, 77], [1_000_047, 1_000_071]]
    assert peak < 16_000
