"""The steps of a window that each rank of a ring holds.

    ranks 0 and 1, 8 steps      contiguous  0 0 0 0 1 1 1 1
                                zigzag      0 0 1 1 1 1 0 0
                                striped     0 1 0 1 0 1 0 1

Under a causal mask a later step attends to more steps, so contiguous blocks give the first ranks less work. Zigzag
pairs early blocks with late ones (Zhu, https://github.com/zhuzilin/ring-flash-attention), striped alternates the steps
(Brandon et al., https://arxiv.org/abs/2311.09431): both balance the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Layout = Literal["contiguous", "zigzag", "striped"]


@dataclass(frozen=True, slots=True)
class Shard:
    """The steps of every window that rank `rank` of `ranks` holds, by `layout`.

    >>> Shard("zigzag", rank=0, ranks=2).positions(8).tolist()
    [0, 1, 6, 7]
    """

    layout: Layout
    rank: int
    ranks: int

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ValueError(f"{self.layout} is not a layout; use one of {', '.join(get_args(Layout))}")
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"rank {self.rank} is not one of {self.ranks} ranks")

    @property
    def multiple(self) -> int:
        """The length of a window must be a multiple of this."""
        return 2 * self.ranks if self.layout == "zigzag" else self.ranks

    def rounded(self, length: int) -> int:
        """Returns the smallest length not below `length` that divides evenly among the ranks."""
        return -(-length // self.multiple) * self.multiple

    def runs(self, length: int) -> list[tuple[int, int]]:
        """Returns the runs of steps that the rank holds, each as its first position and its number of steps. The steps
        of a run are `ranks` apart if striped, else adjacent.

        `length` must be a multiple of `multiple`.
        """
        if self.layout == "striped":
            return [(self.rank, length // self.ranks)]
        if self.layout == "contiguous":
            block_length = length // self.ranks
            return [(self.rank * block_length, block_length)]
        block_length = length // (2 * self.ranks)
        return [
            (self.rank * block_length, block_length),
            ((2 * self.ranks - 1 - self.rank) * block_length, block_length),
        ]

    def positions(self, length: int) -> npt.NDArray[np.int32]:
        """Returns the global positions within the window that the rank holds, (length / ranks,), ascending."""
        distance = self.ranks if self.layout == "striped" else 1
        runs = [first + distance * np.arange(count, dtype=np.int32) for first, count in self.runs(length)]
        return np.concatenate(runs).astype(np.int32)
