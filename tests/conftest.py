import os
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # the tests' tensors are small: threads only wait for each other, above all on a busy machine

import numpy as np
import pytest

from eventzoo.events import Events

REPOSITORY = Path(__file__).parents[1]


def _outside(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / name)
    if not folder.is_dir():
        pytest.skip(f"no {name} here: set {variable}")
    return folder


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Real recordings, which are not part of the project."""
    return _outside("EVENTZOO_REALDATA", "realdata")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Known answers of the upstream systems, which are not part of the project."""
    return _outside("EVENTZOO_FIXTURES", "fixtures")


@pytest.fixture(scope="session")
def make_events() -> Callable[..., Events]:
    """Makes random events, clustered enough to be neighbours."""

    def made(count: int, sensor_size: tuple[int, int] = (34, 34), seed: int = 0, duration: int = 100_000) -> Events:
        rng = np.random.default_rng(seed)
        width, height = sensor_size
        t = np.sort(rng.integers(0, duration, count))
        return Events(rng.integers(0, width, count), rng.integers(0, height, count), t, rng.random(count) < 0.5, sensor_size)

    return made


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the `eventzoo` command in this process."""

    def run(*args: object) -> None:
        from eventzoo.cli import main

        monkeypatch.setattr("sys.argv", ["eventzoo"])  # Lightning warns of arguments in two places
        main([str(arg) for arg in args])

    return run


@pytest.fixture(scope="session")
def scalars() -> Callable[[Path], dict[str, dict[int, float]]]:
    """Reads what a training logged for TensorBoard: the value at each step, of each scalar by name."""

    def read(folder: Path) -> dict[str, dict[int, float]]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        log = EventAccumulator(str(folder))
        log.Reload()
        return {name: {scalar.step: scalar.value for scalar in log.Scalars(name)} for name in log.Tags()["scalars"]}

    return read
