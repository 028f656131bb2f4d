"""Hugging Face's client against a Hub that others wrote: olah, of PyPI, which serves git repositories."""

import re
import shutil
import subprocess
import sys

import pytest

import eventzoo
from eventzoo import EventZooError
from eventzoo.zoo.hub import fetch
from eventzoo.zoo.publishing import export

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("git") is None, reason="no git here")]


def git(folder, *args):
    identity = ("-c", "user.name=us", "-c", "user.email=us@example.org")
    return subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def olah(tmp_path):
    """The program, in an environment of its own."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, "olah==0.5.4"], check=False, capture_output=True, text=True)
    if "from versions: none" in installed.stderr:
        pytest.skip("no package index here")
    assert installed.returncode == 0, installed.stderr
    return environment / "bin" / "olah-cli"


@pytest.fixture
def server(olah, tmp_path):
    """Serves the git repositories under `mirror/models`; its address, and how it is stopped."""
    settings = tmp_path / "olah.toml"
    settings.write_text(
        f'[basic]\nhost = "127.0.0.1"\nmirrors-path = ["{tmp_path / "mirror"}"]\nrepos-path = "{tmp_path / "kept"}"\n'
        "[accessibility]\noffline = true\n"
    )
    command = [olah, "--config", settings, "--port", "0", "--log-path", tmp_path / "log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:

        def stop():
            process.kill()
            process.wait()

        try:
            started = (re.search(r"running on (http://127\.0\.0\.1:\d+)", line) for line in process.stdout)
            yield next(found[1] for found in started if found), stop
        finally:
            stop()


def test_pull_pin_and_offline_afterwards(server, hub_client, saved, tmp_path, make_events):
    endpoint, stop = server
    repository = tmp_path / "mirror" / "models" / "us" / "net"
    export(f"local-dir:{saved}", repository)
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "First")
    git(repository, "tag", "v1")
    first = git(repository, "rev-parse", "HEAD")
    half = export(f"local-dir:{saved}", tmp_path / "half", half=True)
    for file in half.iterdir():
        shutil.copy(file, repository / file.name)
    git(repository, "commit", "-q", "-a", "-m", "Second")
    second = git(repository, "rev-parse", "HEAD")

    hub_client(endpoint)
    assert fetch("us/net").name == second
    assert fetch("us/net", "v1").name == first
    assert fetch("us/net", first).name == first
    with pytest.raises(EventZooError, match="us/net"):
        fetch("us/net", "v2")
    with pytest.raises(EventZooError, match="us/nothing"):
        fetch("us/nothing")
    expected = eventzoo.load(f"local-dir:{saved}").predict(make_events(200)).logits
    stop()
    for revision, commit in (("", second), ("@v1", first), (f"@{first}", first)):
        assert fetch("us/net", revision[1:]).name == commit
        found = eventzoo.load(f"hf-hub:us/net{revision}").predict(make_events(200)).logits
        assert (found == expected).all() == (commit == first)
