"""Batches as MLX arrays equal the windows that NumPy slices."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.errors import StorageError, TrainingError
from gridtide.lake import Lake
from gridtide.training.ring import Layout, Shard
from tests.support.grids import every_kind
from tests.support.sets import write_random_set, write_training_set

mx = pytest.importorskip("mlx.core", reason="MLX is an extra")
mlx_store = pytest.importorskip("gridtide.mlx_store")

DAYS = 30
L, H = 48, 24
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> "mlx_store.Store":
    """A training set of two locations, opened."""
    path = tmp_path_factory.mktemp("two") / "sequences.safetensors"
    write_training_set(path, DAYS, seq_len=L, horizon=H)
    return mlx_store.open_store(path)


def path_of(store: "mlx_store.Store") -> Path:
    """The path of the file of the training set."""
    return Path(store.mapped["values"].base.filename)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_batches_are_the_slices_of_the_base(store: "mlx_store.Store", split: str) -> None:
    """Shapes, types and every value are right, for every window of the split."""
    mapped = store.mapped
    count = 0
    for batch in mlx_store.iterate_batches(store, split, batch_size=3, shuffle=False):
        assert {name: tuple(array.shape) for name, array in batch.items()} == {
            "x": (3, L, mapped["values"].shape[2]),
            "mask": (3, L, mapped["values"].shape[2]),
            "y": (3, H, 1),
            "y_mask": (3, H, 1),
            "position_ids": (3, L),
            "start": (3,),
            "location_id": (3,),
            "labels": (3, L, 1),
            "label_mask": (3, L, 1),
        }
        for row in range(3):
            start, location = int(batch["start"][row]), int(batch["location_id"][row])
            if start < 0:
                assert not np.array(batch["mask"][row]).any()
                assert not np.array(batch["y_mask"][row]).any()
                continue
            assert [location, start] == store.windows(split)[count].tolist()
            count += 1
            context, ahead = slice(start, start + L), slice(start + L, start + L + H)
            np.testing.assert_array_equal(np.array(batch["x"][row]), mapped["values"][location, context])
            np.testing.assert_array_equal(np.array(batch["mask"][row]), mapped["mask"][location, context])
            np.testing.assert_array_equal(np.array(batch["y"][row]), mapped["targets"][location, ahead])
            np.testing.assert_array_equal(np.array(batch["y_mask"][row]), mapped["target_mask"][location, ahead])
            assert np.array(batch["position_ids"][row]).tolist() == list(range(L))
    assert count == len(store.windows(split))


@pytest.mark.parametrize("layout", ["contiguous", "zigzag", "striped"])
@pytest.mark.parametrize("ranks", [2, 5])
def test_the_ranks_of_a_ring_hold_the_windows_between_them(
    store: "mlx_store.Store", layout: Layout, ranks: int
) -> None:
    """The shares of all ranks, ordered by position, are the window; labels are the targets one step later, and steps
    before the data are masked."""
    path = path_of(store)
    mapped, length = store.mapped, Shard(layout, 0, ranks).rounded(L)
    front = length - L
    ring = [mlx_store.open_store(path, Shard(layout, rank, ranks)) for rank in range(ranks)]
    for batches in zip(*(mlx_store.iterate_batches(s, "train", batch_size=4, seed=1) for s in ring), strict=True):
        whole = {
            name: np.zeros((4, length, batches[0][name].shape[2])) for name in ("x", "mask", "labels", "label_mask")
        }
        for batch in batches:
            for name, array in whole.items():
                array[:, np.array(batch["position_ids"][0])] = np.array(batch[name])
        for row in range(4):
            start, place = int(batches[0]["start"][row]), int(batches[0]["location_id"][row])
            steps = np.arange(start - front, start + L)
            there = steps >= 0
            for name, tensor in (("x", "values"), ("mask", "mask")):
                np.testing.assert_array_equal(whole[name][row][there], mapped[tensor][place][steps[there]])
                assert not whole[name][row][~there].any()
            there = steps >= -1
            for name, tensor in (("labels", "targets"), ("label_mask", "target_mask")):
                np.testing.assert_array_equal(whole[name][row][there], mapped[tensor][place][steps[there] + 1])
        np.testing.assert_array_equal(np.array(batches[0]["y"]), np.array(batches[-1]["y"]))


@pytest.mark.parametrize("together", [1, 3, 100])
@pytest.mark.parametrize("prefetch", [True, False])
def test_batches_gathered_together_are_those_gathered_alone(
    store: "mlx_store.Store", monkeypatch: pytest.MonkeyPatch, together: int, prefetch: bool
) -> None:
    """Batches are the same, however many are gathered at a time and whether in advance or on request."""

    def batches(prefetch: bool) -> list[dict[str, list[object]]]:
        found = mlx_store.iterate_batches(store, "validation", batch_size=2, prefetch=prefetch)
        return [{name: array.tolist() for name, array in batch.items()} for batch in found]

    expected = batches(prefetch=True)
    width = store.mapped["values"].shape[2]
    monkeypatch.setattr(mlx_store, "BYTES_AT_ONCE", together * 2 * L * width * 4)
    assert batches(prefetch) == expected


def test_a_store_is_used_in_other_threads_than_it_was_opened_in(store: "mlx_store.Store") -> None:
    """Another thread gets the same batches."""

    def starts(store: "mlx_store.Store") -> list[float]:
        return [float(batch["x"].sum()) for batch in mlx_store.iterate_batches(store, "test", batch_size=2)]

    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(mlx_store.open_store, path_of(store)).result()
        assert starts(opened) == starts(store) == pool.submit(starts, store).result()


@settings(max_examples=60)
@given(random=st.integers(0, 2**32 - 1).map(np.random.default_rng), rows=st.integers(1, 40), data=st.data())
def test_blocks_of_an_array_viewed_in_pieces(random: np.random.Generator, rows: int, data: st.DataObject) -> None:
    """With any size of pieces, every block is the slice, in the requested order."""
    length, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, 4))
    most = length * width + data.draw(st.integers(0, 30))
    array = random.random((rows, width), np.float32)
    firsts = random.integers(0, rows - length + 1, 7)
    found = mlx_store.Blocks.of(mx.array(array), length, most).take(firsts)
    np.testing.assert_array_equal(np.array(found), [array[first : first + length] for first in firsts])


def test_a_window_too_large_to_view_is_refused() -> None:
    """A window that is larger than a view is refused."""
    with pytest.raises(TrainingError, match="a window of 3 × 2: has over 5 values"):
        mlx_store.Blocks.of(mx.zeros((9, 2)), 3, 5)


def test_batches_may_be_kept(store: "mlx_store.Store") -> None:
    """A batch is never overwritten by a later one or by later computations."""
    kept = list(mlx_store.iterate_batches(store, "train", batch_size=2))
    sums = [batch["x"].sum() for batch in kept]
    alone = [np.array(b["x"]).sum(dtype=np.float64) for b in mlx_store.iterate_batches(store, "train", batch_size=2)]
    np.testing.assert_allclose(np.array(sums), alone, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("prefetch", [True, False])
def test_no_more_than_two_batches_are_there_at_a_time(tmp_path: Path, prefetch: bool) -> None:
    """Memory contains the batch of the loop and the next one, and none after the loop was left."""
    path, random = tmp_path / "sequences.safetensors", np.random.default_rng(0)
    write_random_set(path, random, locations=1, steps=200_000, seq_len=100_000, horizon=1)
    store = mlx_store.open_store(path)
    mx.eval([blocks.pieces for blocks in store.blocks.values()])
    base = mx.get_active_memory()
    mx.reset_peak_memory()
    for number, batch in enumerate(mlx_store.iterate_batches(store, "train", batch_size=8, prefetch=prefetch)):
        mx.eval(batch)
        if number == 5:
            break
    one = sum(array.nbytes for array in batch.values())
    assert mx.get_peak_memory() - base < 2.1 * one
    assert number == 5


def test_batches_are_let_go_in_any_order_and_thread(store: "mlx_store.Store") -> None:
    """Batches can be released in any order and thread, and the next batches are the same."""
    expected = [b["start"].tolist() for b in mlx_store.iterate_batches(store, "validation", batch_size=1)]
    held: list[dict[str, object]] = []
    found = []
    with ThreadPoolExecutor(1) as pool:
        for number, batch in enumerate(mlx_store.iterate_batches(store, "validation", batch_size=1)):
            found.append(batch["start"].tolist())
            held.append(batch)
            del batch
            if number % 5 == 4:
                pool.submit(held.clear).result()
            elif number % 3 == 2:
                held.pop(0)
    assert found == expected


def test_training_sequences_are_the_batches_of_some_epochs(store: "mlx_store.Store") -> None:
    """`get_training_sequences` gives the batches of all epochs, each in its own order, from the path of the folder."""
    found = [
        batch["start"].tolist()
        for batch in mlx_store.get_training_sequences(path_of(store).parent, batch_size=4, epochs=2, seed=3)
    ]
    expected = [
        batch["start"].tolist()
        for epoch in (0, 1)
        for batch in mlx_store.iterate_batches(store, "train", batch_size=4, seed=3, epoch=epoch)
    ]
    assert found == expected


def test_the_context_of_now_is_the_end_of_the_set(store: "mlx_store.Store") -> None:
    """Without a configuration, the context is the last hours of both locations, with their times."""
    mapped = store.mapped
    context = mlx_store.get_real_time_context(store, lookback_hours=30)
    np.testing.assert_array_equal(np.array(context["x"]), mapped["values"][:, -30:])
    np.testing.assert_array_equal(np.array(context["mask"]), mapped["mask"][:, -30:])
    assert context["time"].tolist() == mapped["time"][-30:].tolist()
    assert context["location_id"].tolist() == [0, 1]
    assert context["position_ids"].tolist() == [list(range(30))] * 2
    with pytest.raises(TrainingError, match="has 720 hours, not 721"):
        mlx_store.get_real_time_context(path_of(store), lookback_hours=721)


def test_a_process_that_is_alone_gets_whole_windows(tmp_path: Path) -> None:
    """A single process gets whole windows, even if the spec has a ring."""
    path = tmp_path / "sequences.safetensors"
    write_training_set(path, DAYS, seq_len=L, horizon=H, ring={"layout": "zigzag", "ranks": 5})
    batch = next(mlx_store.get_training_sequences(path))
    assert batch["x"].shape[1] == L


def test_labels_are_the_targets_one_step_later_in_a_single_process_too(store: "mlx_store.Store") -> None:
    """Without a ring, `labels` are the targets of the hour after each position; the last one is the first of `y`."""
    for batch in mlx_store.iterate_batches(store, "train", batch_size=4):
        for row, (start, place) in enumerate(zip(batch["start"].tolist(), batch["location_id"].tolist(), strict=True)):
            steps = slice(start + 1, start + L + 1)
            np.testing.assert_array_equal(np.array(batch["labels"][row]), store.mapped["targets"][place, steps])
            np.testing.assert_array_equal(np.array(batch["label_mask"][row]), store.mapped["target_mask"][place, steps])
        np.testing.assert_array_equal(np.array(batch["labels"][:, -1]), np.array(batch["y"][:, 0]))


def test_train_is_shuffled_by_seed_and_epoch(store: "mlx_store.Store") -> None:
    """The same seed and epoch give the same batches, another epoch gives others."""

    def starts(epoch: int) -> list[list[int]]:
        found = mlx_store.iterate_batches(store, "train", batch_size=4, seed=7, epoch=epoch)
        return [np.array(batch["start"]).tolist() for batch in found]

    assert starts(0) == starts(0) != starts(1)
    assert len(starts(0)) == len(store.windows("train")) // 4


def test_targets_come_back_in_their_units(store: "mlx_store.Store") -> None:
    """Undoing the scale gives the original demand."""
    batch = next(mlx_store.iterate_batches(store, "test", batch_size=1))
    start = int(batch["start"][0]) + L
    demand = [row.value for row in every_kind(DAYS)["demand"][2]][start : start + H]
    np.testing.assert_allclose(store.target_scale(0).invert(np.array(batch["y"][0]))[:, 0], demand, rtol=1e-6)


def test_mlx_loads_the_same_file(store: "mlx_store.Store") -> None:
    """`mx.load` and the memory map agree."""
    path = path_of(store)
    np.testing.assert_array_equal(np.array(mx.load(str(path))["values"]), store.mapped["values"])


def test_without_mlx_there_is_one_clear_error() -> None:
    """Without MLX, sets can be prepared, and opening a store says what to install."""
    program = (
        "import sys; sys.modules['mlx'] = None\n"
        "from gridtide import errors, training; training.prepare\n"
        "try: import gridtide.mlx_store\n"
        "except errors.TrainingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Install gridtide[mlx]" in done.stdout


def test_impossible_batches_are_refused(store: "mlx_store.Store") -> None:
    """An unknown split, and a batch larger than any split, are refused with the alternatives."""
    with pytest.raises(TrainingError, match="The splits are: train, validation, test"):
        next(mlx_store.iterate_batches(store, "dev", batch_size=1))
    with pytest.raises(TrainingError, match="train has"):
        next(mlx_store.iterate_batches(store, "train", batch_size=10_000))


def test_a_set_in_a_bucket_is_opened_by_its_uri(store: "mlx_store.Store", bucket: str) -> None:
    """Batches and context of a set in a bucket equal those of the local file, which may be deleted."""
    uri = f"s3://{bucket}/grid/features/two"
    asyncio.run(Lake.open(uri).store.put("sequences.safetensors", path_of(store).read_bytes()))
    for remote in (uri, f"{uri}/sequences.safetensors"):
        batch = next(mlx_store.get_training_sequences(remote, "test", batch_size=2))
        expected = next(mlx_store.iterate_batches(store, "test", batch_size=2))
        assert {name: array.tolist() for name, array in batch.items()} == {
            name: array.tolist() for name, array in expected.items()
        }
    context = mlx_store.get_real_time_context(uri, 24)
    np.testing.assert_array_equal(np.array(context["x"]), store.mapped["values"][:, -24:])


def test_a_file_of_something_else_is_no_training_set(tmp_path: Path) -> None:
    """A safetensors file without a manifest is refused."""
    mx.save_safetensors(str(tmp_path / "weights.safetensors"), {"weight": mx.zeros(3)})
    with pytest.raises(StorageError, match="is not a training set"):
        mlx_store.open_store(tmp_path / "weights.safetensors")
