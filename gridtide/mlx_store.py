"""Training sets as MLX arrays. The only module that imports MLX.

The base of each location stays one array of rows; a batch is gathered from it by row blocks
(`mx.as_strided` views every block of L rows, `mx.take` copies the blocks of the batch), while the model
works on the batch before it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError, TrainingError
from gridtide.observations.array_types import Integers
from gridtide.training import tensors
from gridtide.training.ring import Shard
from gridtide.training.windows import splits
from gridtide.training.windows.scaling import Scale
from gridtide.training.windows.windows import batch_windows

if TYPE_CHECKING:
    from gridtide.entries.entry import Config
    from gridtide.lake import Lake

try:
    import mlx.core as mx
except ImportError as error:
    raise TrainingError(
        "MLX",
        f"cannot be imported: {error}",
        "Install gridtide[mlx] (Apple silicon with macOS 14 or later, or Linux with glibc 2.35 or later)",
    ) from error

FILE = "sequences.safetensors"

CACHE = 1 << 30
"""Bytes MLX may keep for reuse: below a batch's size every batch allocates anew, which takes 8 times as long."""

LARGEST_VIEW = 2**31 - 1
"""The most elements of an array that MLX views in strides."""

BYTES_AT_ONCE = 8 << 20
"""Bytes gathered at a time. Short windows come several batches at once, because each gathering costs some 0.1 ms."""

VALUES, REMAINDER = (mx.new_thread_local_stream(mx.cpu) for _ in range(2))
"""What is gathered runs beside the model, `x` beside everything else; Apple's GPU reads the same memory."""

CONTEXT_TENSORS = {"x": "values", "mask": "mask"}
LABEL_TENSORS = {"labels": "targets", "label_mask": "target_mask"}
"""From which tensors of the file the larger arrays of a batch come."""

Batch = dict[str, Any]
Returned = TypeVar("Returned")

WHOLE = Shard("contiguous", rank=0, ranks=1)
"""The shard of a process that is alone."""


@dataclass(frozen=True)
class Store:
    """An opened training set: R locations, T steps, F inputs, K targets, as one rank sees it.

    `mapped`: every tensor of the file as a NumPy memory map. `blocks`: by what a batch calls it, what
    its context is gathered from. `positions` (length / ranks,): the places in the whole window that
    the rank holds.
    """

    manifest: Mapping[str, Any]
    mapped: Mapping[str, npt.NDArray[np.generic]]
    shard: Shard
    blocks: Mapping[str, Blocks]
    positions: Any

    @property
    def steps(self) -> int:
        """T, the steps of each location."""
        return int(self.mapped["values"].shape[1])

    @property
    def length(self) -> int:
        """The steps of context over all ranks: `seq_len`, rounded up to what the shard can deal out."""
        return self.shard.rounded(self.manifest["spec"]["seq_len"])

    @property
    def front(self) -> int:
        """By how many steps the context was rounded up."""
        return self.length - int(self.manifest["spec"]["seq_len"])

    def windows(self, split: str) -> npt.NDArray[np.int64]:
        """Location and start step of the windows of `split`, (N, 2); raises `TrainingError` for another name."""
        if split not in splits.SPLITS:
            raise TrainingError(split, "is no split", f"The splits are: {', '.join(splits.SPLITS)}")
        return self.mapped[f"windows.{split}"]  # type: ignore[return-value]  # written as int64

    def target_scale(self, location: int = 0) -> Scale:
        """How the targets (…, K) of `location` were scaled; `invert` gives them back in their units."""
        mean, deviation = self.mapped["target_mean"], self.mapped["target_deviation"]
        return Scale(np.array(mean[location], np.float64), np.array(deviation[location], np.float64))


@dataclass(frozen=True)
class Blocks:
    """All blocks of `length` consecutive rows of an array (N, C), as views; one that is taken is copied.

    An array that is too large for one view is viewed in pieces, each with the blocks that begin in
    `step` rows: they overlap, but nothing of them is copied.
    """

    length: int
    step: int
    pieces: tuple[Any, ...]

    @classmethod
    def of(cls, rows: Any, length: int, most: int = LARGEST_VIEW) -> Blocks:
        """The blocks of `rows` (N, C), viewed `most` elements at a time.

        Raises `TrainingError` where one block alone has more.
        """
        count, width = rows.shape
        step = most // width - length + 1
        if step < 1:
            raise TrainingError(f"a window of {length} × {width}", f"has over {most} values", "Shorten seq_len")
        pieces = []
        for first in range(0, count - length + 1, step):
            piece = rows[first : first + step + length - 1]
            shape = (piece.shape[0] - length + 1, length, width)
            pieces.append(mx.as_strided(piece, shape, (width, width, 1)))
        return cls(length, step, tuple(pieces))

    def take(self, firsts: npt.NDArray[np.int64]) -> Any:
        """The blocks that begin at rows `firsts` (B,): (B, length, C)."""
        piece = firsts // self.step
        if (piece == piece[0]).all():
            within = (firsts - piece[0] * self.step).astype(np.uint32)
            return mx.take(self.pieces[piece[0]], mx.array(within), axis=0)
        parts = [self.take(firsts[piece == number]) for number in np.unique(piece)]
        back = np.argsort(np.argsort(piece, kind="stable")).astype(np.uint32)
        return mx.take(mx.concatenate(parts), mx.array(back), axis=0)


def open_store(path: str | Path, shard: Shard | None = None) -> Store:
    """The training set in the safetensors file at `path`, or in that folder (or URI), as `shard` sees it.

    Without `shard`: as the spec's `ring` deals it out to the ranks of this process's group
    (`mx.distributed`), whole to a process that is alone. The base is being read into MLX's memory when
    this returns, and MLX may keep `CACHE` bytes for reuse from then on.

    Raises `StorageError` where there is no such file or it is none of Gridtide's, `TrainingError`
    where the group has not as many ranks as the ring.
    """
    with _local_file(path) as file:
        manifest, mapped = _open_file(file)
        shard = shard or _own_shard(manifest)
        window_length = manifest["spec"]["seq_len"]
        length = shard.rounded(window_length)
        run = shard.runs(length)[0][1]
        mx.set_cache_limit(max(CACHE, mx.set_cache_limit(CACHE)))
        with mx.stream(REMAINDER):
            loaded: Any = mx.load(str(file))
            blocks = {
                name: Blocks.of(_deal_rows(loaded[tensor], length - window_length, shard), run)
                for name, tensor in (CONTEXT_TENSORS | (LABEL_TENSORS if shard.ranks > 1 else {})).items()
            }
            mx.async_eval([views.pieces for views in blocks.values()])  # type: ignore[no-untyped-call]  # it has no types
    return Store(manifest, mapped, shard, blocks, mx.array(shard.positions(length)))


@contextmanager
def _local_file(path: str | Path) -> Iterator[Path]:
    """The file at `path` or in that folder; of one at a URI a copy, which may go once it has been opened."""
    if "://" not in str(path):
        path = Path(path)
        yield path / FILE if path.is_dir() else path
        return
    from gridtide.lake import Lake

    folder = str(path).removesuffix(FILE).rstrip("/")
    with TemporaryDirectory() as temporary:
        copy = Path(temporary, FILE)
        copy.write_bytes(_run_awaited(Lake.open(folder).store.read(FILE)))
        yield copy


def _map_anywhere(path: str | Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
    """As `_open_file`, wherever the file is."""
    with _local_file(path) as file:
        return _open_file(file)


def _open_file(file: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
    """The manifest of a training set, and its tensors as memory maps."""
    mapped, metadata = tensors.open_mapped(file)
    if "manifest" not in metadata:
        raise StorageError(str(file), "is no training set", "Name a file that `gridtide prepare` wrote")
    return json.loads(metadata["manifest"]), mapped


def _own_shard(manifest: Mapping[str, Any]) -> Shard:
    """The share of this process by the ring of the spec."""
    ring = manifest["spec"]["ring"]
    group = mx.distributed.init() if ring["ranks"] > 1 else None
    if group is None or group.size() == 1:
        return WHOLE
    if group.size() != ring["ranks"]:
        raise TrainingError(
            manifest["spec"]["name"],
            f"is for a ring of {ring['ranks']} ranks, here are {group.size()}",
            f"Start it with mlx.launch -n {ring['ranks']}, or give open_store a Shard",
        )
    return Shard(ring["layout"], group.rank(), group.size())


def get_training_sequences(
    source: Store | str | Path,
    split: str = "train",
    *,
    batch_size: int = 8,
    epochs: int = 1,
    shuffle: bool | None = None,
    seed: int = 0,
) -> Iterator[Batch]:
    """The batches of `split` of the training set `source`, `epochs` times over, each time in another order.

    `source` is a store, or the path or URI of a training set's folder or file. What a batch holds, and what
    is raised, `iterate_batches` and `open_store` say.
    """
    store = source if isinstance(source, Store) else open_store(source)
    return _iterate_plans(store, split, batch_size, shuffle, seed, range(epochs), prefetch=True)


def iterate_batches(
    store: Store,
    split: str,
    *,
    batch_size: int,
    shuffle: bool | None = None,
    seed: int = 0,
    epoch: int = 0,
    prefetch: bool = True,
) -> Iterator[Batch]:
    """The windows of `split`, B at a time, as dicts of MLX arrays of fixed shapes.

    `x` (B, L, F) float32 and `mask` (B, L, F) bool: the context and what of it was observed;
    `y` (B, H, K) float32 and `y_mask` (B, H, K): the targets; `position_ids` (B, L) int32: 0 … L − 1;
    `start` (B,) int32: the step of the window's first row, −1 in a row that only fills up the last
    batch (its masks are False); `location_id` (B,) int32.

    A rank of a ring gets of the context its shard: L is then the rank's share, `position_ids` the
    places in the whole window (which begins earlier if its length was rounded up: real history, or
    masked rows where there is none), and `labels`, `label_mask` (B, L, K) the targets one step after
    each place. `y` and everything of the window as a whole is the same on all ranks.

    `shuffle` (by default for train only) orders by `seed` and `epoch`, and leaves out the incomplete
    batch at the end; in order, every window comes. With `prefetch`, the next batch is gathered while one
    is used, from when the one before is let go: there are no more than two, or some 24 MB of short ones.
    Raises `TrainingError` when there is no whole batch, and for a split that the spec leaves out.
    """
    return _iterate_plans(store, split, batch_size, shuffle, seed, (epoch,), prefetch)


def _iterate_plans(
    store: Store, split: str, size: int, shuffle: bool | None, seed: int, epochs: Iterable[int], prefetch: bool
) -> Iterator[Batch]:
    """The batches of `epochs`, as `iterate_batches` gives those of one."""
    windows = store.windows(split)
    shuffled = split == "train" if shuffle is None else shuffle
    if not len(windows):
        raise TrainingError(split, "is a split that the set's spec leaves out", "Prepare it with a share above 0")
    if size < 1 or (shuffled and size > len(windows)):
        raise TrainingError(
            f"batch_size {size}", f"{split} has {len(windows)} windows", "Choose one from 1 to that many"
        )
    values = size * store.length // store.shard.ranks * store.mapped["values"].shape[2]
    together = max(BYTES_AT_ONCE // (4 * values), 1)
    plans = (batch_windows(len(windows), size, shuffle=shuffled, seed=seed, epoch=epoch) for epoch in epochs)
    groups = (plan[first : first + together] for plan in plans for first in range(0, len(plan), together))
    gather = partial(_gather_batches, store, windows)
    return (
        _prefetch_groups(gather, groups, early=together > 1) if prefetch else chain.from_iterable(map(gather, groups))
    )


def get_real_time_context(
    source: Store | str | Path,
    lookback_hours: int = 168,
    *,
    config: Config | str | Path | None = None,
    lake: Lake | str | None = None,
    until: datetime | None = None,
) -> Batch:
    """The last `lookback_hours` hours as a model of the training set `source` is asked with them.

    A row per location: `x` (R, L, F) float32, `mask` (R, L, F), `position_ids` (R, L), `location_id` (R,)
    as in a batch, and `time` (L,) int64: when each hour begins, in seconds since 1970. Without `config`,
    they are the last of the set itself, and only they are read. With `config` (or the path of its file)
    they are those before `until`, by default now, made from the newest files of its `lake` (or the one
    given) in the columns and scales of the set: the numbers that the set would hold of these hours.

    Raises `TrainingError` where the set has not as many hours or the lake lacks its series, and for a `lake` or a
    moment without `config`.
    """
    from gridtide.config.loading import load
    from gridtide.entries.entry import Config
    from gridtide.lake import Lake
    from gridtide.training import realtime  # which takes the time of Arrow and pydantic; a training loop needs neither

    manifest: Mapping[str, Any]
    mapped: Mapping[str, npt.NDArray[np.generic]]
    manifest, mapped = (source.manifest, source.mapped) if isinstance(source, Store) else _map_anywhere(source)
    if config is None and (lake is not None or until is not None):
        raise TrainingError(
            manifest["spec"]["name"],
            "is asked for other hours than its own without a configuration",
            "Give config as well, or neither lake nor until",
        )
    if config is None:
        context = realtime.take_last_hours(manifest, mapped, lookback_hours)
    else:
        settings = config if isinstance(config, Config) else load(config)
        place = lake if isinstance(lake, Lake) else Lake.open(lake or settings.lake, make=False)
        context = _run_awaited(realtime.gather_newest_hours(manifest, mapped, settings, place, lookback_hours, until))
    shape = context.values.shape[:2]
    numbers, positions = (np.arange(size, dtype=np.int32) for size in shape)
    return {
        "x": mx.array(context.values),
        "mask": mx.array(context.mask),
        "position_ids": mx.array(np.broadcast_to(positions, shape)),  # MLX's own would start its threads for it
        "location_id": mx.array(numbers),
        "time": mx.array(context.time),
    }


def _run_awaited(coroutine: Coroutine[Any, Any, Returned]) -> Returned:
    """What `coroutine` returns, run in a thread of its own, because this one may be running a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class _Lent(Batch):
    """A batch that says when it is let go, once it has let its own arrays go."""

    def __init__(self, batch: Batch, let_go: Callable[[], None]) -> None:
        super().__init__(batch)
        self._let_go = let_go

    def __del__(self) -> None:
        self.clear()
        self._let_go()


def _prefetch_groups(
    gather: Callable[[Integers], list[Batch]], groups: Iterator[Integers], *, early: bool
) -> Iterator[Batch]:
    """The batches of `groups`, while those of the next group that `gather` describes are being gathered.

    Who asks for a batch still holds the one before. The group after next is therefore begun when that one
    is let go, whoever does so, and not before: else there would be three at a time. If `early`, there may be.
    """
    waiting, described, begun = deque[Integers](), deque[list[Batch]](), deque[list[Batch]]()
    beginning = Lock()

    def describe() -> None:
        if not waiting:
            waiting.extend(islice(groups, 1))
        if waiting:
            described.append(gather(waiting[0]))
            waiting.popleft()

    def begin(*, wait: bool) -> None:
        if beginning.acquire(blocking=wait):  # memory may be freed while one is being begun: it is no time to wait
            try:
                if not begun and described:
                    mx.async_eval(described[0])  # type: ignore[no-untyped-call]  # MLX declares no types for it
                    begun.append(described.popleft())
                    describe()
            finally:
                beginning.release()

    before: ref[Batch] | None = None
    describe()
    try:
        while described or begun:
            begin(wait=True)
            group = begun.popleft()
            if early or before is None or before() is None:
                begin(wait=True)
            group[-1] = _Lent(group[-1], partial(begin, wait=False))
            before = ref(group[-1])
            while group:
                yield group.pop(0)
    finally:
        described.clear()  # a loop that is left wants no more


def _gather_batches(store: Store, windows: npt.NDArray[np.int64], chosen: Integers) -> list[Batch]:
    """The batches of those of `windows` (N, 2) that are `chosen` (batches, B), −1 for a filler."""
    location, start = np.moveaxis(windows[chosen], 2, 0)
    rows = (location * (store.front + store.steps) + start).reshape(-1)
    with mx.stream(VALUES):
        context = {"x": mx.split(_gather_rank_blocks(store, "x", rows), len(chosen))}
    with mx.stream(REMAINDER):
        context["mask"] = mx.split(_gather_rank_blocks(store, "mask", rows), len(chosen))
        if store.shard.ranks > 1:
            context |= {
                name: mx.split(_gather_rank_blocks(store, name, rows + 1), len(chosen)) for name in LABEL_TENSORS
            }
    return [
        _build_batch(
            store, {name: parts[number] for name, parts in context.items()}, location[number], start[number], real
        )
        for number, real in enumerate(chosen >= 0)
    ]


def _build_batch(
    store: Store,
    context: Batch,
    location: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    real: npt.NDArray[np.bool_],
) -> Batch:
    """The batch of what the rank holds of the `context`, with the small arrays that come from NumPy."""
    spec = store.manifest["spec"]
    ahead = location[:, None], start[:, None] + (spec["seq_len"] + np.arange(spec["horizon"]))
    small = {
        "y": mx.array(store.mapped["targets"][ahead]),
        "y_mask": mx.array(store.mapped["target_mask"][ahead]),
        "position_ids": mx.broadcast_to(store.positions, (len(start), *store.positions.shape)),
        "start": mx.array(start.astype(np.int32)),
        "location_id": mx.array(location.astype(np.int32)),
    }
    batch = context | small
    if not real.all():
        batch["start"] = mx.where(mx.array(real), batch["start"], -1)
        batch |= {name: batch[name] & mx.array(real)[:, None, None] for name in batch if name.endswith("mask")}
    return batch


def _deal_rows(tensor: Any, front: int, shard: Shard) -> Any:
    """`tensor` (R, T, C) as rows (N, C), `front` empty ones before each location.

    Striped, row `i` of the `ranks` that have the same remainder is next to row `i + ranks`, so that
    a rank's steps lie together wherever a window starts.
    """
    width = tensor.shape[2]
    if front:
        tensor = mx.pad(tensor, [(0, 0), (front, 0), (0, 0)])
    rows = tensor.reshape(-1, width)
    if shard.layout == "striped":
        rows = mx.pad(rows, [(0, -len(rows) % shard.ranks), (0, 0)])
        rows = mx.contiguous(rows.reshape(-1, shard.ranks, width).swapaxes(0, 1)).reshape(-1, width)
    return rows


def _gather_rank_blocks(store: Store, name: str, rows: npt.NDArray[np.int64]) -> Any:
    """What the rank holds of the windows that begin at `rows` (B,): (B, length / ranks, C)."""
    shard, blocks = store.shard, store.blocks[name]
    firsts = rows[:, None] + np.array([first for first, _ in shard.runs(store.length)])
    if shard.layout == "striped":
        rows_per_rank = -(-store.mapped["values"].shape[0] * (store.front + store.steps) // shard.ranks)
        firsts = firsts % shard.ranks * rows_per_rank + firsts // shard.ranks
    gathered = blocks.take(firsts.reshape(-1))
    return gathered.reshape(len(rows), -1, gathered.shape[-1])
