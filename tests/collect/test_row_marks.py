"""The fingerprints of many rows, in memory and in a temporary file."""

from pathlib import Path

import numpy as np
import pytest

from gridtide.collect.row_marks import RowMarks
from gridtide.errors import StorageError

MARKS = np.random.default_rng(0).permutation(1000).astype(np.uint64) << np.uint64(50)


@pytest.mark.parametrize("rows_in_memory", [1, 7, 999, 10_000])
@pytest.mark.parametrize("part_rows", [1, 100, 1000])
def test_a_repeated_mark_is_found_wherever_the_first_is(rows_in_memory: int, part_rows: int) -> None:
    """Whether they are in memory or in the file; asked again, and after more were added, the answer is the same."""
    for repeated in (None, 0, 499, 999):
        marks = RowMarks("load", rows_in_memory)
        for start in range(0, len(MARKS), part_rows):
            marks.add(MARKS[start : start + part_rows])
        assert not marks.have_repeats()
        assert not marks.have_repeats()
        if repeated is not None:
            marks.add(MARKS[repeated : repeated + 1])
            assert marks.have_repeats()
        marks.close()


def test_the_least_and_the_greatest_mark_are_compared_too() -> None:
    """The first and the last range of fingerprints are searched like the others."""
    for extreme in (0, (1 << 64) - 1):
        marks = RowMarks("load", 10)
        marks.add(np.concatenate([MARKS, [np.uint64(1)]]))
        marks.add(np.array([extreme], np.uint64))
        assert marks.have_repeats() is (extreme in MARKS)
        marks.add(np.array([extreme], np.uint64))
        assert marks.have_repeats()
        marks.close()


def test_no_marks_repeat_nothing() -> None:
    """An answer without rows has no file either."""
    marks = RowMarks("load")
    assert not marks.have_repeats()
    marks.close()


def test_a_temporary_folder_that_cannot_be_written_names_entry_and_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for the draft of the file."""
    (tmp_path / "file").touch()  # in which nobody can make a folder
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file" / "missing"))
    marks = RowMarks("load", 10)
    with pytest.raises(StorageError, match=r"load: .*/missing.*set TMPDIR"):
        marks.add(MARKS)
