"""Events as pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events


def event_image(events: Events) -> NDArray[np.uint8]:
    """Events on white: ON red, OFF blue, both dark; the more events, the stronger.

    Returns:
        uint8 `[height, width, 3]`.
    """
    width, height = events.sensor_size
    counts = np.zeros((2, height, width))
    np.add.at(counts, (events.p.astype(int), events.y, events.x), 1)
    return count_image(counts)


def count_image(counts: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture of numbers of OFF and ON events `[2, height, width]`, as `event_image`."""
    scale = max(np.quantile(counts[counts > 0], 0.95), 1) if counts.any() else 1
    off, on = np.clip(counts / scale, 0, 1) ** 0.5
    image = np.stack([1 - off, 1 - np.maximum(on, off) * 0.85, 1 - on], -1)
    pixels: NDArray[np.uint8] = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels
