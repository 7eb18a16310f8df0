"""Training sets as MLX arrays. The only module that imports MLX.

The base of each location stays one array of rows. A batch is gathered from it in blocks of rows (`mx.as_strided` views
every block of L rows, `mx.take` copies the blocks of the batch), while the model works on the previous batch.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from gridtide.training.stored.choices import SetView, choose_view, roll_origin
from gridtide.training.stored.covariates import ALL_WINDOWS, find_target_steps, gather_covariates
from gridtide.training.stored.scales import find_scale
from gridtide.training.stored.window_scales import invert_targets, is_scaled_by_window, scale_windows
from gridtide.training.windows import splits
from gridtide.training.windows.scaling import Scale
from gridtide.training.windows.windows import batch_windows

if TYPE_CHECKING:
    from gridtide.entries.entry import Config
    from gridtide.lake import Lake
    from gridtide.training.realtime import Context

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
"""The bytes that MLX may keep for reuse. Below the size of a batch, every batch allocates new memory, which takes 8
times as long."""

LARGEST_VIEW = 2**31 - 1
"""The most elements of an array that MLX can view in strides."""

BYTES_AT_ONCE = 8 << 20
"""The bytes gathered at a time. Short windows are gathered in several batches at once, because each gathering costs
about 0.1 ms."""

VALUES, REMAINDER = (mx.new_thread_local_stream(mx.cpu) for _ in range(2))
"""Batches are gathered beside the model, and `x` beside everything else; Apple's GPU reads the same memory."""

CONTEXT_TENSORS = {"x": "values", "mask": "mask"}
LABEL_TENSORS = {"labels": "targets", "label_mask": "target_mask"}
"""The tensors of the file from which the larger arrays of a batch are gathered."""

Batch = dict[str, Any]
Returned = TypeVar("Returned")

WHOLE = Shard("contiguous", rank=0, ranks=1)
"""The shard of a single process."""


@dataclass(frozen=True)
class Store:
    """An opened training set: R locations, T steps, F inputs, K targets, as seen by one rank.

    `mapped`: every tensor of the file as a NumPy memory map. `blocks`: the arrays from which the context of a batch is
    gathered, by their names in the batch. `positions` (length / ranks,): the positions in the whole window that the
    rank holds. `whole`: the set as it is in the file, and `tensors` its tensors as MLX arrays, which several stores can
    share; `columns` (F,): the numbers of the columns among those of the file, None for all.
    """

    manifest: Mapping[str, Any]
    mapped: Mapping[str, npt.NDArray[np.generic]]
    shard: Shard
    blocks: Mapping[str, Blocks]
    positions: Any
    whole: SetView
    tensors: Mapping[str, Any]
    columns: npt.NDArray[np.int64] | None

    @property
    def steps(self) -> int:
        """T, the number of steps of each location."""
        return int(self.mapped["values"].shape[1])

    @property
    def length(self) -> int:
        """The number of steps of context over all ranks: `seq_len`, rounded up to a length that the shard can
        divide."""
        return self.shard.rounded(self.manifest["spec"]["seq_len"])

    @property
    def front(self) -> int:
        """The number of steps by which the context was rounded up."""
        return self.length - int(self.manifest["spec"]["seq_len"])

    def windows(self, split: str) -> npt.NDArray[np.int64]:
        """Returns location and start step of the windows of `split`, (N, 2); raises `TrainingError` for an unknown
        split."""
        if split not in splits.SPLITS:
            raise TrainingError(split, "is not a split", f"The splits are: {', '.join(splits.SPLITS)}")
        return self.mapped[f"windows.{split}"]  # type: ignore[return-value]  # written as int64

    def target_range(self, split: str, numbers: Integers | slice = ALL_WINDOWS) -> npt.NDArray[np.int64]:
        """Returns the half-open range of the steps to predict of the windows `numbers` (B,) of `split`, (B, 2); of all
        without `numbers`."""
        spec = self.manifest["spec"]
        return find_target_steps(self.mapped, split, spec["seq_len"], spec["horizon"], numbers)

    def choose(self, **choices: Any) -> Store:
        """Returns the set as it was stored with other windows, columns or splits (see `choose_view`); both stores share
        one base. Raises `TrainingError` as `choose_view` does."""
        return _view_set(self.whole, choices, self.tensors, self.shard)

    def folds(self, count: int) -> list[Store]:
        """Returns `count` folds of rolling origin over the test steps of the set as it was stored, see `roll_origin`;
        all share one base. Raises `TrainingError` for more folds than steps, and for a fold without windows."""
        return [self.choose(**choices) for choices in roll_origin(self.whole.manifest, count)]

    def target_scale(self, location: int = 0) -> Scale:
        """Returns the scale of the targets (…, K) of `location`; `invert` converts them back to their units."""
        return find_scale(self.manifest, self.mapped, "targets", location)

    def invert(self, batch: Batch, targets: Any) -> npt.NDArray[np.float64]:
        """Converts `targets` (B, H, K), such as the `y` of `batch` or predictions of them, back to values in their
        units."""
        return invert_targets(self.manifest, self.mapped, batch, targets)


@dataclass(frozen=True)
class Blocks:
    """All blocks of `length` consecutive rows of an array (N, C), as views; taking a block copies it.

    An array that is too large for one view is viewed in pieces, each with the blocks that begin in `step` rows. The
    pieces overlap, but are not copied.
    """

    length: int
    step: int
    pieces: tuple[Any, ...]

    @classmethod
    def of(cls, rows: Any, length: int, most: int = LARGEST_VIEW) -> Blocks:
        """Returns the blocks of `rows` (N, C), viewed at most `most` elements at a time.

        Raises `TrainingError` if a single block has more.
        """
        row_count, width = rows.shape
        step = most // width - length + 1
        if step < 1:
            raise TrainingError(f"a window of {length} × {width}", f"has over {most} values", "Shorten seq_len")
        pieces = []
        for first_row in range(0, row_count - length + 1, step):
            piece = rows[first_row : first_row + step + length - 1]
            shape = (piece.shape[0] - length + 1, length, width)
            pieces.append(mx.as_strided(piece, shape, (width, width, 1)))
        return cls(length, step, tuple(pieces))

    def take(self, firsts: npt.NDArray[np.int64]) -> Any:
        """Returns the blocks that begin at rows `firsts` (B,): (B, length, C)."""
        piece = firsts // self.step
        if (piece == piece[0]).all():
            rows_in_piece = (firsts - piece[0] * self.step).astype(np.uint32)
            return mx.take(self.pieces[piece[0]], mx.array(rows_in_piece), axis=0)
        parts = [self.take(firsts[piece == number]) for number in np.unique(piece)]
        original_order = np.argsort(np.argsort(piece, kind="stable")).astype(np.uint32)
        return mx.take(mx.concatenate(parts), mx.array(original_order), axis=0)


def open_store(path: str | Path, shard: Shard | None = None, **choices: Any) -> Store:
    """Opens the training set in the safetensors file at `path`, or in that folder (or URI), as seen by `shard`.

    With `choices`, it has other windows, columns or splits than it was prepared with: `seq_len`, `horizon`, `stride`,
    `gap`, `gate`, `end`, `splits`, `min_inputs`, `min_targets` or `columns`, see `choose_view`.

    Without `shard`, the spec's `ring` is distributed over the ranks of this process's group (`mx.distributed`); a
    single process gets everything. When this returns, the base is being read into MLX's memory, and from then on MLX
    may keep `CACHE` bytes for reuse.

    Raises `StorageError` if the file is missing or is not a training set, `TrainingError` if the group has another
    number of ranks than the ring, and as `choose_view` does.
    """
    with _local_file(path) as file:
        manifest, mapped = _open_file(file)
        mx.set_cache_limit(max(CACHE, mx.set_cache_limit(CACHE)))
        with mx.stream(REMAINDER):
            arrays: Any = mx.load(str(file))
            return _view_set(SetView(manifest, mapped), choices, arrays, shard or _own_shard(manifest))


def _view_set(whole: SetView, choices: Mapping[str, Any], arrays: Mapping[str, Any], shard: Shard) -> Store:
    """Returns the set `whole`, with the MLX arrays of its tensors, by `choices`, as seen by `shard`; its base is then
    being read into MLX's memory."""
    manifest, mapped, columns = choose_view(*whole[:2], choices)
    is_scaled_by_window(manifest, shard.ranks)
    window_length = manifest["spec"]["seq_len"]
    length = shard.rounded(window_length)
    run_length = shard.runs(length)[0][1]
    with mx.stream(REMAINDER):
        blocks = {}
        for name, tensor in (CONTEXT_TENSORS | LABEL_TENSORS).items():
            array = arrays[tensor]
            if columns is not None and name in CONTEXT_TENSORS:
                array = mx.take(array, mx.array(columns), axis=2)
            blocks[name] = Blocks.of(_deal_rows(array, length - window_length, shard), run_length)
        mx.async_eval([views.pieces for views in blocks.values()])  # type: ignore[no-untyped-call]  # it has no types
    return Store(manifest, mapped, shard, blocks, mx.array(shard.positions(length)), whole, arrays, columns)


@contextmanager
def _local_file(path: str | Path) -> Iterator[Path]:
    """Yields the file at `path` or in that folder; for a URI a copy, which may be deleted once it is open."""
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
    """As `_open_file`, for a file anywhere."""
    with _local_file(path) as file:
        return _open_file(file)


def _open_file(file: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
    """Returns the manifest of a training set, and its tensors as memory maps."""
    mapped, metadata = tensors.open_mapped(file)
    if "manifest" not in metadata:
        raise StorageError(str(file), "is not a training set", "Name a file that `gridtide prepare` wrote")
    return json.loads(metadata["manifest"]), mapped


def _own_shard(manifest: Mapping[str, Any]) -> Shard:
    """Returns the shard of this process in the ring of the spec."""
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
    """Iterates over the batches of `split` of the training set `source` `epochs` times, each time in another order.

    `source` is a store, or the path or URI of a training set's folder or file. `iterate_batches` describes a batch;
    errors are those of `iterate_batches` and `open_store`.
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
    """Iterates over the windows of `split`, B at a time, as dicts of MLX arrays of fixed shapes.

    `x` (B, L, F) float32 and `mask` (B, L, F) bool: the context, and where it was observed; `y` (B, H, K) float32 and
    `y_mask` (B, H, K): the targets; `position_ids` (B, L) int32: 0 … L − 1; `start` (B,) int32: the step of the
    window's first row, −1 for a filler in the last batch (its masks are False); `location_id` (B,) int32; `labels` and
    `label_mask` (B, L, K): the targets one step after each position. With `weights` in the spec, `weight` (B, H) is how
    much each step to predict counts; 0 after the last of a window. With `per_window` scaling, `y_mean` and
    `y_deviation` (B, 1, K) convert targets to their units; `Store.invert` does so for every scaling.

    A rank of a ring gets its shard of the context: L is then the number of steps that the rank holds, and
    `position_ids` are their positions in the whole window (which begins earlier if its length was rounded up, with real
    history, or masked rows where there is none). `y` and everything about the window as a whole is the same on all
    ranks.

    `shuffle` (by default only for train) orders by `seed` and `epoch`, and leaves out the incomplete batch at the end;
    in order, all windows are included. With `prefetch`, the next batch is gathered while one is in use, starting when
    the previous one is released: at most two batches exist, or about 24 MB of short ones. Raises `TrainingError` if
    there is no complete batch, and for a split that the spec leaves out.
    """
    return _iterate_plans(store, split, batch_size, shuffle, seed, (epoch,), prefetch)


def _iterate_plans(
    store: Store, split: str, size: int, shuffle: bool | None, seed: int, epochs: Iterable[int], prefetch: bool
) -> Iterator[Batch]:
    """Iterates over the batches of `epochs`, like `iterate_batches` for one."""
    windows = store.windows(split)
    shuffled = split == "train" if shuffle is None else shuffle
    if not len(windows):
        raise TrainingError(split, "is a split that the set's spec leaves out", "Prepare it with a share above 0")
    if size < 1 or (shuffled and size > len(windows)):
        raise TrainingError(
            f"batch_size {size}", f"{split} has {len(windows)} windows", "Choose one from 1 to that many"
        )
    values_per_batch = size * store.length // store.shard.ranks * store.mapped["values"].shape[2]
    batches_at_once = max(BYTES_AT_ONCE // (4 * values_per_batch), 1)
    plans = (batch_windows(len(windows), size, shuffle=shuffled, seed=seed, epoch=epoch) for epoch in epochs)
    groups = (plan[first : first + batches_at_once] for plan in plans for first in range(0, len(plan), batches_at_once))
    gather = partial(_gather_batches, store, split, windows)
    return (
        _prefetch_groups(gather, groups, early=batches_at_once > 1)
        if prefetch
        else chain.from_iterable(map(gather, groups))
    )


def get_real_time_context(
    source: Store | str | Path,
    lookback_hours: int = 168,
    *,
    config: Config | str | Path | None = None,
    lake: Lake | str | None = None,
    until: datetime | None = None,
    store: str | None = None,
    longest_age: timedelta | None = None,
) -> Batch:
    """Returns the last `lookback_hours` hours as input for a model of the training set `source`.

    One row per location: `x` (R, L, F) float32, `mask` (R, L, F), `position_ids` (R, L), `location_id` (R,) as in a
    batch, and `time` (L,) int64: the start of each hour in seconds since 1970. Without `config`, these are the last
    hours of the set itself, and only they are read. With `config` (or the path of its file), they are the hours before
    `until`, by default now, computed from the newest files of its `lake` (or the given one) in the columns and scales
    of the set: the same numbers as the set would have for these hours. If the set has covariates of the hours to
    predict, `x_future` and `future_mask` (R, H, G) are those of the hours that are predicted at `until`; `static` (R,
    S) comes with every context.

    With `store`, the URL of a Redis server, they are the hours that the last run of `ingest` wrote there: the same
    numbers without a look at the lake, and `age` (R, F) float32: the hours since each input was last observed.

    Raises `TrainingError` if the set has fewer hours or the lake lacks its series, and for a `lake` or `until` without
    `config`; with `store` as `gridtide.training.serving.online.read_context` does.
    """
    from gridtide.config.loading import load
    from gridtide.entries.entry import Config
    from gridtide.lake import Lake
    from gridtide.training import realtime  # loads Arrow and pydantic; a training loop needs neither

    manifest, mapped, _ = source.whole if isinstance(source, Store) else SetView(*_map_anywhere(source))
    columns = source.columns if isinstance(source, Store) else None
    view = source if isinstance(source, Store) else SetView(manifest, mapped)
    if store is not None:
        from gridtide.database.online_store import OnlineStore
        from gridtide.training.serving.online import read_context

        online = read_context(manifest, mapped, OnlineStore(store), lookback_hours, longest_age)
        age = online.age if columns is None else online.age[:, columns]
        return _build_context(view, _take_columns(online.context, columns)) | {"age": mx.array(age)}
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
        opened_lake = lake if isinstance(lake, Lake) else Lake.open(lake or settings.lake, make=False)
        context = _run_awaited(
            realtime.gather_newest_hours(manifest, mapped, settings, opened_lake, lookback_hours, until)
        )
    return _build_context(view, _take_columns(context, columns))


def _take_columns(context: Context, columns: npt.NDArray[np.int64] | None) -> Context:
    """Returns `context` with the inputs of the numbers `columns`, all of them if that is None."""
    if columns is None:
        return context
    return replace(context, values=context.values[..., columns], mask=context.mask[..., columns])


def _build_context(view: Store | SetView, context: Context) -> Batch:
    """Returns `context` as the batch of a model of the set `view`."""
    shape = context.values.shape[:2]
    numbers, positions = (np.arange(size, dtype=np.int32) for size in shape)
    batch: Batch = {"x": mx.array(context.values), "mask": mx.array(context.mask)}
    if is_scaled_by_window(view.manifest, ranks=1):
        batch = scale_windows(mx, view.manifest, view.mapped, batch, numbers.astype(np.int64))
    if context.future is not None:
        batch["x_future"] = mx.array(np.nan_to_num(context.future, nan=0.0))
        batch["future_mask"] = mx.array(~np.isnan(context.future))
    if "static" in view.mapped:
        batch["static"] = mx.array(view.mapped["static"])
    return batch | {
        "position_ids": mx.array(np.broadcast_to(positions, shape)),  # MLX's broadcast would start its threads
        "location_id": mx.array(numbers),
        "time": mx.array(context.time),
    }


def _run_awaited(coroutine: Coroutine[Any, Any, Returned]) -> Returned:
    """Runs `coroutine` in a separate thread, because this one may already be running an event loop, and returns its
    result."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class _Lent(Batch):
    """A batch that calls `let_go` when it is released, after releasing its own arrays."""

    def __init__(self, batch: Batch, let_go: Callable[[], None]) -> None:
        super().__init__(batch)
        self._let_go = let_go

    def __del__(self) -> None:
        self.clear()
        self._let_go()


def _prefetch_groups(
    gather: Callable[[Integers], list[Batch]], groups: Iterator[Integers], *, early: bool
) -> Iterator[Batch]:
    """Yields the batches of `groups`, while those of the next group, which `gather` describes, are being gathered.

    The caller that requests a batch still holds the previous one. The group after next is therefore started only when
    that batch is released; otherwise there would be three at a time. If `early`, there may be three.
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
        if beginning.acquire(blocking=wait):  # a batch may be released while another starts, and must not wait
            try:
                if not begun and described:
                    mx.async_eval(described[0])  # type: ignore[no-untyped-call]  # MLX declares no types for it
                    begun.append(described.popleft())
                    describe()
            finally:
                beginning.release()

    previous_batch: ref[Batch] | None = None
    describe()
    try:
        while described or begun:
            begin(wait=True)
            group = begun.popleft()
            if early or previous_batch is None or previous_batch() is None:
                begin(wait=True)
            group[-1] = _Lent(group[-1], partial(begin, wait=False))
            previous_batch = ref(group[-1])
            while group:
                yield group.pop(0)
    finally:
        described.clear()  # no more batches after the loop is left


def _gather_batches(store: Store, split: str, windows: npt.NDArray[np.int64], chosen: Integers) -> list[Batch]:
    """Gathers the batches of the `windows` (N, 2) of `split` at the indices `chosen` (batches, B), −1 for a filler."""
    location, start = np.moveaxis(windows[chosen], 2, 0)
    rows = (location * (store.front + store.steps) + start).reshape(-1)
    with mx.stream(VALUES):
        context = {"x": mx.split(_gather_rank_blocks(store, "x", rows), len(chosen))}
    with mx.stream(REMAINDER):
        context["mask"] = mx.split(_gather_rank_blocks(store, "mask", rows), len(chosen))
        context |= {name: mx.split(_gather_rank_blocks(store, name, rows + 1), len(chosen)) for name in LABEL_TENSORS}
    return [
        _build_batch(
            store,
            {name: parts[number] for name, parts in context.items()} | _gather_covariates(store, split, numbers),
            location[number],
            start[number],
            store.target_range(split, numbers),
            numbers >= 0,
        )
        for number, numbers in enumerate(chosen)
    ]


def _gather_covariates(store: Store, split: str, numbers: npt.NDArray[np.int64]) -> Batch:
    """Gathers the covariates of the steps to predict, and those of the location, of the windows `numbers` (B,) of
    `split`, if the set has any."""
    covariates: Batch = {}
    spec = store.manifest["spec"]
    future = gather_covariates(store.mapped, split, numbers, spec["seq_len"], spec["horizon"])
    if future is not None:
        covariates["x_future"] = mx.array(np.nan_to_num(future, nan=0.0))
        covariates["future_mask"] = mx.array(~np.isnan(future))
    if "static" in store.mapped:
        covariates["static"] = mx.array(store.mapped["static"][store.windows(split)[numbers, 0]])
    return covariates


def _build_batch(
    store: Store,
    context: Batch,
    location: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    target_range: npt.NDArray[np.int64],
    is_real: npt.NDArray[np.bool_],
) -> Batch:
    """Builds a batch from the rank's part of the `context` and the small arrays, which come from NumPy."""
    target_steps = target_range[:, :1] + np.arange(store.manifest["spec"]["horizon"])
    target_indices = location[:, None], np.minimum(target_steps, store.steps - 1)
    is_target = (target_steps < target_range[:, 1:])[..., None]
    small_arrays = {
        "y": mx.array(np.where(is_target, store.mapped["targets"][target_indices], np.float32(0))),
        "y_mask": mx.array(np.where(is_target, store.mapped["target_mask"][target_indices], False)),
        "position_ids": mx.broadcast_to(store.positions, (len(start), *store.positions.shape)),
        "start": mx.array(start.astype(np.int32)),
        "location_id": mx.array(location.astype(np.int32)),
    }
    if "weights" in store.mapped:
        weights = np.where(is_target[..., 0], store.mapped["weights"][target_indices], np.float32(0))
        small_arrays["weight"] = mx.array(weights)
    batch = context | small_arrays
    if is_scaled_by_window(store.manifest, store.shard.ranks):
        batch = scale_windows(mx, store.manifest, store.mapped, batch, location)
    if not is_real.all():
        batch["start"] = mx.where(mx.array(is_real), batch["start"], -1)
        batch |= {name: batch[name] & mx.array(is_real)[:, None, None] for name in batch if name.endswith("mask")}
    return batch


def _deal_rows(tensor: Any, front: int, shard: Shard) -> Any:
    """Returns `tensor` (R, T, C) as rows (N, C), with `front` empty rows before each location.

    If striped, row `i` is next to row `i + ranks`, so that the steps of a rank are adjacent wherever a window starts.
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
    """Gathers the rank's part of the windows that begin at `rows` (B,): (B, length / ranks, C)."""
    shard, blocks = store.shard, store.blocks[name]
    firsts = rows[:, None] + np.array([first for first, _ in shard.runs(store.length)])
    if shard.layout == "striped":
        rows_per_rank = -(-store.mapped["values"].shape[0] * (store.front + store.steps) // shard.ranks)
        firsts = firsts % shard.ranks * rows_per_rank + firsts // shard.ranks
    rank_blocks = blocks.take(firsts.reshape(-1))
    return rank_blocks.reshape(len(rows), -1, rank_blocks.shape[-1])
