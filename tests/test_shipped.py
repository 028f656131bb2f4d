"""Files that packages bring: found by entry points, without importing anything."""

import pytest

from eventzoo import shipped
from eventzoo.errors import PluginError

POINTS = """[eventzoo.zoo]
birds = birds
insects = animals.insects
empty = animals
absent = not_installed
module = a_module
eventzoo = eventzoo
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A distribution that names packages of files, what is none, and ours; none of it may be imported."""
    for name in ("birds", "animals", "animals/insects"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ValueError('imported')\n")
    (tmp_path / "a_module.py").write_text("raise ValueError('imported')\n")
    for name in ("birds/zoo/wren.yaml", "birds/zoo/moth.yaml", "animals/insects/zoo/moth.yaml", "animals/insects/configs/bee.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    installed = tmp_path / "fauna-0.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fauna\nVersion: 0.1\n")
    (installed / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    shipped.folders.cache_clear()
    yield tmp_path
    shipped.folders.cache_clear()


def test_all_packages_of_a_distribution_bring_files(packages):
    assert shipped.find("zoo", "wren") == packages / "birds" / "zoo" / "wren.yaml"
    assert shipped.find("configs", "bee") == packages / "animals" / "insects" / "configs" / "bee.yaml"
    assert shipped.find("zoo", "bee") is None
    assert shipped.find("zoo", "aegnn-nmnist").parent == shipped.folders("zoo")["eventzoo"]
    assert next(iter(shipped.folders("zoo"))) == "eventzoo"
    assert all(folder.is_dir() for folder in shipped.folders("zoo").values())


def test_a_name_that_two_packages_ship_is_ambiguous(packages):
    with pytest.raises(PluginError, match=r"moth\.yaml is shipped by several packages: .* and .*; uninstall one of them"):
        shipped.find("zoo", "moth")
