"""A package that eventzoo does not know of: found by its entry points, trained from YAML, saved and loaded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "thirdparty"


def run(code_or_args, folder, *extra):
    path = os.pathsep.join(str(HERE / name) for name in ("packages", *extra))
    command = [sys.executable, *code_or_args]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_trains_through_yaml_beside_a_broken_sibling(tmp_path):
    done = run(["-m", "eventzoo", "fit", "--config", HERE / "recipe.yaml"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("broken-plugin") == 1
    assert (
        "warning: backbone 'NeedsMore' of package broken-plugin 0.3 could not be imported: "
        "ModuleNotFoundError: No module named 'a_library_that_nobody_has'"
    ) in done.stderr
    assert "TinyNet, 212 parameters, on 32 recordings of LeftOrRight" in done.stdout
    assert "val/accuracy 1.0000 on 32 held-out recordings" in done.stdout

    asked = run(
        [
            "-c",
            "import eventzoo\n"
            "model = eventzoo.load('local-dir:runs/tiny/version_0/model')\n"
            "dataset = eventzoo.datasets.LeftOrRight('test')\n"
            "print(type(model.backbone).__module__, [model.predict(dataset[i].events).label for i in range(4)])",
        ],
        tmp_path,
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip() == "tiny_events ['left', 'right', 'left', 'right']"


def test_a_broken_part_is_an_error_only_for_who_asks_for_it(tmp_path):
    done = run(["-c", "import eventzoo; eventzoo.backbones.NeedsMore"], tmp_path)
    assert "PluginError: backbone 'NeedsMore' of package broken-plugin 0.3 could not be imported" in done.stderr
    done = run(["-m", "eventzoo", "list"], tmp_path)
    assert "TinyNet             tiny-events 0.2" in done.stdout


def test_two_packages_that_claim_one_name_are_both_named(tmp_path):
    done = run(["-c", "import eventzoo; eventzoo.backbones.AEGNN"], tmp_path, "rival")
    assert "PluginError: the name 'AEGNN' in eventzoo.backbones is claimed by" in done.stderr
    assert "eventzoo 0.1.0 (eventzoo.plugins.backbones.aegnn)" in done.stderr
    assert "rival-events 1.0 (rival_events)" in done.stderr
    listed = run(["-m", "eventzoo", "list"], tmp_path, "rival")
    assert "(ambiguous: two packages claim this name)" in listed.stdout


def test_a_model_of_a_package_that_is_not_installed_says_so(tmp_path):
    saved = run(
        [
            "-c",
            "import eventzoo, tiny_events\n"
            "from eventzoo.model import EventModel\n"
            "from eventzoo.tasks.heads import ClassificationHead\n"
            "net = tiny_events.TinyNet()\n"
            "head = ClassificationHead().connect(net, 2)\n"
            "EventModel(eventzoo.representations.Histogram(), net, head, ['a', 'b'], (16, 8)).save('saved')",
        ],
        tmp_path,
    )
    assert saved.returncode == 0, saved.stderr
    done = subprocess.run(
        [sys.executable, "-c", "import eventzoo; eventzoo.load('local-dir:saved')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["packages"] == {"tiny-events": "0.2"}
    said = done.stderr.splitlines()[-1]
    assert "no backbone named 'TinyNet'" in said
    assert said.endswith("was saved with parts of tiny-events 0.2, not installed here; if you trust it: pip install tiny-events")
