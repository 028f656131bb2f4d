"""Every built-in async converter is in a network that `check_async_converter` is run over in some test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventzoo import registry

TESTS = Path(__file__).parents[1]
BUILT_IN = [name for name, claims in registry.entries("async_converters").items() if claims[0].package == "eventzoo"]


@pytest.mark.slow
def test_every_converter_is_checked(tmp_path):
    """What the tests would check is converted, not compiled: the checks themselves take minutes."""
    paths = [path for path in TESTS.rglob("test_*.py") if "check_async_converter(" in path.read_text(encoding="utf-8")]
    paths = [path for path in paths if path.parent.name not in ("conformance", "parity") and path.name != "test_testing.py"]
    assert len(paths) > 5
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-m",
        "slow or not slow",
        "-p",
        "converters_checked",
        "-p",
        "no:cacheprovider",
    ]
    noted = tmp_path / "used.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "packages"), "CONVERTERS_CHECKED": str(noted)}
    done = subprocess.run([*command, *paths], cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert sorted(json.loads(noted.read_text())) == BUILT_IN
