"""Ring attention over real processes is full attention."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sets import write_training_set

pytest.importorskip("mlx.core", reason="MLX is an extra")

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "most"), [("contiguous", 1.52), ("zigzag", 1.0), ("striped", 1.02)])
def test_two_processes_attend_as_one_does(tmp_path: Path, layout: str, most: float) -> None:
    """The outcomes differ by less than 1e-5, and zigzag gives both ranks the same work."""
    path = tmp_path / "sequences.safetensors"
    write_training_set(path, 20, seq_len=97, horizon=24)
    launch = [
        str(Path(sys.executable).parent / "mlx.launch"),
        "-n",
        "2",
        "--backend",
        "ring",
        "--env",
        f"PYTHONPATH={ROOT}",
    ]
    command = [*launch, "--", sys.executable, str(ROOT / "examples/ring_attention.py"), str(path), "--layout", layout]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    said = re.search(r"differs from full attention by (\S+), work of the busiest rank / mean (\S+)", done.stdout)
    assert said is not None, done.stdout + done.stderr
    assert float(said[1]) < 1e-5
    assert float(said[2]) <= most
