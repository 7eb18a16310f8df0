"""Ring attention with real processes equals full attention."""

import os
import random
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from gridtide.training import tensors
from tests.support.sets import write_training_set

pytest.importorskip("mlx.core", reason="MLX is an extra")

ROOT = Path(__file__).parents[2]


def free_ports(count: int) -> int:
    """The first of `count` consecutive free ports; two rings at the same ports would wait for each other."""
    while True:
        first = random.randrange(20_000, 30_000)  # noqa: S311
        with ExitStack() as sockets:
            try:
                for port in range(first, first + count):
                    sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first


def launched(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The output of `ranks` processes of the example."""
    launch = [str(Path(sys.executable).parent / "mlx.launch"), "-n", str(ranks), "--backend", "ring"]
    launch += ["--starting-port", str(free_ports(ranks))]
    program = [sys.executable, str(ROOT / "examples" / "ring_attention.py"), *arguments]
    command = [*launch, "--env", f"PYTHONPATH={ROOT}", "--", *program]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "ranks", "most"),
    [
        ("contiguous", 2, 1.52),
        ("zigzag", 2, 1.0),
        ("striped", 2, 1.02),
        ("contiguous", 4, 1.77),
        ("zigzag", 4, 1.0),
        ("striped", 4, 1.04),
    ],
)
def test_the_ranks_attend_as_one_process_does(tmp_path: Path, layout: str, ranks: int, most: float) -> None:
    """The result differs by less than 1e-5 from full attention, with zigzag all ranks have the same work, and each rank
    holds its share of the steps of inputs, queries, keys and values."""
    ring = {"layout": layout, "ranks": 4}
    write_training_set(tmp_path / "sequences.safetensors", 20, seq_len=97, horizon=24, ring=ring)
    done = launched(ranks, str(tmp_path), *(("--layout", layout) if ranks == 2 else ()))
    said = re.search(r"(\w+), \d ranks, .* differs from full attention by (\S+), .* / mean (\S+)", done.stdout)
    assert said is not None, done.stdout + done.stderr
    assert said[1] == layout
    assert float(said[2]) < 1e-5
    assert float(said[3]) <= most
    held = re.search(r"each rank holds (\d+) of (\d+) steps: .* 2 windows, (\S+) MB; at most (\d+) MB", done.stdout)
    assert held is not None, done.stdout
    assert int(held[1]) * ranks == int(held[2])
    columns = tensors.open_mapped(tmp_path / "sequences.safetensors")[0]["values"].shape[2]
    assert float(held[3]) == pytest.approx(2 * int(held[1]) * 4 * (columns + 3 * 64) / 1e6, abs=6e-4)


@pytest.mark.slow
def test_a_ring_of_another_size_is_refused(tmp_path: Path) -> None:
    """Two processes with a set for four end with a message."""
    ring = {"layout": "zigzag", "ranks": 4}
    write_training_set(tmp_path / "sequences.safetensors", 20, seq_len=97, horizon=24, ring=ring)
    done = launched(2, str(tmp_path))
    assert "is for a ring of 4 ranks, here are 2" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/sequences.md", "examples/ring_attention.py"])
def test_the_line_of_the_docs_works_as_it_stands(tmp_path: Path, page: str) -> None:
    """The command of the docs works unchanged, except for the folder of the set and the ports."""
    [line] = re.findall(r"(mlx\.launch .*?)(?:`|$)", (ROOT / page).read_text(), re.MULTILINE)[:1]
    write_training_set(tmp_path / "sequences.safetensors", 20, seq_len=97, horizon=24)
    command = line.replace("lake/features/isne_demand", str(tmp_path))
    command = command.replace("mlx.launch", f"mlx.launch --starting-port {free_ports(2)}")
    activated = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, timeout=240, cwd=ROOT, env=activated, check=False
    )
    assert "zigzag, 2 ranks" in done.stdout, done.stdout + done.stderr
