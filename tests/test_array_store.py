"""Training sets as NumPy arrays: the batches of MLX to the bit, without MLX, and in the workers of a loader."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.array_store import ArrayBatch, ArrayStore, WindowDataset, open_arrays
from gridtide.errors import StorageError, TrainingError
from gridtide.training.ring import Layout, Shard
from tests.support.sets import write_demand_set, write_random_set

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training set of demand with all splits, a gap, and covariates of the hours to predict."""
    folder = tmp_path_factory.mktemp("demand")
    return write_demand_set(folder, days=40, gap=3, future=["eia/ISNE/demand_forecast_day_ahead"])


def assert_equal(ours: ArrayBatch, theirs: dict[str, object]) -> None:
    """The batches have the same arrays, with the same types and bits."""
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        expected = np.array(theirs[name])
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape), name
        assert array.tobytes() == expected.tobytes(), name


def test_batches_are_those_of_mlx(folder: Path) -> None:
    """In every split, in order and shuffled, with fillers, and with other windows than the set was prepared with."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    for choices in ({}, {"seq_len": 30, "horizon": 5}):
        ours, theirs = open_arrays(folder, **choices), mlx_store.open_store(folder, **choices)
        for split, shuffle in (("train", True), ("validation", False), ("test", False)):
            order = {"batch_size": 7, "shuffle": shuffle, "seed": 3, "epoch": 2}
            pairs = zip(
                ours.iterate_batches(split, **order), mlx_store.iterate_batches(theirs, split, **order), strict=True
            )
            for our_batch, their_batch in pairs:
                assert_equal(our_batch, their_batch)


@settings(max_examples=25)
@given(
    layout=st.sampled_from(["contiguous", "zigzag", "striped"]),
    ranks=st.integers(1, 4),
    seq_len=st.integers(1, 13),
    seed=st.integers(0, 99),
)
def test_shards_are_those_of_mlx(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, ranks: int, seq_len: int, seed: int
) -> None:
    """Each rank of a ring gets the same steps, also where windows begin earlier because their length was rounded up."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    path = tmp_path_factory.mktemp("ring") / "sequences.safetensors"
    write_random_set(path, np.random.default_rng(seed), locations=2, steps=20, seq_len=seq_len, horizon=2)
    for rank in range(ranks):
        shard = Shard(layout, rank, ranks)
        theirs = mlx_store.iterate_batches(mlx_store.open_store(path, shard), "train", batch_size=5, shuffle=False)
        ours = open_arrays(path, shard).iterate_batches("train", batch_size=5, shuffle=False)
        for our_batch, their_batch in zip(ours, theirs, strict=True):
            assert_equal(our_batch, their_batch)


def test_windows_scaled_by_themselves_are_those_of_mlx(tmp_path: Path) -> None:
    """With per_window, all arrays are those of MLX to the bit, also of fillers; targets come back in their units with
    every scaling; a shard of such windows is refused."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    for scaling, choices in (("per_window", {}), ("per_window", {"seq_len": 47}), ("log1p", {}), ("quantile", {})):
        path = tmp_path / scaling
        if not path.exists():
            write_demand_set(path, days=40, scaling=scaling)
        ours, theirs = open_arrays(path, **choices), mlx_store.open_store(path, **choices)
        pairs = zip(
            ours.iterate_batches("validation", batch_size=4),
            mlx_store.iterate_batches(theirs, "validation", batch_size=4),
            strict=True,
        )
        for our_batch, their_batch in pairs:
            assert_equal(our_batch, their_batch)
            values = theirs.invert(their_batch, their_batch["y"])
            np.testing.assert_allclose(ours.invert(our_batch, our_batch["y"]), values, rtol=1e-5)
    with pytest.raises(TrainingError, match="Choose another scaling for a ring"):
        open_arrays(tmp_path / "per_window", Shard("zigzag", 0, 2))


def take_window(dataset: WindowDataset, number: int) -> bytes:
    """What a worker of a loader does."""
    return dataset[number]["x"].tobytes()


@pytest.mark.slow
def test_a_dataset_goes_to_other_processes_without_its_data(folder: Path) -> None:
    """A worker opens the file itself: few bytes are sent, and its windows are the same, with the shard and choices."""
    store = open_arrays(folder, Shard("zigzag", 1, 2), seq_len=30)
    dataset = store.dataset("validation")
    assert len(pickle.dumps(dataset)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(take_window, (dataset, 3)) == take_window(dataset, 3)


def test_windows_and_batches_of_a_dataset_are_those_of_the_store(folder: Path) -> None:
    """A window is a row of a batch; negative numbers count from the end; a window that is not there is refused."""
    store = open_arrays(folder)
    dataset = store.dataset("test")
    batch = dataset[[0, 2]]
    for name, array in dataset[2].items():
        np.testing.assert_array_equal(array, batch[name][1])
    np.testing.assert_array_equal(dataset[-1]["x"], dataset[len(dataset) - 1]["x"])
    assert len(list(dataset.iterate())) == len(dataset)
    with pytest.raises(IndexError, match="windows, not number"):
        dataset[len(dataset)]
    first = next(iter(store.iterate_batches("train", batch_size=4)))
    kept = first["x"].copy()
    next(iter(store.iterate_batches("train", batch_size=4, epoch=1)))
    np.testing.assert_array_equal(first["x"], kept)


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    """A folder without a set, an unknown split, a batch that is too large, and a URI say what would be right."""
    with pytest.raises(StorageError, match="Run `gridtide prepare` first"):
        open_arrays(tmp_path / "none")
    with pytest.raises(StorageError, match="Copy the file and name it"):
        open_arrays("s3://bucket/features/demand")
    store: ArrayStore = open_arrays(folder)
    with pytest.raises(TrainingError, match="The splits are: train, validation, test"):
        store.windows("all")
    with pytest.raises(TrainingError, match="Choose 1 to that many"):
        store.plan("train", 10**6)


def test_it_loads_no_framework(folder: Path) -> None:
    """Reading a batch imports neither MLX nor Arrow nor any framework."""
    program = (
        "import sys; from gridtide.array_store import open_arrays\n"
        f"next(open_arrays({str(folder)!r}).iterate_batches('train', batch_size=2))\n"
        "print([name for name in ('mlx', 'pyarrow', 'pandas', 'torch', 'jax', 'prefect') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


def read_with(framework: str, folder: Path, cache: Path) -> dict[str, list[object]]:
    """The arrays of windows of the set in `folder`, as `framework` has them in a process of its own."""
    program = ROOT / "tests" / "support" / "processes" / "framework_batches.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)}
    command = [sys.executable, str(program), framework, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert run.returncode == 0, run.stderr
    arrays: dict[str, list[object]] = json.loads(run.stdout)
    return arrays


@pytest.mark.parametrize("framework", ["jax", "datasets", "torch"])
def test_frameworks_have_the_same_windows(folder: Path, tmp_path: Path, framework: str) -> None:
    """JAX, Hugging Face `datasets` and PyTorch's loader with workers have the same arrays, types and bits."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    assert read_with(framework, folder, tmp_path) == read_with("numpy", folder, tmp_path)
