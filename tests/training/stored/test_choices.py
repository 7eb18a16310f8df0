"""Sets that are read with other windows, columns and splits than they were prepared with."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.errors import TrainingError
from gridtide.training import tensors
from gridtide.training.stored.choices import choose_view
from gridtide.training.stored.covariates import gather_covariates
from tests.support.grids import HOUR, START
from tests.support.sets import training_set, write_training_set

mlx_store = pytest.importorskip("gridtide.mlx_store")

PREPARED: dict[str, Any] = {"seq_len": 72, "horizon": 24, "stride": 24, "leads": [1, 24]}
DAYS = 40


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two locations, with windows of 72 + 24 hours, that knows the calendar of the steps to predict."""
    path = tmp_path_factory.mktemp("set") / "sequences.safetensors"
    write_training_set(path, DAYS, future_calendar=True, **PREPARED)
    return path


def moment(day: int) -> str:
    """The start of a day of the set."""
    return (START + timedelta(days=day)).isoformat()


LATER = {"train_end": moment(30), "validation_end": moment(34), "gap": 6}
CHOICES: list[dict[str, Any]] = [
    {"seq_len": 30, "horizon": 7, "stride": 5},
    {"gap": 9, "min_targets": 1.0, "min_inputs": 0.7},
    {"gate": "10:00", "horizon": 25},
    {"splits": LATER, "seq_len": 24},
    {"splits": {"validation": 0, "test": 0, "strict": True}},
]


@pytest.mark.parametrize("choices", CHOICES, ids=["windows", "gap", "gate", "splits", "all for training"])
def test_choices_give_the_windows_of_a_set_prepared_so(stored: Path, tmp_path: Path, choices: dict[str, Any]) -> None:
    """A set that is read with other keys has the windows of a set that is prepared with them; where train hours are
    the same, and so are the scales, its batches are equal to the bit, covariates of the future included."""
    path = tmp_path / "sequences.safetensors"
    write_training_set(path, DAYS, future_calendar=True, **{**PREPARED, **choices})
    chosen, prepared = mlx_store.open_store(stored, **choices), mlx_store.open_store(path)
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(chosen.windows(split), prepared.windows(split))
        np.testing.assert_array_equal(chosen.target_range(split), prepared.target_range(split))
    if "splits" not in choices:
        pairs = [[*mlx_store.iterate_batches(store, "train", batch_size=5)] for store in (chosen, prepared)]
        assert len(pairs[0]) > 1
        for batch, other in zip(*pairs, strict=True):
            assert batch.keys() == other.keys() >= {"x", "y", "x_future"}
            for name in batch:
                np.testing.assert_array_equal(np.array(batch[name]), np.array(other[name]))


def test_stores_share_the_base(stored: Path) -> None:
    """Other windows and splits are views: no tensor of the base is copied."""
    store = mlx_store.open_store(stored)
    for other in (store.choose(seq_len=24), *store.folds(2)):
        assert all(other.mapped[name] is store.mapped[name] for name in ("values", "mask", "targets", "quality"))
        assert other.tensors is store.tensors


def test_chosen_columns_are_those_of_the_whole_set(stored: Path) -> None:
    """A pattern selects columns by name or key in the order of the file; the windows are those whose chosen inputs are
    observed, and a real-time context has the same columns."""
    whole, chosen = mlx_store.open_store(stored), mlx_store.open_store(stored, columns=["*/demand-*", "calendar/*"])
    columns = whole.manifest["locations"][0]["columns"]
    numbers = [n for n, column in enumerate(columns) if "/demand-" in column["key"] or column["key"][:4] == "cale"]
    assert chosen.manifest["locations"][0]["columns"] == [columns[number] for number in numbers]
    assert 1 < len(numbers) < len(columns)
    quality = np.array(whole.mapped["quality"])[:, :, [n for n in numbers if n < whole.mapped["quality"].shape[2]]]
    for location, start in chosen.windows("train").tolist():
        assert (quality[location, start : start + 72] == 1).mean() >= 0.1
    for batch in mlx_store.iterate_batches(chosen, "test", batch_size=3):
        for number in range(3):
            location, start = (batch[name][number].item() for name in ("location_id", "start"))
            if start >= 0:
                rows = slice(start, start + 72)
                expected = np.array(whole.mapped["values"])[location, rows][:, numbers]
                np.testing.assert_array_equal(np.array(batch["x"][number]), expected)
    context = mlx_store.get_real_time_context(chosen, 24)
    np.testing.assert_array_equal(np.array(context["x"]), np.array(whole.mapped["values"])[:, -24:, numbers])


def test_folds_roll_over_the_test_hours(stored: Path) -> None:
    """Every fold trains on windows that end before its test windows begin; together the folds test each step of the
    test hours at most once per window that covers it, and none outside."""
    store = mlx_store.open_store(stored)
    begin, end = store.manifest["bounds"]["validation_end"], store.manifest["bounds"]["steps"]
    edges, folds = [begin + (end - begin) * number // 3 for number in range(4)], store.folds(3)
    for number, fold in enumerate(folds):
        steps = fold.target_range("test")
        assert len(steps)
        assert edges[number] <= steps.min() <= steps.max() <= edges[number + 1]
        assert fold.target_range("train").max() <= edges[number]
    assert folds[2].target_range("train").max() > folds[0].target_range("train").max()
    with pytest.raises(TrainingError, match=r"not enough for 0 folds"):
        store.folds(0)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"splits": {"train_end": moment(20), "validation_end": moment(30)}}, "were fitted on hours up to"),
        ({"columns": ["no such column"]}, '"no such column" matches no column'),
        ({"scaling": "none"}, "scaling cannot be chosen"),
        ({"seq_len": 0}, "seq_len"),
        ({"seq_len": 10_000}, "no window falls into"),
        ({"end": moment(400)}, "is not within its period"),
    ],
    ids=["earlier training", "pattern", "scaling", "value", "too long", "end"],
)
def test_a_choice_that_cannot_be_is_refused(stored: Path, choices: dict[str, Any], message: str) -> None:
    """Choices that would leak, that the spec refuses, or that leave no windows raise an error that says why."""
    with pytest.raises(TrainingError, match=message):
        mlx_store.open_store(stored, **choices)


def test_covariates_that_are_stored_by_window_are_read(stored: Path) -> None:
    """A file of the earlier format, with the covariates of each window, gives the same ones; other windows of it are
    refused, because it does not have theirs."""
    mapped, metadata = tensors.open_mapped(stored)
    made = training_set(DAYS, future_calendar=True, **PREPARED)
    earlier = {name: array for name, array in mapped.items() if not name.startswith("future_")}
    for split in made.windows:
        earlier[f"future.{split}"], earlier[f"future_mask.{split}"] = made.read_future(split)
    numbers = np.array([0, 3, 1])
    pairs = [gather_covariates(arrays, "train", numbers, 72, 24) for arrays in (mapped, earlier)]
    assert pairs[0] is not None
    np.testing.assert_array_equal(*pairs)
    manifest = mlx_store.open_store(stored).manifest
    assert metadata
    with pytest.raises(TrainingError, match="Prepare it again"):
        choose_view(manifest, earlier, {"seq_len": 24})


def test_an_earlier_end_leaves_out_later_windows(stored: Path) -> None:
    """With an end, exactly the windows are left that end by then, of those with the same splits."""
    splits = {"train_end": moment(30), "validation_end": moment(32)}
    longer, shorter = (mlx_store.open_store(stored, splits=splits, **keys) for keys in ({}, {"end": moment(36)}))
    expected = longer.target_range("test")[longer.target_range("test")[:, 1] <= timedelta(days=36) // HOUR]
    np.testing.assert_array_equal(shorter.target_range("test"), expected)
    assert 0 < len(expected) < len(longer.target_range("test"))
