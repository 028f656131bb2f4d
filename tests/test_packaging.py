import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_holds_recipes_and_cards_and_finds_them(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, REPOSITORY]
    subprocess.run(build, check=True, timeout=600)
    (wheel,) = tmp_path.glob("eventzoo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    package = tmp_path / "installed" / "eventzoo"
    for shipped, source in (("configs", "configs"), ("zoo/cards", "zoo")):
        packed = {path.relative_to(package / shipped): path.read_bytes() for path in (package / shipped).rglob("*") if path.is_file()}
        there = {path.relative_to(REPOSITORY / source): path.read_bytes() for path in (REPOSITORY / source).rglob("*") if path.is_file()}
        assert packed == there
    assert (package / "py.typed").is_file()

    def run(*args):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
        return subprocess.run(
            [sys.executable, "-m", "eventzoo", *args], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    listed = run("list")
    assert "  configs/aegnn_shapes.yaml" in listed.stdout
    assert "  aegnn-shapes" in listed.stdout
    printed = run("fit", "--config", "configs/aegnn_shapes.yaml", "--print_config")
    assert "sensor_size" in printed.stdout, printed.stderr
    loaded = "import eventzoo; print([eventzoo.load(name).classes[0] for name in eventzoo.list_models(pretrained=True)])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "HF_HUB_OFFLINE": "1"}
    asked = subprocess.run([sys.executable, "-c", loaded], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "'circle'" in asked.stdout, asked.stderr
    assert "'0'" in asked.stdout
