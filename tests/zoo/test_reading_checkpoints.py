"""Checkpoints of other projects are read, hostile and damaged ones are refused, and nothing in them is run."""

import argparse
import os
import pickle
import re
import stat
import subprocess
import sys
import types
import zipfile
from contextlib import suppress
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import ClusterData

from eventzoo.errors import EventZooError
from eventzoo.zoo.checkpoints.reading import read_state

STATE = {"fc.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.zeros(2)}


class Payload:
    """Is unpickled by calling a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "in" / "it.ckpt"
    path.parent.mkdir()
    torch.save({"epoch": 3, "state_dict": STATE, "optimizer_states": [{}]}, path)
    return path


def same(state):
    return state.keys() == STATE.keys() and all(torch.equal(state[name], tensor) for name, tensor in STATE.items())


def test_a_trainings_checkpoint(checkpoint):
    state, notes = read_state(checkpoint)
    assert same(state)
    assert notes == ("left out of the file: epoch, optimizer_states",)


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
@pytest.mark.parametrize("content", [STATE, {"state_dict": STATE}, {"model": STATE, "epoch": 1}], ids=["alone", "state_dict", "model"])
def test_forms_of_checkpoints(tmp_path, content, archive):
    torch.save(content, tmp_path / "it.pth", _use_new_zipfile_serialization=archive)
    assert same(read_state(tmp_path / "it.pth").state)


def test_classes_of_trainings_stand_for_nothing(tmp_path, monkeypatch):
    """As keys, as objects with and without a state: none of their code is run, and they need not be installed."""
    ran = []
    module = types.ModuleType("pytorch_lightning.callbacks")

    class EarlyStopping:
        __module__, __qualname__ = module.__name__, "EarlyStopping"

        def __new__(cls, *args):
            ran.append(args)
            return super().__new__(cls)

        def __reduce__(self):
            return type(self), (1, 2), {"patience": 3}

        def __setstate__(self, state):
            ran.append(state)

    module.EarlyStopping = EarlyStopping
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    stopping = EarlyStopping()
    torch.save({"state_dict": STATE, "callbacks": {EarlyStopping: {"patience": 3}}, "hyper_parameters": stopping}, tmp_path / "it.ckpt")
    ran.clear()
    allowed = set(torch.serialization.get_safe_globals())
    state, notes = read_state(tmp_path / "it.ckpt")
    assert same(state)
    assert not ran
    assert notes[1] == "named in the file, and neither imported nor run: pytorch_lightning.callbacks.EarlyStopping"
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize("kind", [argparse.ArgumentParser, np.dtypes.Float64DType, PurePath], ids=str)
def test_names_beside_those_of_trainings(tmp_path, kind):
    """What only begins as something that trainings leave, or lies in the same module, is no checkpoint's; a path is."""
    torch.save({"state_dict": STATE, "kind": kind}, tmp_path / "it.ckpt")
    if kind is PurePath:
        assert same(read_state(tmp_path / "it.ckpt").state)
    else:
        with pytest.raises(EventZooError, match=rf"names {kind.__module__}\.{kind.__name__}, which no checkpoint needs"):
            read_state(tmp_path / "it.ckpt")


HOSTILE = {
    "posix.system": lambda mark: Payload(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Payload(eval, f"open({mark!r}, 'w')"),
    "subprocess.Popen": lambda mark: Payload(subprocess.Popen, ["touch", mark]),
    "pathlib.Path.touch": lambda mark: Payload(getattr, Path(mark), "touch"),  # builtins.getattr
    # torch-geometric has torch trust it, and it would unpickle the file that it is given
    "torch_geometric.loader.cluster.ClusterData": lambda mark: Payload(ClusterData, None, 2, False, "", mark),
}


@pytest.mark.parametrize("form", ["archive", "before torch 1.6", "pickle 0", "pickle 2", "pickle 4"])
@pytest.mark.parametrize("named", HOSTILE)
def test_a_malicious_pickle(tmp_path, named, form):
    mark, path = tmp_path / "mark", tmp_path / "evil.ckpt"
    content = {"state_dict": STATE, "callbacks": [HOSTILE[named](str(mark))]}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(content["callbacks"], protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "archive")
    allowed = set(torch.serialization.get_safe_globals())
    with pytest.raises(EventZooError, match=r"nothing was run|without executing code from it") as error:
        read_state(path)
    if form in ("archive", "before torch 1.6"):
        assert re.search(named.replace("pathlib.Path.touch", "builtins.getattr").rpartition(".")[2], str(error.value))
    assert not mark.exists()
    assert set(torch.serialization.get_safe_globals()) == allowed


def archive_of(path, program):
    """An archive as torch writes it, around a pickle of one's own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cpytorch_lightning\nos.system\nX\x0a\x00\x00\x00touch mark\x85R.",  # the way through a package that is let through
        b"\x80\x02clightning\nX\n)\x81}X\x0c\x00\x00\x00__setstate__cbuiltins\nset\nsb}b.",  # an object's own hook
        b"\x80\x02clightning\nX\n)\x81N}X\x09\x00\x00\x00__class__cbuiltins\nset\ns\x86b.",  # an object's class
    ],
)
def test_what_stands_for_a_class_does_nothing(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    archive_of("it.ckpt", program)
    with pytest.raises(EventZooError, match="holds no weights by name"):
        read_state("it.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["it.ckpt"]


@pytest.mark.parametrize("name", ["../../evil", "archive/../../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "archive\\..\\..\\evil"])
def test_an_archive_that_leads_out_of_its_folder(checkpoint, name):
    with zipfile.ZipFile(checkpoint, "a") as archive:
        archive.writestr(name, "evil")
    with pytest.raises(EventZooError, match=r"leads out of its folder; refused, nothing was written") as error:
        read_state(checkpoint)
    assert name in str(error.value)
    assert list(checkpoint.parents[1].rglob("*")) == [checkpoint.parent, checkpoint]


def test_an_archive_with_a_link(checkpoint):
    link = zipfile.ZipInfo("archive/data/7")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(checkpoint, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(EventZooError, match="with a link in it, archive/data/7"):
        read_state(checkpoint)


def test_an_archive_that_swells(checkpoint):
    with zipfile.ZipFile(checkpoint, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/7", bytes(100_000))
    with pytest.raises(EventZooError, match="larger unpacked than packed"):
        read_state(checkpoint)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds no weights by name"),
        ({"state_dict": {}}, "holds no weights by name: it is empty"),
        ({"state_dict": {"a\x1b[2J": 1}}, "no tensors, as weights are: a�"),
        ({"a": torch.zeros(1).expand(10**12)}, "for which the file is too small"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "not a dense tensor"),
        ({"a": torch.zeros(2, device="meta")}, "not a dense tensor"),
    ],
)
def test_contents_that_are_no_weights(tmp_path, content, said):
    torch.save(content, tmp_path / "it.ckpt")
    with pytest.raises(EventZooError, match=said):
        read_state(tmp_path / "it.ckpt")


def test_files_that_are_no_checkpoints(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("garbage " * 9)
    (tmp_path / "tar").write_bytes(b"storages".ljust(512, b"\0"))
    for name, said in [
        ("", "is a folder"),
        ("none", "does not exist"),
        ("empty", "is empty"),
        ("text", "cannot be read as"),
        ("tar", "cannot be"),
    ]:
        with pytest.raises(EventZooError, match=f"{name} {said}"):
            read_state(tmp_path / name)


@settings(max_examples=50)
@given(data=st.data(), archive=st.booleans())
def test_damaged_files(tmp_path_factory, data, archive):
    """Cut off, they are refused; with a byte that is another, they are refused or read."""
    path = tmp_path_factory.getbasetemp() / f"damaged{archive}.ckpt"
    torch.save({"state_dict": STATE}, path, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at])
    with pytest.raises(EventZooError, match=path.name):
        read_state(path)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    with suppress(EventZooError):
        assert len(read_state(path).state) == 2


def test_an_old_torch(checkpoint, monkeypatch):
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1"))
    with pytest.raises(EventZooError, match=r"torch 2\.9\.1 cannot read pickles safely"):
        read_state(checkpoint)
