"""A lake that is full, read-only or of another user, or whose writer is killed: one clear error, and no partial
files."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from gridtide.errors import StorageError
from gridtide.lake import Draft, Lake, Provenance, Stored
from gridtide.observations import table as obs
from gridtide.observations.table import from_columns

STAMP = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux may mount a small disk"
)


def mount(folder: Path, options: str) -> None:
    """Mount a disk in memory on `folder`; skip if root may not mount."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)  # noqa: S607
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.decode().strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 256 kB."""
    mount(tmp_path, "size=256k")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # noqa: S607


def noise(rows: int) -> obs.pa.Table:
    """Rows with values that cannot be compressed, 8 bytes each."""
    values = np.random.default_rng(0).normal(size=rows)
    return from_columns(
        "eia", STAMP, interval_start=[STAMP] * rows, interval_end=[STAMP] * rows, location=list(map(str, range(rows))),
        variable="demand", unit="MWh", value=values,
    )  # fmt: skip


async def put(lake: Lake, rows: int, format: str = "parquet") -> Stored:  # noqa: A002
    """Write `rows` rows as one file."""
    with Draft(format, Provenance("eia_demand", None, "0123456789ab")) as draft:
        draft.append(noise(rows))
        return await lake.put_draft(draft, "eia", "demand", STAMP)


def files(folder: Path) -> list[str]:
    """Every file below `folder`, including temporary files."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@needs_mounts
async def test_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    """A file that does not fit is an error with entry, lake and fix, leaves nothing behind, and can be written once
    there is space."""
    lake = Lake.open(str(small_disk / "lake"))
    (small_disk / "ballast").write_bytes(bytes(200_000))
    with pytest.raises(StorageError) as caught:
        await put(lake, 10_000)
    assert str(caught.value) == (
        f"eia_demand: eia/demand_20240310_061200.parquet cannot be stored in {lake.uri}: "
        "Unable to copy data to file: No space left on device (os error 28). Free space there, then run again"
    )
    assert files(small_disk) == ["ballast"]
    assert await lake.list_files("eia", "demand") == []
    (small_disk / "ballast").unlink()
    assert (await put(lake, 10_000)).is_new


@needs_mounts
async def test_a_full_disk_leaves_what_was_there(small_disk: Path) -> None:
    """If a file cannot be replaced on a full disk, the old file stays unchanged."""
    lake = Lake.open(str(small_disk / "lake"))
    await lake.store.put("features/manifest.json", b"1" * 100_000)
    with pytest.raises(StorageError, match="No space left"):
        await lake.store.put("features/manifest.json", b"2" * 200_000, replace=True)
    assert await lake.store.read("features/manifest.json") == b"1" * 100_000
    assert files(small_disk) == ["manifest.json"]


@needs_mounts
def test_a_full_temporary_folder_names_the_entry(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a draft does not fit in the temporary folder, the error names the entry and the variable to set."""
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with (
        pytest.raises(StorageError, match=r"eia_demand: its file cannot be written in .*No space left.*set TMPDIR"),
        Draft("parquet", Provenance("eia_demand", None, "0123456789ab")) as draft,
    ):
        draft.append(noise(100_000))


@needs_mounts
async def test_a_read_only_disk_can_be_read(small_disk: Path) -> None:
    """A lake on a read-only disk can be read; writing is an error with its fix."""
    lake = Lake.open(str(small_disk / "lake"))
    stored = await put(lake, 10)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)  # noqa: ASYNC221, S607
    assert (await Lake.open(str(small_disk / "lake")).read_table(stored.path)).num_rows == 10
    for attempt in (put(lake, 11), lake.store.probe(), lake.put_raw("raw/a.zst", b"")):
        with pytest.raises(StorageError, match=r"Read-only file system.*Make it writable for this user"):
            await attempt


STRANGER = """
import asyncio, os, sys
from contextlib import suppress
from gridtide.errors import StorageError
from gridtide.lake import Lake

async def attempt(lake, said):
    for act in (lake.store.put("eia/new.json", b"1"), lake.store.put("new/new.json", b"1"), lake.store.probe()):
        try:
            await act
            said.append("no error")
        except StorageError as error:
            said.append(str(error))
    return await lake.store.read("eia/old.json")

with suppress(StorageError):
    asyncio.run(attempt(Lake.open("memory://"), []))  # all is imported by now, also what a stranger may not read
if os.geteuid() == 0:
    os.setuid(65534)
said = []
print(asyncio.run(attempt(Lake.open(sys.argv[1]), said)).decode(), *said, sep="\\n")
"""


def test_a_lake_of_somebody_else_can_be_read_only() -> None:
    """Without permission to write, the lake can be read, and each attempt to write is an error with its fix."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(Lake.open(name).store.put("eia/old.json", b"content"))
        for place in (folder, folder / "eia"):
            place.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", STRANGER, name], capture_output=True, text=True, check=True)
        content, *errors = done.stdout.splitlines()
        left = files(folder)
        for place in (folder, folder / "eia"):
            place.chmod(0o755)
    assert content == "content"
    assert len(errors) == 3
    assert all("Permission denied (os error 13). Make it writable for this user" in error for error in errors)
    assert left == ["old.json"]


SIZE = 100_000_000

WRITER = f"""
import asyncio, sys
from datetime import UTC, datetime
from gridtide.lake import Lake, Provenance

async def write():
    stamp = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)
    await Lake.open(sys.argv[1]).put_body(bytes({SIZE}), "odd", "odd", stamp, Provenance("odd", None, ""), "raw")

asyncio.run(write())
"""


async def test_a_killed_writer_leaves_nothing_visible(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If a writer is killed in the middle of a file, readers see nothing of it, and the next run writes all of it."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writer = subprocess.Popen(command)  # noqa: ASYNC220  # polled below
    while writer.poll() is None and not list((tmp_path / "odd").glob("*.raw*#1")):
        time.sleep(0.001)  # noqa: ASYNC251  # nothing else runs in this loop
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    lake = Lake.open(str(tmp_path))
    assert [file.size for file in await lake.list_files("odd", "odd")] in ([], [SIZE])  # [SIZE]: it was quicker than we
    subprocess.run(command, check=True)  # noqa: ASYNC221
    [file] = await lake.list_files("odd", "odd")
    assert file.size == SIZE
    assert (await lake.read_metadata(file.path)).entry == "odd"
    assert not caplog.records
