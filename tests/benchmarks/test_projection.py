"""The calculation of docs/scaling.md is that of the program, and equals one by hand."""

from pathlib import Path

from benchmarks import projection
from benchmarks.projection import Dataset

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"

SMALL = Dataset("small", 1_000, 30, 24, 2, 0.5, 2.0, 4.0, 3.0)
"""1,000 series every half hour over 87,660 hours, a file a day of two requests, one in two seconds."""


def test_the_page_is_fresh() -> None:
    """docs/scaling.md shows what `python -m benchmarks.projection` prints."""
    _, shown, _ = PAGE.read_text().replace("<!-- /projection -->", "<!-- projection -->").split("<!-- projection -->")
    assert shown.strip() == projection.page()


def test_rows_files_and_quota() -> None:
    """175.32 M rows; 3,653 files, the last of them half; 7,306 requests, one in two seconds."""
    assert (SMALL.rows, SMALL.files) == (175_320_000, 3_653)
    assert round(SMALL.upstream_hours, 3) == round(7_306 * 2 / 3600, 3)


def test_time_and_room() -> None:
    """Times and sizes are the unit costs times their amounts."""
    collect, compact, tasks = projection.cpu_hours(SMALL)
    assert round(collect, 4) == round(175.32 * 2 / 3600, 4)
    assert round(compact, 4) == round(175.32 * 1.5 / 3600, 4)
    assert round(tasks, 4) == round((3_653 + 120) * 0.017 / 3600, 4)
    assert [round(size, 3) for size in projection.gb(SMALL)] == [0.701, 0.526, 1.929]
    assert round(projection.memory(SMALL), 3) == round(0.65 + 1.461 * 0.135, 3)
    assert round(projection.hours(SMALL), 3) == round(4.059 + compact / 8, 3)


def test_dollars() -> None:
    """The 4.059 h that the upstream makes a worker of 1 vCPU and 2 GB wait, compaction on the same, and requests."""
    once, monthly = projection.dollars(SMALL)
    hourly = 0.04048 + 2 * 0.004445
    assert round(once, 4) == round((4.0589 + 0.07305) * hourly + 4_385 * 0.005e-3 + 5_813 * 0.0004e-3, 4)
    assert round(monthly, 4) == round((0.70128 + 0.52596) * 0.023, 4)


def test_requests() -> None:
    """A file is put once, as months and records are; 16 days of files are read twice a month; LIST has 1,000 names."""
    put_and_list, get, bodies = projection.requests(SMALL)
    assert put_and_list == 3_653 + 2 * 120 + 123 * 4
    assert get == 3_653 + 120 * 16 + 2 * 120
    assert bodies == 3_653 * 3_653 // 2_000 + 3_653


def test_the_smallest_task_with_enough_memory() -> None:
    """The size is the smallest Fargate task with enough memory."""
    assert [projection.size(needed) for needed in (1, 8, 8.1, 50, 77)] == [
        (1, 2.0),
        (1, 8),
        (2, 8.1),
        (8, 50),
        (16, 77),
    ]
