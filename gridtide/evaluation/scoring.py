"""Evaluates a stored training set: reads it, compares forecasters on it, and writes their scores beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gridtide.errors import ConfigurationError
from gridtide.evaluation.comparison import Watch, compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import SEQUENCES, open_evaluation
from gridtide.evaluation.folds import Scheme
from gridtide.evaluation.score_report import render_scores
from gridtide.threads import run_blocking
from gridtide.training.manifest import to_json

if TYPE_CHECKING:
    from gridtide.lake import Lake

SCORES_FOLDER = "evaluation"
"""The folder of the scores, in that of the set."""


async def evaluate_set(
    address: str,
    models: Sequence[str] = (),
    scheme: Scheme = "split",
    folds: int = 5,
    target: int = 0,
    *,
    quantiles: bool = True,
    hidden: Sequence[str] = (),
    out: Lake | None = None,
    watch: Watch = lambda name, finished, folds: None,
) -> dict[str, Any]:
    """Compares the forecasters `models` on the training set in the folder or URI `address`, and writes
    `evaluation/scores.json` and `evaluation/report.html` into it, or into `out`. Forecasters that learn do not see the
    series that match the patterns `hidden`. `watch` is called as by `compare_forecasters`, in another thread.

    Returns the scores as `score_comparison` describes them, and `files`: where they were written. Raises
    `StorageError` if it is not a training set, and as `compare_forecasters` does.
    """
    from gridtide.lake import Lake

    folder = _strip_file(address)
    async with _local_set(folder) as path:
        evaluation = open_evaluation(path, target, hidden)
        compare = partial(compare_forecasters, quantiles=quantiles, watch=watch)
        comparison = await run_blocking(compare, evaluation, models, scheme, folds)
        scores = score_comparison(comparison)
    lake = out or Lake.open(folder)
    bodies = {"scores.json": to_json(scores, indent=1), "report.html": render_scores(scores)}
    for name, body in bodies.items():
        await lake.store.put(f"{SCORES_FOLDER}/{name}", body.encode(), replace=True)
    return {**scores, "files": [f"{lake.uri}/{SCORES_FOLDER}/{name}" for name in bodies]}


def check_address(address: str) -> None:
    """Raises `ConfigurationError` if `address` is a folder of this machine without a training set."""
    folder = _strip_file(address)
    if "://" not in folder and not Path(folder, SEQUENCES).is_file():
        raise ConfigurationError(
            folder, f"has no {SEQUENCES}", "Name the folder of a training set, or a training spec (a JSON file)"
        )


def _strip_file(address: str) -> str:
    """Returns the folder of the set at `address`, which may name the file in it."""
    return address.removesuffix(SEQUENCES).rstrip("/")


@asynccontextmanager
async def _local_set(folder: str) -> AsyncIterator[Path]:
    """Yields the folder of the set on this machine; for a URI a copy."""
    from gridtide.lake import Lake

    if "://" not in folder:
        await run_blocking(check_address, folder)
        yield Path(folder)
        return
    with TemporaryDirectory() as temporary:
        body = await Lake.open(folder, make=False).store.read(SEQUENCES)
        await run_blocking(Path(temporary, SEQUENCES).write_bytes, body)
        yield Path(temporary)


def best_model(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the row of `scores` of the model with the least mean absolute error over all cells."""
    rows = [row for row in scores["scores"] if (row["location"], row["group"]) == ("all", "all")]
    return min(rows, key=lambda row: float(row["mae"]))
