"""Batches, and the shares of a ring, compared with plain loops over the rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridtide.training.ring import Layout, Shard
from tests.support.sets import write_random_set

mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")

LAYOUTS: tuple[Layout, ...] = ("contiguous", "zigzag", "striped")


def dealt(layout: Layout, position: int, length: int, ranks: int) -> int:
    """The rank of `position` in a window of `length` steps."""
    if layout == "striped":
        return position % ranks
    if layout == "contiguous":
        return position // (length // ranks)
    part = position // (length // (2 * ranks))
    return min(part, 2 * ranks - 1 - part)


def row(tensor: Any, mask: Any, place: int, step: int) -> tuple[list[float], list[bool]]:
    """Values and mask of a step; nothing before the first step."""
    if step < 0:
        return [0.0] * tensor.shape[2], [False] * tensor.shape[2]
    return tensor[place, step].tolist(), mask[place, step].tolist()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    random=st.integers(0, 2**32 - 1).map(np.random.default_rng),
    layout=st.sampled_from(LAYOUTS),
    ranks=st.integers(1, 4),
    seq_len=st.integers(1, 13),
    horizon=st.integers(1, 4),
    more=st.integers(0, 9),
    locations=st.integers(1, 3),
    size=st.integers(1, 5),
)
def test_every_rank_gets_its_rows_of_every_window(
    tmp_path: Path,
    random: np.random.Generator,
    layout: Layout,
    ranks: int,
    seq_len: int,
    horizon: int,
    more: int,
    locations: int,
    size: int,
) -> None:
    """Values, masks, labels, targets and positions of each rank are right at every step, also with rounded windows
    and with windows as long as the data."""
    path = tmp_path / "random.safetensors"
    shape = {"locations": locations, "steps": seq_len + horizon + more, "seq_len": seq_len, "horizon": horizon}
    made = write_random_set(path, random, **shape)
    windows = made["windows.train"].tolist()
    assert len(windows) == locations * (more + 1)
    for rank in range(ranks):
        store = mlx_store.open_store(path, Shard(layout, rank, ranks))
        length = store.length
        mine = [position for position in range(length) if dealt(layout, position, length, ranks) == rank]
        seen = []
        for batch in mlx_store.iterate_batches(store, "train", batch_size=size, shuffle=False):
            got = {name: array.tolist() for name, array in batch.items()}
            for b in range(size):
                assert got["position_ids"][b] == mine
                place, start = got["location_id"][b], got["start"][b]
                if start < 0:
                    assert not np.any(got["mask"][b]) and not np.any(got["y_mask"][b])  # noqa: PT018  # one thought
                    continue
                seen.append([place, start])
                t0 = start + seq_len
                for at, position in enumerate(mine):
                    step = t0 - length + position
                    expected = row(made["values"], made["mask"], place, step)
                    assert (got["x"][b][at], got["mask"][b][at]) == expected
                    if ranks > 1:
                        expected = row(made["targets"], made["target_mask"], place, step + 1)
                        assert (got["labels"][b][at], got["label_mask"][b][at]) == expected
                for h in range(horizon):
                    expected = row(made["targets"], made["target_mask"], place, t0 + h)
                    assert (got["y"][b][h], got["y_mask"][b][h]) == expected
        assert seen == windows


@pytest.mark.parametrize("seq_len", [47, 48, 169])
@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_ranks_of_a_ring_together_hold_windows_of_odd_lengths(
    tmp_path: Path, layout: Layout, ranks: int, seq_len: int
) -> None:
    """Put together by their positions, the ranks have the whole windows, behind steps without values; each has the
    whole targets."""
    path = tmp_path / "set.safetensors"
    shape = {"locations": 2, "steps": seq_len + 12 + 5, "seq_len": seq_len, "horizon": 12}
    write_random_set(path, np.random.default_rng(seq_len), **shape)
    stores = [mlx_store.open_store(path), *(mlx_store.open_store(path, Shard(layout, n, ranks)) for n in range(ranks))]
    batches = zip(
        *(mlx_store.iterate_batches(store, "train", batch_size=3, shuffle=False) for store in stores), strict=True
    )
    windows = 0
    for whole, *parts in batches:
        steps = np.argsort(np.concatenate([part["position_ids"] for part in parts], 1)[0])
        joined = {name: np.concatenate([np.array(part[name]) for part in parts], 1)[:, steps] for name in ("x", "mask")}
        added = len(steps) - seq_len
        assert 0 <= added < 2 * ranks
        for name, array in joined.items():
            assert np.array_equal(array[:, added:], np.array(whole[name]))
        assert all(np.array_equal(np.array(part["y"]), np.array(whole["y"])) for part in parts)
        windows += int((np.array(whole["start"]) >= 0).sum())
    assert windows == 2 * 6
