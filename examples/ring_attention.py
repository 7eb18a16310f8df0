"""Causal attention over windows that no single process holds, checked against attention over whole ones.

    mlx.launch -n 2 --backend ring examples/ring_attention.py lake/features/isne_demand --layout zigzag

Without a layout, the training set's own `ring` says what each process holds.

Every process gets its share of each window (`Shard`), and keys and values travel round the ring while
each adds what its own queries make of them (Liu et al., Ring Attention, https://arxiv.org/abs/2310.01889).
"""

from __future__ import annotations

import argparse

import mlx.core as mx
import numpy as np

from gridtide.mlx_store import iterate_batches, open_store
from gridtide.training.ring import Shard

LOWEST = -1e30


def pass_on(group: mx.distributed.Group, *arrays: mx.array) -> list[mx.array]:
    """`arrays` of the rank before this one, while this one's go to the rank after it.

    Even ranks send first and odd ones receive first, so that nobody waits for everybody.
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

    `q`, `k`, `v` (B, heads, L, D) of the rank's share, `positions` (L,) its places in the window, int32.
    Returns the outcome (B, heads, L, D), and how many pairs of places the rank worked on.
    """
    scale = q.shape[-1] ** -0.5
    best = mx.full((*q.shape[:3], 1), LOWEST)
    total, outcome = mx.zeros_like(best), mx.zeros_like(q)
    theirs, work = positions, 0
    for turn in range(group.size()):
        visible = positions[:, None] >= theirs[None, :]
        scores = mx.where(visible, (q * scale) @ k.swapaxes(-1, -2), LOWEST)
        better = mx.maximum(best, scores.max(axis=-1, keepdims=True))
        weights = mx.where(visible, mx.exp(scores - better), 0)
        shrink = mx.exp(best - better)
        best, total = better, total * shrink + weights.sum(axis=-1, keepdims=True)
        outcome = outcome * shrink + weights @ v
        work += int(visible.sum().item())
        if turn < group.size() - 1:
            k, v, theirs = pass_on(group, k, v, theirs)
    return outcome / total, work


def heads(x: mx.array, count: int, width: int, seed: int) -> list[mx.array]:
    """Queries, keys and values (B, count, L, width) of `x` (B, L, F), by fixed random projections."""
    keys = mx.random.split(mx.random.key(seed), 3)
    weights = [mx.random.normal((x.shape[-1], count * width), key=key) * x.shape[-1] ** -0.5 for key in keys]
    return [(x @ w).reshape(*x.shape[:2], count, width).swapaxes(1, 2) for w in weights]


def main() -> None:
    """Compare the two on the first batch of the training set, and say how even the work was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="folder of a training set")
    parser.add_argument("--layout", choices=("contiguous", "zigzag", "striped"), help="instead of the set's own ring")
    arguments = parser.parse_args()
    group = mx.distributed.init(strict=True, backend="ring")
    rank, ranks = group.rank(), group.size()
    store = open_store(arguments.path, Shard(arguments.layout, rank, ranks) if arguments.layout else None)
    if store.shard.ranks != ranks:
        raise SystemExit(f"the set is not for a ring of {ranks}; say with --layout how to deal it out")
    batch = next(iterate_batches(store, "train", batch_size=2))
    positions = batch["position_ids"][0]
    mine, work = ring_attention(*heads(batch["x"], 2, 32, seed=0), positions, group)
    shares = mx.distributed.all_gather(mx.array([work]), group=group)
    place = mx.distributed.all_gather(positions, group=group)
    parts = mx.distributed.all_gather(mx.swapaxes(batch["x"], 0, 1), group=group)
    mx.eval(shares, place, parts)
    whole = mx.swapaxes(parts[mx.argsort(place)], 0, 1)
    full = mx.fast.scaled_dot_product_attention(*heads(whole, 2, 32, seed=0), scale=32**-0.5, mask="causal")
    difference = mx.distributed.all_gather(mx.abs(mine - full[:, :, positions]).max()[None], group=group)
    mx.eval(difference)
    if rank == 0:
        worked = np.array(shares, dtype=np.float64)
        print(
            f"{store.shard.layout}, {ranks} ranks, windows of {whole.shape[1]}: "
            f"differs from full attention by {float(difference.max()):.1e}, "
            f"work of the busiest rank / mean {worked.max() / worked.mean():.2f}",
            flush=True,
        )
    mx.eval(mx.distributed.all_sum(mx.array(1.0), group=group))  # nobody leaves while another still listens


if __name__ == "__main__":
    main()
