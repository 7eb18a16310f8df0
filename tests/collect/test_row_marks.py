"""The fingerprints of many rows, in memory and in a temporary file."""

import numpy as np
import pytest

from gridtide.collect.row_marks import RowMarks
from gridtide.errors import StorageError
from gridtide.observations.identity import has_repeats

MARKS = np.random.default_rng(0).permutation(1000).astype(np.uint64) << np.uint64(50)


@pytest.mark.parametrize("rows_in_memory", [1, 7, 999, 10_000])
@pytest.mark.parametrize("part_rows", [1, 100, 1000])
def test_all_marks_come_back_in_order_and_again(rows_in_memory: int, part_rows: int) -> None:
    """Whether they are in memory or in the file, and a repeated one is found wherever the first is."""
    marks = RowMarks("load", rows_in_memory)
    for start in range(0, len(MARKS), part_rows):
        marks.add(MARKS[start : start + part_rows])
    for _ in range(2):
        assert np.array_equal(np.concatenate(list(marks)), MARKS)
        assert not has_repeats(marks, at_once=100)
    marks.add(MARKS[:1])
    assert has_repeats(marks, at_once=100)
    marks.close()


def test_no_marks_repeat_nothing() -> None:
    """An answer without rows has no file either."""
    marks = RowMarks("load")
    assert list(marks) == []
    assert not has_repeats(marks)
    marks.close()


def test_a_temporary_folder_that_cannot_be_written_names_entry_and_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the draft of the file."""
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    marks = RowMarks("load", 10)
    with pytest.raises(StorageError, match=r"load: .*/nonexistent.*set TMPDIR"):
        marks.add(MARKS)
