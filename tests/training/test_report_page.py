"""The page of pictures beside a training set."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gridtide.lake import Lake
from gridtide.sources import registry
from gridtide.training import manifest, preparation
from gridtide.training.reports import report_page, set_report
from tests.support.grids import configuration, every_kind, fill
from tests.support.sets import training_set


def test_a_page_holds_every_picture_of_every_location() -> None:
    """The page contains every picture as SVG with a description, and is the same for the same set."""
    made = training_set(30, seq_len=48, horizon=24)
    page = report_page.render_page(made, manifest.describe_set(made, []))
    documents = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    pictures = [ElementTree.fromstring(text) for text in documents]  # noqa: S314  # our own page
    assert len(pictures) == 2 * len(report_page.PICTURES)
    assert len({picture.attrib["aria-label"] for picture in pictures}) == len(pictures)
    for text in ("ISNE", "NYIS", "eia/ISNE/demand", "windows", *(title for title, _, _ in report_page.PICTURES)):
        assert text in page
    assert page == report_page.render_page(made, manifest.describe_set(made, []))


@pytest.mark.slow  # a set of ten years takes seconds to make up, and with five minutes twice as many
def test_a_page_takes_well_under_a_second_and_loads_no_drawing_library() -> None:
    """A page over ten years is drawn from few points: less than a second of CPU, and less than 1 MB a location."""
    made = training_set(3650, five_minutes=False, seq_len=48, horizon=24)
    described = manifest.describe_set(made, [])
    begin = time.process_time()
    page = report_page.render_page(made, described)
    assert time.process_time() - begin < 2.0  # a loaded machine; 0.5 s alone
    assert len(page) < 2_000_000
    program = "import sys, gridtide.training.reports.report_page; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_names_cannot_write_html() -> None:
    """HTML in a description is shown as text."""
    made = training_set(30, seq_len=48, horizon=24, description="<script>alert(1)</script>")
    assert "<script>" not in report_page.render_page(made, manifest.describe_set(made, []))


def test_correlations_are_those_of_plain_numpy() -> None:
    """Correlations use the train steps at which feature and target are observed."""
    made = training_set(30, seq_len=48, horizon=24)
    values, mask = made.values[0], made.mask[0]
    for ahead, found in report_page.correlate_target(made, 0, (1, 24)).items():
        for column in range(values.shape[1]):
            steps = [
                t for t in range(made.bounds.train_end - ahead) if mask[t, column] and made.target_mask[0, t + ahead, 0]
            ]
            x = values[steps, column].astype(float)
            y = made.targets[0, [t + ahead for t in steps], 0].astype(float)
            expected = np.corrcoef(x, y)[0, 1] if len(steps) > 1 and x.std() > 1e-4 else 0.0
            np.testing.assert_allclose(found[column], expected, atol=1e-3)


def prepared(folder: Path, **keys: Any) -> dict[str, Any]:
    """The report of a small set in a lake in `folder`."""
    kinds = {name: kind for name, kind in every_kind(20).items() if name in ("demand", "weather")}
    lake = Lake.open(str(folder))
    asyncio.run(fill(lake, kinds))
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["*/*/*"]}
    spec = {"name": "small", "locations": [place], "seq_len": 24, "horizon": 12} | keys
    return asyncio.run(preparation.prepare(spec, configuration(kinds), lake))


def test_the_page_is_written_beside_the_sequences(tmp_path: Path) -> None:
    """The page is written if the spec requests it."""
    report = prepared(tmp_path)
    assert report["pictures"] == "features/small/report.html"
    assert "<svg" in (tmp_path / report["pictures"]).read_text()
    assert prepared(tmp_path / "other", pictures=False)["pictures"] is None
    assert not (tmp_path / "other/features/small/report.html").exists()


def test_a_data_card_says_what_the_set_is_and_under_which_terms(tmp_path: Path) -> None:
    """The README names period, splits, terms of each source, faults and the fingerprint; Croissant has the hash of each
    other file."""
    report = prepared(tmp_path, description="Demand for tests")
    folder = (tmp_path / report["path"]).parent
    card = (folder / "README.md").read_text()
    for text in ("Demand for tests", "| ISNE | UTC | eia/ISNE/demand |", "| train |", report["fingerprint"]):
        assert text in card
    for name in ("eia", "open_meteo"):
        licence = registry.get_source(name).LICENCE
        assert licence is not None
        assert f"| {name} | [{licence.title}]({licence.url}). {licence.terms}" in card
    for finding in set_report.list_findings(report):
        assert f"- {finding}" in card
    described = json.loads((folder / "croissant.json").read_text())
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    files = {file["name"]: file for file in described["distribution"]}
    assert set(files) == {path.name for path in folder.iterdir()} - {"README.md", "croissant.json"}
    for name, file in files.items():
        body = (folder / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(body).hexdigest()
        assert file["contentSize"] == f"{len(body)} B"
