from pathlib import Path

import numpy as np
import pytest

from eventzoo.data.pipeline import Pipeline
from eventzoo.data.transforms import EvenSubsample, EventMix, RandomShift
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.plugins.datasets.nmnist import NMNIST
from eventzoo.plugins.representations.event_graph import EventGraph
from eventzoo.plugins.representations.histogram import Histogram

PIPELINES = {
    "whole graphs": lambda: Pipeline(MovingShapes(size=7), [EvenSubsample(300)], EventGraph()),
    "whole images": lambda: Pipeline(MovingShapes(size=7), [], Histogram()),
    "samples": lambda: Pipeline(MovingShapes(size=7), [EvenSubsample(300), RandomShift(3)], EventGraph(), seed=5),
    "samples with boxes": lambda: Pipeline(MovingShapes(size=7, task="detection"), [RandomShift(3)], Histogram()),
    "mixed samples": lambda: Pipeline(MovingShapes(size=7), [RandomShift(3)], Histogram(), mix=EventMix()),
    "realisations": lambda: Pipeline(MovingShapes(size=7), [RandomShift(3)], Histogram(), realisations=3, mix=EventMix()),
    "realisations with boxes": lambda: Pipeline(MovingShapes(size=7, task="detection"), [RandomShift(3)], EventGraph(), realisations=2),
}


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """One of each way in which samples can be prepared."""
    return PIPELINES[request.param]()


@pytest.fixture
def graphs() -> Pipeline:
    """Graphs that involve no chance."""
    return PIPELINES["whole graphs"]()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """N-MNIST's layout, with four recordings."""
    root = tmp_path / "N-MNIST"
    rng = np.random.default_rng(0)
    for number in (1, 2, 3, 4):
        (root / "Train" / "7").mkdir(parents=True, exist_ok=True)
        t = np.sort(rng.integers(0, 300_000, 200))
        write(root / "Train" / "7" / f"{number:05d}.bin", Events(rng.integers(0, 34, 200), rng.integers(0, 34, 200), t, t % 2, (34, 34)))
    return root


@pytest.fixture
def from_files(recordings: Path) -> Pipeline:
    """Graphs of recordings on disk."""
    return Pipeline(NMNIST(str(recordings)), [], EventGraph())
