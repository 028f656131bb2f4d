"""What the pages show in Python is run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import eventzoo
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead, YOLOHead

pytestmark = pytest.mark.slow  # networks are compiled

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page="asynchronous"):
    """Language, title (or none) and content of each block of code."""
    return re.findall(
        r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def run(folder, *args):
    done = subprocess.run([sys.executable, *args], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def trained(tmp_path):
    """A folder with what the recipes would leave behind, but for the training."""
    backbone = eventzoo.backbones.AEGNN(sensor_size=(64, 64), channels=(4, 8, 8, 8, 8, 8, 8))
    model = EventModel(eventzoo.representations.EventGraph(), backbone, ClassificationHead().connect(backbone, 5), list("abcde"), (64, 64))
    model.save(tmp_path / "runs" / "aegnn_shapes" / "version_0" / "model")
    model.head = YOLOHead(score_threshold=0.1).connect(backbone, 5)
    model.save(tmp_path / "runs" / "aegnn_shapes_detection" / "version_0" / "model")
    return tmp_path


@pytest.mark.parametrize(
    "page", ["checkpoints", "detection", "evaluation", "hub", "representations", "sparse", "spiking", "streams", "tokens"]
)
def test_every_block_of_a_page_runs(trained, page):
    codes = [code for language, _, code in blocks(page) if language == "python"]
    assert codes
    run(trained, "-c", "\n".join(codes))


def test_every_block_runs_in_turn(trained):
    tmp_path, rng = trained, np.random.default_rng(0)
    eventzoo.write(
        tmp_path / "large.raw",
        Events(rng.integers(0, 304, 500), rng.integers(0, 240, 500), np.arange(500), rng.random(500) < 0.5, (304, 240)),
    )
    script = "\n".join(code for language, title, code in blocks() if language == "python" and not title)
    assert script.count("import eventzoo") > 1
    printed = run(tmp_path, "-c", script)
    assert "pushes: median" in printed
    assert re.search(r"^[a-e] \(\d+%\) from \(\d+, \d+\) to \(\d+, \d+\)$", printed, re.MULTILINE)
    assert eventzoo.read(tmp_path / "cropped.dat").sensor_size == (120, 100)


def test_the_converter_of_ones_own_layer(tmp_path):
    files = {title: code for _, title, code in blocks() if title}
    assert files.keys() == {"contrast.py", "pyproject.toml", "test_contrast.py"}
    for name, code in files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    installed = tmp_path / "contrast-0.1.dist-info"  # what pip makes of pyproject.toml
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: contrast\nVersion: 0.1\n", encoding="utf-8")
    group, line = re.search(r'^\[project\.entry-points\."(.+)"\]\n(.+)$', files["pyproject.toml"], re.MULTILINE).groups()
    (installed / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n", encoding="utf-8")
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=prepend", "test_contrast.py")
