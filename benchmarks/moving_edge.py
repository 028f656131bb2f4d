"""A recording that benchmarks make for themselves."""

import numpy as np

from eventzoo.events import Events

SENSOR = (120, 100)


def moving_edge(count: int, seed: int = 0, passes: float = 1) -> Events:
    """The contour of an ellipse that crosses half the sensor in 100 ms, and back in the next, a pixel wide, with ON and OFF at random."""
    rng = np.random.default_rng(seed)
    width, height = SENSOR
    time, angle = np.sort(rng.random(count)) * passes, rng.random(count) * 2 * np.pi
    share = np.abs((time + 1) % 2 - 1)
    x = width * (1 / 6 + share / 2) + width / 8 * np.cos(angle) + rng.normal(0, 0.7, count)
    y = height / 2 + height / 4 * np.sin(angle) + rng.normal(0, 0.7, count)
    x, y = np.clip(np.round(x), 0, width - 1), np.clip(np.round(y), 0, height - 1)
    return Events(x, y, (time * 100_000).astype(np.int64), rng.random(count) < 0.5, SENSOR)
