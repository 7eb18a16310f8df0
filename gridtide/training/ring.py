"""Which steps of a window each rank of a ring holds; pure.

    ranks 0 and 1, 8 steps      contiguous  0 0 0 0 1 1 1 1
                                zigzag      0 0 1 1 1 1 0 0
                                striped     0 1 0 1 0 1 0 1

Under a causal mask a later step attends to more of the others, so contiguous blocks leave the first
ranks idle. Zigzag pairs early blocks with late ones (Zhu, https://github.com/zhuzilin/ring-flash-attention),
striped deals the steps out (Brandon et al., https://arxiv.org/abs/2311.09431): both even the work out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Layout = Literal["contiguous", "zigzag", "striped"]


@dataclass(frozen=True, slots=True)
class Shard:
    """What rank `rank` of `ranks` holds of every window, by `layout`.

    >>> Shard("zigzag", rank=0, ranks=2).positions(8).tolist()
    [0, 1, 6, 7]
    """

    layout: Layout
    rank: int
    ranks: int

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ValueError(f"{self.layout} is no layout; there are {', '.join(get_args(Layout))}")
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"rank {self.rank} is not one of {self.ranks} ranks")

    @property
    def multiple(self) -> int:
        """What the length of a window must be a multiple of."""
        return 2 * self.ranks if self.layout == "zigzag" else self.ranks

    def rounded(self, length: int) -> int:
        """The smallest length that is not below `length` and can be dealt out evenly."""
        return -(-length // self.multiple) * self.multiple

    def runs(self, length: int) -> list[tuple[int, int]]:
        """The runs of steps that the rank holds, as first position and count; `ranks` apart if striped.

        `length` is a rounded one.
        """
        if self.layout == "striped":
            return [(self.rank, length // self.ranks)]
        if self.layout == "contiguous":
            size = length // self.ranks
            return [(self.rank * size, size)]
        size = length // (2 * self.ranks)
        return [(self.rank * size, size), ((2 * self.ranks - 1 - self.rank) * size, size)]

    def positions(self, length: int) -> npt.NDArray[np.int32]:
        """The global positions within the window that the rank holds, (length / ranks,), ascending."""
        step = self.ranks if self.layout == "striped" else 1
        runs = [first + step * np.arange(count, dtype=np.int32) for first, count in self.runs(length)]
        return np.concatenate(runs).astype(np.int32)
