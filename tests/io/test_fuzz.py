import importlib.util
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from eventzoo.events import Events
from eventzoo.io import ENCODINGS, write

SCRIPT = Path(__file__).with_name("fuzz.py")


@pytest.fixture
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_damaged_files_of_every_encoding(fuzz, capfd):
    assert fuzz.main(["--files", "300"]) == 0, capfd.readouterr().out
    table = capfd.readouterr().out
    assert all(f"| {name} | 300 |" in table or f"| {name} | skipped: " in table for name in ENCODINGS)
    assert "| dat | 300 |" in table


def crash(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(*_, **__):
    while True:
        pass


def raise_value_error(*_, **__):
    raise ValueError("a slip")


def fill_memory(*_, **__):
    return [np.ones(10**8)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (raise_value_error, "ValueError: a slip"),
        (crash, "the process dies with exit code -9"),
        (hang, "takes more than 0.5 s"),
        (fill_memory, "MemoryError: "),
        (lambda *_, **__: [], "AssertionError: "),
    ],
)
def test_what_goes_wrong_is_reported(fuzz, monkeypatch, capfd, fault, said):
    reading, good = fuzz.read_windows, 0

    def faulty(*args, **kwargs):
        nonlocal good
        good += 1
        return (reading if good <= 2 else fault)(*args, **kwargs)  # the valid file is read well

    monkeypatch.setattr(fuzz, "read_windows", faulty)
    monkeypatch.setattr(fuzz, "damaged", lambda raw, rng: raw)
    monkeypatch.setattr(fuzz, "HANG_S", 0.5)
    assert fuzz.main(["--encodings", "dat", "--files", "2", "--seed", "3"]) == 1
    assert f"dat: file 1 (--encodings dat --seed 3 --first 1 --files 1): {said}" in capfd.readouterr().out


def test_a_file_depends_on_seed_and_number_only(fuzz):
    raw = bytes(range(256)) * 4
    made = [fuzz.damaged(raw, np.random.default_rng([0, 1, number])) for number in range(50)]
    assert made == [fuzz.damaged(raw, np.random.default_rng([0, 1, number])) for number in range(50)]
    assert len(set(made)) > 40


def test_an_encoding_that_is_only_read_takes_a_real_recording(fuzz, monkeypatch, tmp_path):
    write(tmp_path / "b.dat", Events([1], [2], [3], [1], (9, 9)))
    (tmp_path / "a.dat").write_bytes(b"no recording")
    monkeypatch.setenv("EVENTZOO_REALDATA", str(tmp_path))
    assert list(fuzz.real("dat")) == [(tmp_path / "b.dat").read_bytes()]
