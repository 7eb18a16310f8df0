"""The ranks of a ring share every window without overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.training.ring import Layout, Shard

LAYOUTS: tuple[Layout, ...] = ("contiguous", "zigzag", "striped")


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("contiguous", [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ("zigzag", [[0, 1, 6, 7], [2, 3, 4, 5]]),
        ("striped", [[0, 2, 4, 6], [1, 3, 5, 7]]),
    ],
)
def test_positions_written_out(layout: Layout, expected: list[list[int]]) -> None:
    """The positions of eight steps on two ranks are these."""
    assert [Shard(layout, rank, 2).positions(8).tolist() for rank in (0, 1)] == expected


@given(layout=st.sampled_from(LAYOUTS), ranks=st.integers(1, 9), length=st.integers(1, 200))
def test_every_step_is_held_once(layout: Layout, ranks: int, length: int) -> None:
    """Any length is rounded up by less than a multiple, and each step belongs to one rank."""
    shards = [Shard(layout, rank, ranks) for rank in range(ranks)]
    rounded = shards[0].rounded(length)
    assert length <= rounded < length + shards[0].multiple
    held = [shard.positions(rounded).tolist() for shard in shards]
    assert {len(positions) for positions in held} == {rounded // ranks}
    assert sorted(step for positions in held for step in positions) == list(range(rounded))


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_zigzag_evens_out_the_work_of_causal_attention(ranks: int) -> None:
    """With zigzag the work of all ranks is equal; with contiguous blocks the last rank does nearly twice the mean."""
    length = 16 * ranks

    def uneven(layout: Layout) -> float:
        work = [float((Shard(layout, rank, ranks).positions(length) + 1).sum()) for rank in range(ranks)]
        return max(work) / float(np.mean(work))

    assert uneven("zigzag") == 1.0
    assert uneven("striped") < 1.1
    assert uneven("contiguous") > 2 - 1.1 / ranks


def test_an_unknown_layout_is_refused() -> None:
    """An unknown layout is an error."""
    with pytest.raises(ValueError, match="zig-zag is not a layout; use one of contiguous, zigzag, striped"):
        Shard("zig-zag", 0, 2)  # type: ignore[arg-type]


def test_a_rank_outside_the_ring_is_refused() -> None:
    """A rank must be from 0 to the number of ranks − 1."""
    with pytest.raises(ValueError, match="rank 2 is not one of 2"):
        Shard("zigzag", 2, 2)
