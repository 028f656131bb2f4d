"""Kills, full disks, unreadable recordings and damaged values: reported, and nothing else is lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from eventzoo.data.preparing import find_store, prepare
from eventzoo.data.provenance import store_name
from eventzoo.data.store import Store, damaged_slots
from eventzoo.errors import EventZooError

SCRIPT = """
    import sys, time
    from pathlib import Path
    from eventzoo.data import preparing
    from eventzoo.data.pipeline import Pipeline
    from eventzoo.data.transforms import EvenSubsample
    from eventzoo.plugins.datasets.moving_shapes import MovingShapes
    from eventzoo.plugins.representations.event_graph import EventGraph

    preparing._ROUND_BYTES = 1  # a commit after every value
    pipeline = Pipeline(MovingShapes(size=40), [EvenSubsample(300)], EventGraph())
    print("ready", flush=True)
    try:
        result = preparing.prepare(Path(sys.argv[1]), pipeline, jobs=1, backend="sequential")
        print(result.built, flush=True)
    except preparing.EventZooError as error:
        sys.exit(str(error))
"""


def start(root, **arguments):
    script = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(root)]
    return subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **arguments)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    process = start(root)
    output, errors = process.communicate()
    assert output.split() == ["ready", "40"], errors
    (folder,) = root.glob("MovingShapes-*")
    return bytes_of(folder)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path, undisturbed):
    rng = np.random.default_rng(0)
    kills = 0
    while True:
        process = start(tmp_path)
        process.stdout.readline()
        try:
            process.wait(float(rng.uniform(0, 0.3 + 0.3 * kills)))  # ever later, so that a slow machine gets to the end, too
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
            assert kills < 100
        process.communicate()
        complete = [folder for folder in tmp_path.glob("MovingShapes-*") if not folder.suffix]
        for folder in complete:
            assert bytes_of(folder) == undisturbed
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert kills > 2
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [complete[0].name]


@pytest.mark.parametrize("after", ["copied", "renamed", "began"])
def test_killed_at_the_seams(tmp_path, graphs, monkeypatch, after):
    expected = bytes_of(prepare(tmp_path / "expected", graphs, jobs=1).folder)
    root = tmp_path / "stores"

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched:
        if after == "copied":
            patched.setattr("eventzoo.data.preparing.Path.rename", kill)
        elif after == "renamed":
            patched.setattr("eventzoo.data.preparing.shutil.rmtree", lambda path, **options: kill() if not options else None)
        else:
            patched.setattr("eventzoo.data.preparing._write_manifest", kill)
        with pytest.raises(Killed):
            prepare(root, graphs, jobs=1)
    assert (find_store(root, graphs) is not None) == (after == "renamed")
    result = prepare(root, graphs, jobs=1)
    assert result.built == (7 if after == "began" else 0)
    assert bytes_of(result.folder) == expected
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == [result.folder.name]


def test_a_full_disk_loses_nothing_that_was_there(tmp_path, undisturbed):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    process = start(tmp_path, preexec_fn=limit)
    output, errors = process.communicate()
    assert output.split() == ["ready"]
    assert process.returncode == 1
    assert "cannot be written" in errors
    assert "What is built so far is kept" in errors
    assert not [folder for folder in tmp_path.glob("MovingShapes-*") if not folder.suffix]
    process = start(tmp_path)
    output, errors = process.communicate()
    built = int(output.split()[1])
    assert 0 < built < 40
    (folder,) = tmp_path.glob("MovingShapes-*")
    assert bytes_of(folder) == undisturbed


def test_an_unreadable_recording_is_reported_and_costs_no_other(tmp_path, from_files):
    expected = [from_files[0, index].value.x for index in range(4)]
    path = from_files.dataset.source_files()[2]
    whole, times = path.read_bytes(), path.stat()
    path.write_bytes(whole[:-3] + b"\0\0\0")
    broken = bytearray(whole)
    broken[0] = 99  # off the sensor
    path.write_bytes(broken)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = prepare(tmp_path / "stores", from_files, jobs=2)
    assert (result.slots, result.built) == (4, 3)
    assert list(result.failures) == [2]
    assert f"{path}, byte 0: event 0 at (x, y) = (99," in result.failures[2]
    assert find_store(tmp_path / "stores", from_files) is None
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = prepare(tmp_path / "stores", from_files, jobs=1)
    assert (result.built, result.failures) == (1, {})
    from_files.store = find_store(tmp_path / "stores", from_files)
    for index in range(4):
        assert torch.equal(from_files[0, index].value.x, expected[index])


def damage(folder, slot_value):
    """Flip a bit in the middle of one value."""
    data = bytearray((folder / "data.mdb").read_bytes())
    at = data.index(slot_value) + len(slot_value) // 2
    data[at] ^= 4
    (folder / "data.mdb").write_bytes(data)


def test_a_damaged_value_is_reported_and_costs_no_other(tmp_path, graphs):
    from eventzoo.data.store import encoded

    folder = prepare(tmp_path, graphs, jobs=1).folder
    damage(folder, encoded(graphs.prepare(3)))
    graphs.store = find_store(tmp_path, graphs)
    with pytest.raises(EventZooError, match=r"the prepared sample in slot 3 is damaged; .*--repair"):
        graphs[0, 3]
    assert len(graphs[0, 4].value.x)


def test_repair_builds_damaged_values_anew(tmp_path, graphs):
    from eventzoo.data.store import encoded

    folder = prepare(tmp_path, graphs, jobs=1).folder
    expected = bytes_of(folder)
    damage(folder, encoded(graphs.prepare(3)))
    damage(folder, encoded(graphs.prepare(6)))
    assert damaged_slots(Store(folder)) == [3, 6]
    assert prepare(tmp_path, graphs, jobs=1).built == 0
    result = prepare(tmp_path, graphs, jobs=1, repair=True)
    assert (result.built, damaged_slots(Store(folder))) == (2, [])
    assert bytes_of(folder) == expected
    assert prepare(tmp_path, graphs, jobs=1, repair=True).built == 0


def test_values_that_are_damaged_before_the_store_is_complete(tmp_path, graphs, monkeypatch):
    from eventzoo.data import preparing
    from eventzoo.data.store import encoded

    finish = preparing._finish

    def damage_one(values, folder, pipeline):
        values.put([(2, encoded(pipeline.prepare(2))[:-1] + b"?")])
        finish(values, folder, pipeline)

    with monkeypatch.context() as patched:
        patched.setattr(preparing, "_finish", damage_one)
        with pytest.raises(EventZooError, match="1 values were damaged on the disk and are dropped"):
            prepare(tmp_path, graphs, jobs=1)
    assert find_store(tmp_path, graphs) is None
    assert prepare(tmp_path, graphs, jobs=1).built == 1


def test_a_truncated_file_is_an_error_and_no_crash(tmp_path, graphs):
    folder = prepare(tmp_path, graphs, jobs=1).folder
    size = (folder / "data.mdb").stat().st_size
    os.truncate(folder / "data.mdb", size // 2)
    with pytest.raises(EventZooError, match=rf"data.mdb has {size // 2:,} bytes instead of {size:,}; delete the folder"):
        find_store(tmp_path, graphs)
    (folder / "data.mdb").unlink()
    with pytest.raises(EventZooError, match=r"data\.mdb has 0 bytes"):
        find_store(tmp_path, graphs)


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "null", '{"version": 99}', "{"])
def test_a_manifest_that_is_none(tmp_path, graphs, text):
    folder = prepare(tmp_path, graphs, jobs=1).folder
    path = folder / "manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(EventZooError, match=r"manifest.json .*delete the folder and prepare it again"):
        find_store(tmp_path, graphs)


def test_the_manifest_says_what_the_store_was_made_of(tmp_path, from_files):
    manifest = json.loads((prepare(tmp_path, from_files, jobs=1).folder / "manifest.json").read_text())
    assert manifest["dataset"]["class_path"] == "eventzoo.datasets.NMNIST"
    assert (manifest["split"], manifest["slots"]) == ("train", 4)
    assert manifest["representation"]["class_path"] == "eventzoo.representations.EventGraph"


def test_recordings_that_change_while_they_are_prepared(tmp_path, from_files, monkeypatch):
    from eventzoo.data import preparing

    build = preparing._build

    def change_and_build(*args):
        os.utime(from_files.dataset.source_files()[0], (0, 0))
        return build(*args)

    with monkeypatch.context() as patched:
        patched.setattr(preparing, "_build", change_and_build)
        with pytest.raises(EventZooError, match="recordings have changed while they were prepared"):
            prepare(tmp_path / "stores", from_files, jobs=1)
    assert not [folder for folder in (tmp_path / "stores").glob("NMNIST-*") if not folder.suffix]
    assert prepare(tmp_path / "stores", from_files, jobs=1).built == 4


def test_two_processes_do_not_prepare_the_same_store(tmp_path, graphs):
    from filelock import FileLock

    with FileLock(tmp_path / f".{store_name(graphs)}.lock"), pytest.raises(EventZooError, match="is being prepared by another process"):
        prepare(tmp_path, graphs, jobs=1)


def test_a_folder_that_cannot_be_written(tmp_path, graphs):
    (tmp_path / "stores").write_text("a file")
    with pytest.raises(EventZooError, match="cannot be written"):
        prepare(tmp_path / "stores", graphs, jobs=1)


def test_backends_that_are_none(tmp_path, graphs, monkeypatch):
    with pytest.raises(EventZooError, match="there is no backend 'spark'; there are loky"):
        prepare(tmp_path, graphs, backend="spark")
    for name, module in {"dask": "distributed", "ray": "ray.util.joblib"}.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(EventZooError, match=rf"the backend {name} is not installed: pip install eventzoo\[{name}\]"):
            prepare(tmp_path, graphs, backend=name)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_local_cluster_gives_the_same_bytes(tmp_path, graphs, backend):
    """In a process of its own: clusters leave threads and sockets behind."""
    script = f"""
        import sys, warnings
        from pathlib import Path

        def main():
            from eventzoo.data.pipeline import Pipeline
            from eventzoo.data.preparing import prepare
            from eventzoo.data.transforms import EvenSubsample
            from eventzoo.plugins.datasets.moving_shapes import MovingShapes
            from eventzoo.plugins.representations.event_graph import EventGraph
            pipeline = Pipeline(MovingShapes(size=7), [EvenSubsample(300)], EventGraph())
            print(prepare(Path(sys.argv[1]), pipeline, jobs=2, backend={backend!r}).built)

        if __name__ == "__main__":
            main()
    """
    pytest.importorskip("distributed" if backend == "dask" else backend)
    path = tmp_path / "main.py"
    path.write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, str(path), str(tmp_path / "stores")], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split()[-1:] == ["7"], done.stderr
    expected = prepare(tmp_path / "expected", graphs, jobs=1).folder
    assert bytes_of(tmp_path / "stores" / expected.name) == bytes_of(expected)
    shutil.rmtree(tmp_path / "stores")
