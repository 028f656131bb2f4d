import subprocess
import sys

import pytest

import eventzoo
from eventzoo import registry
from eventzoo.errors import UnknownPartError


def test_built_in_parts_come_through_entry_points():
    assert {"MovingShapes", "NCars", "NMNIST"} <= set(registry.entries("datasets"))
    assert {"EventGraph", "Histogram"} <= set(registry.entries("representations"))
    assert "AEGNN" in registry.entries("backbones")


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_part_is_the_class_of_its_name(group):
    for name in registry.entries(group):
        part = registry.get(group, name)
        assert part.__name__ == name
        assert getattr(getattr(eventzoo, group), name) is part
        assert name in dir(getattr(eventzoo, group))


def test_unknown_names_get_near_misses_and_where_it_was_looked():
    with pytest.raises(UnknownPartError) as caught:
        registry.get("datasets", "N-MNIST")
    assert str(caught.value).startswith("no dataset named 'N-MNIST'. Did you mean NMNIST")
    assert str(caught.value).endswith(
        f"? Registered: {', '.join(registry.entries('datasets'))} (searched the entry points eventzoo.datasets of eventzoo)."
    )
    with pytest.raises(AttributeError, match="Did you mean AEGNN"):
        eventzoo.backbones.AEGN  # noqa: B018


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, eventzoo\n"
        "eventzoo.Events, eventzoo.read, eventzoo.list_models(), dir(eventzoo.backbones)\n"
        "from eventzoo.cli import overview; overview()\n"
        "eventzoo.info('AEGNN'), eventzoo.info('NMNIST')\n"
        "heavy = {'torch', 'lightning', 'torch_geometric', 'numba', 'matplotlib', 'jsonargparse', 'scipy'} & set(sys.modules)\n"
        "plugins = [name for name in sys.modules if name.startswith('eventzoo.plugins.')]\n"
        "print(sorted(heavy), [p for p in plugins if p.count('.') > 2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_public_face():
    assert set(dir(eventzoo)) == set(eventzoo.__all__)
    for name in eventzoo.__all__:
        assert getattr(eventzoo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Event'; public: "):
        eventzoo.Event  # noqa: B018
