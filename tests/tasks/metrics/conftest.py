from collections.abc import Callable

import numpy as np
import pytest

from eventzoo.data.boxes import Boxes
from eventzoo.tasks.results import Detections

Images = tuple[tuple[Detections, ...], tuple[Boxes, ...]]


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows are left, top, right, bottom, score and class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    classes = table[:, 5].astype(np.int64)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), classes, tuple(f"class {i}" for i in classes))


def boxes(*rows: tuple[float, ...]) -> Boxes:
    """Rows are left, top, right, bottom and class."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Boxes(table[:, :4], table[:, 4], np.zeros(len(table)))


@pytest.fixture(scope="session")
def found() -> Callable[..., Detections]:
    return detections


@pytest.fixture(scope="session")
def true() -> Callable[..., Boxes]:
    return boxes


@pytest.fixture(scope="session")
def random_images() -> Callable[[int, int, bool], Images]:
    """Makes images in which boxes of three classes and all sizes are found well, badly, twice, as another class or not at all."""

    def made(seed: int, images: int, ties: bool) -> Images:
        rng = np.random.default_rng(seed)
        pairs = [image(rng, ties) for _ in range(images)]
        return tuple(found for found, _ in pairs), tuple(true for _, true in pairs)

    def image(rng: np.random.Generator, ties: bool) -> tuple[Detections, Boxes]:
        size = rng.choice([8, 30, 32, 34, 90, 96, 100, 200], (rng.integers(6), 1)) + rng.integers(-1, 2, 2)
        corner = rng.integers(0, 50, size.shape)
        truths = np.column_stack((corner, corner + size, rng.integers(0, 3, len(size))))
        near = truths[rng.integers(0, len(truths), rng.integers(12))] if len(truths) else np.empty((0, 5))
        near = near + np.column_stack((rng.normal(0, 4, (len(near), 4)).round(), rng.random(len(near)) < 0.2))
        corner = rng.random((rng.integers(4), 2)) * 50
        far = np.column_stack((corner, corner + rng.random(corner.shape) * 150, rng.integers(0, 3, len(corner))))
        rows = np.concatenate((near, far))
        rows[:, 2:4] = np.maximum(rows[:, 2:4], rows[:, :2])
        scores = np.sort(rng.random(len(rows)))[::-1]
        rows = np.column_stack((rows[:, :4], scores.round(1) if ties else scores, rows[:, 4] % 3))
        return detections(*rows), boxes(*truths)

    return made
