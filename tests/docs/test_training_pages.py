"""The Python and the specs of docs/training.md and docs/sequences.md work."""

import re
from pathlib import Path

import pytest

from tests.support.sets import write_demand_set

DOCS = Path(__file__).parents[2] / "docs"


def test_the_set_is_read_with_other_windows_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of docs/sequences.md about other windows runs on a set with this name, and gives stores with the
    windows and folds that it names."""
    pytest.importorskip("mlx.core", reason="MLX is an extra")
    write_demand_set(tmp_path / "lake" / "features" / "isne_demand", days=200)
    monkeypatch.chdir(tmp_path)
    section = (DOCS / "sequences.md").read_text().split("\n## Other windows over the same base\n")[1].split("\n## ")[0]
    (shown,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(shown, namespace)  # noqa: S102  # the code of the page
    store, shorter, later, folds = (namespace[name] for name in ("store", "shorter", "later", "folds"))
    assert store.length == 168  # type: ignore[attr-defined]
    assert shorter.manifest["spec"]["horizon"] == 6  # type: ignore[attr-defined]
    assert later.manifest["bounds"]["train_end"] == 151 * 24  # type: ignore[attr-defined]
    assert len(folds) == 5  # type: ignore[arg-type]
