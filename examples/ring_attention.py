"""Computes causal attention over windows that are split over several processes, and compares it with whole windows.

    mlx.launch -n 2 --backend ring -- python examples/ring_attention.py lake/features/isne_demand --layout zigzag

Without `--layout`, the `ring` of the training set determines the share of each process.

Every process gets its share of each window (`Shard`). Keys and values are passed around the ring, and each process
computes the attention of its own queries to them (Liu et al., Ring Attention, https://arxiv.org/abs/2310.01889).
"""

from __future__ import annotations

import argparse

import mlx.core as mx
import numpy as np

from gridtide.mlx_store import iterate_batches, open_store
from gridtide.training.ring import Shard

LOWEST = -1e30

BLOCK = 512
"""Queries are computed in blocks of this many, so that the scores of a rank do not need the square of its share."""

MEGABYTE = 1e6


def pass_on(group: mx.distributed.Group, *arrays: mx.array) -> list[mx.array]:
    """Send `arrays` to the next rank, and return those of the previous rank.

    Even ranks send first and odd ranks receive first, so that not all ranks wait for each other.
    """
    rank, ranks = group.rank(), group.size()
    received = []
    for array in arrays:
        for turn in (0, 1):
            if (rank + turn) % 2 == 0:
                mx.eval(mx.distributed.send(mx.contiguous(array), (rank + 1) % ranks, group=group))
            else:
                incoming = mx.distributed.recv_like(array, (rank - 1) % ranks, group=group)
                mx.eval(incoming)
        received.append(incoming)
    return received


def ring_attention(
    q: mx.array, k: mx.array, v: mx.array, positions: mx.array, group: mx.distributed.Group
) -> tuple[mx.array, int]:
    """Causal attention of this rank's queries over the keys of all ranks.

    `q`, `k` and `v` (B, heads, L, D) belong to the share of the rank; `positions` (L,), int32, are the positions of the
    share in the window. Returns the attention (B, heads, L, D), and the number of pairs of positions that the rank
    computed.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, q.shape[2], BLOCK)]
    empty = (mx.full((*q.shape[:2], BLOCK, 1), LOWEST), mx.zeros((*q.shape[:2], BLOCK, 1)), mx.array(0.0))
    states = [empty] * len(blocks)
    key_positions, work = positions, 0
    for turn in range(group.size()):
        for number, block in enumerate(blocks):
            visible = positions[block, None] >= key_positions[None, :]
            states[number] = attend(q[:, :, block], k, v, visible, states[number])
            mx.eval(states[number])
            work += int(visible.sum().item())
        if turn < group.size() - 1:
            k, v, key_positions = pass_on(group, k, v, key_positions)
    return mx.concatenate([attention / total for _, total, attention in states], axis=2), work


State = tuple[mx.array, mx.array, mx.array]
"""Of queries (B, heads, L, ·): the largest score, the total of the weights, and the weighted sum of the values."""


def attend(q: mx.array, k: mx.array, v: mx.array, visible: mx.array, state: State) -> State:
    """The `state` of the queries `q` after they have attended to the `visible` (L, M) of the keys `k` as well."""
    largest, total, attention = state
    largest, total = largest[:, :, : q.shape[2]], total[:, :, : q.shape[2]]
    scores = mx.where(visible, (q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2), LOWEST)
    new_largest = mx.maximum(largest, scores.max(axis=-1, keepdims=True))
    weights = mx.where(visible, mx.exp(scores - new_largest), 0)
    shrink = mx.exp(largest - new_largest)
    return new_largest, total * shrink + weights.sum(axis=-1, keepdims=True), attention * shrink + weights @ v


def project_heads(x: mx.array, count: int, width: int, seed: int) -> list[mx.array]:
    """Queries, keys and values (B, count, L, width) of `x` (B, L, F), by fixed random projections."""
    keys = mx.random.split(mx.random.key(seed), 3)
    weights = [mx.random.normal((x.shape[-1], count * width), key=key) * x.shape[-1] ** -0.5 for key in keys]
    return [(x @ w).reshape(*x.shape[:2], count, width).swapaxes(1, 2) for w in weights]


def main() -> None:
    """Compare both on the first batch of the training set, and print how evenly the work was shared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="folder of a training set")
    parser.add_argument(
        "--layout", choices=("contiguous", "zigzag", "striped"), help="instead of that of the training set"
    )
    arguments = parser.parse_args()
    group = mx.distributed.init(strict=True, backend="ring")
    rank, ranks = group.rank(), group.size()
    store = open_store(arguments.path, Shard(arguments.layout, rank, ranks) if arguments.layout else None)
    if store.shard.ranks != ranks:
        raise SystemExit(f"the training set is not for a ring of {ranks} processes; give a --layout")
    batch = next(iterate_batches(store, "train", batch_size=2))
    positions = batch["position_ids"][0]
    heads = project_heads(batch["x"], 2, 32, seed=0)
    mx.eval(heads)
    mx.reset_peak_memory()
    own_attention, work = ring_attention(*heads, positions, group)
    held = sum(array.nbytes for array in (batch["x"], *heads)) / MEGABYTE
    memory = mx.distributed.all_gather(mx.array([[held, mx.get_peak_memory() / MEGABYTE]]), group=group)
    shares = mx.distributed.all_gather(mx.array([work]), group=group)
    all_positions = mx.distributed.all_gather(positions, group=group)
    parts = mx.distributed.all_gather(mx.swapaxes(batch["x"], 0, 1), group=group)
    mx.eval(memory, shares, all_positions, parts)
    whole = mx.swapaxes(parts[mx.argsort(all_positions)], 0, 1)
    full = mx.fast.scaled_dot_product_attention(*project_heads(whole, 2, 32, seed=0), scale=32**-0.5, mask="causal")
    difference = mx.distributed.all_gather(mx.abs(own_attention - full[:, :, positions]).max()[None], group=group)
    mx.eval(difference)
    if rank == 0:
        worked = np.array(shares, dtype=np.float64)
        print(
            f"{store.shard.layout}, {ranks} ranks, windows of {whole.shape[1]}: "
            f"differs from full attention by {float(difference.max()):.1e}, "
            f"work of the busiest rank / mean {worked.max() / worked.mean():.2f}",
            flush=True,
        )
        most_held, most_used = np.array(memory).max(axis=0)
        print(
            f"each rank holds {len(positions)} of {whole.shape[1]} steps: inputs, queries, keys and values "
            f"of 2 windows, {most_held:.3f} MB; at most {most_used:.0f} MB in use during attention",
            flush=True,
        )
    # All ranks wait for each other here, because a rank that has ended no longer sends.
    mx.eval(mx.distributed.all_sum(mx.array(1.0), group=group))


if __name__ == "__main__":
    main()
