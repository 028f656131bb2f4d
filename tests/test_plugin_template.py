"""The example of a third party's package: built, installed into an environment of its own, and used there as its README says."""

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TEMPLATE = REPOSITORY / "examples" / "eventzoo-plugin-template"
BLOCKS = re.findall(
    r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$',
    (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
STREAMS = """
import numpy as np

for sample in (eventzoo.datasets.MovingBars("test")[index] for index in range(6)):
    stream.reset()
    for first in range(0, len(sample.events), 10):
        result = stream.push(sample.events[first : first + 10])
    np.testing.assert_allclose(result.logits, model.predict(sample.events).logits, rtol=1e-4, atol=1e-4)
    print(type(model.backbone).__module__, result.class_id == sample.label)
"""


def test_what_the_page_shows_is_in_the_package():
    shown = [(title, code) for _, title, code in BLOCKS if title]
    assert len(shown) > 10
    for title, code in shown:
        assert code in (TEMPLATE / title).read_text(encoding="utf-8"), f"{title} has no longer:\n{code}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs Python in an environment that has the package's wheel installed, and sees eventzoo and all else of this one."""
    folder = tmp_path_factory.mktemp("scratch")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=100)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    quick = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    install = ["install", "--quiet", "--no-deps", "--disable-pip-version-check", *quick, TEMPLATE]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, timeout=300)

    def run(*args):
        variables = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([python, *args], cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_its_parts_and_its_model_are_listed(run):
    listed = run("-m", "eventzoo", "list").splitlines()
    for name in ("MovingBars", "DecayingCounts", "BarNet", "AsyncDecayingCounts", "AsyncSaturate"):
        assert f"  {name:<20}eventzoo-template 0.1.0" in listed
    assert any(line.split()[:1] == ["template-bars"] for line in listed)
    assert "  configs/template.yaml" in listed
    assert "accuracy 0.98 on MovingBars, split test" in run("-m", "eventzoo", "info", "template-bars")


@pytest.mark.slow
def test_its_recipe_trains(run):
    trained = run("-m", "eventzoo", "fit", "--config", "template", "--trainer.max_epochs", "3", "--trainer.enable_progress_bar", "false")
    assert "BarNet, 2,350 parameters, on 400 recordings of MovingBars" in trained
    accuracy = trained.split("best epoch, val/accuracy ")[1].split()[0]
    assert float(accuracy) > 0.9


@pytest.mark.slow
def test_its_model_answers_and_streams(run):
    shown = "".join(code for language, title, code in BLOCKS if language == "python" and not title)
    first, after, *lines = run("-c", shown + STREAMS).splitlines()
    assert "right" in first
    assert first.split("(")[0] == after.split("(")[0]
    assert set(lines) <= {"eventzoo_template.bar_net True", "eventzoo_template.bar_net False"}
    assert sum(line.endswith("True") for line in lines) >= 4  # of 6; it is right about 98 of 100


@pytest.mark.slow
def test_its_own_tests_pass(run):
    assert "6 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", TEMPLATE)
