"""MovingShapes: simulated recordings of moving, rotating shapes; the dataset that needs no download."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.dataset import EventDataset, Sample, Split
from eventzoo.errors import EventZooError
from eventzoo.kernels.simulator import paint, pixel_thresholds, record

_SIZES: Mapping[str, int] = {"train": 1000, "val": 200, "test": 200}
_STREAMS: Mapping[str, int] = {"train": 1, "val": 2, "test": 3}  # of random numbers; 0 is the camera's

_TIMES = np.arange(0, 100_001, 1_000)  # of the rendered frames, microseconds; nothing moves by more than 0.3 pixels between two
_THRESHOLD = 0.2  # of log intensity
_MISMATCH = 0.15  # of the threshold, as in v2e
_REFRACTORY = 1_000  # microseconds
_NOISE_RATE = 1.0  # events a second and pixel

# Radii that give all classes about the same number of events; equal ones would let it tell triangles from crosses.
_RELATIVE_RADIUS: Mapping[str, float] = {"circle": 1.0, "square": 1.1, "triangle": 1.2, "star": 1.0, "cross": 0.9}


@dataclass(frozen=True)
class Scene:
    """One shape on a plain background of intensity 1, moving straight and turning evenly.

    Attributes:
        shape: Name of its class.
        radius: Its size, as `eventzoo.kernels.simulator.paint` takes it, pixels.
        level: Its linear intensity.
        pose: Centre x, centre y (pixels) and angle (radians) half-way through the recording.
        velocity: Change of the pose, a second.
    """

    shape: str
    radius: float
    level: float
    pose: tuple[float, float, float]
    velocity: tuple[float, float, float]

    @classmethod
    def draw(cls, shape: str, sensor_size: tuple[int, int], rng: np.random.Generator) -> Self:
        """A random scene whose shape stays mostly in view."""
        width, height = sensor_size
        contrast = rng.choice((-1, 1)) * rng.uniform(0.6, 1.3)
        speed, heading = rng.uniform(50, 140), rng.uniform(0, 2 * np.pi)
        return cls(
            shape=shape,
            radius=rng.uniform(11, 16) * _RELATIVE_RADIUS[shape],
            level=float(np.exp(contrast)),
            pose=(rng.uniform(0.4, 0.6) * (width - 1), rng.uniform(0.4, 0.6) * (height - 1), rng.uniform(0, 2 * np.pi)),
            velocity=(speed * np.cos(heading), speed * np.sin(heading), rng.uniform(-6, 6)),
        )

    def poses(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Centre x, centre y and angle at `times` (microseconds, half-way between first and last is `pose`), `[F, 3]`."""
        seconds = (times - (times[0] + times[-1]) / 2) * 1e-6
        return np.asarray(self.pose) + np.outer(seconds, self.velocity)

    def frames(self, times: NDArray[np.int64], sensor_size: tuple[int, int]) -> NDArray[np.float64]:
        """Log intensity at `times` (microseconds), `[F, H, W]`."""
        width, height = sensor_size
        intensity = np.ones((len(times), height, width))
        paint(intensity, self.shape, self.poses(times), self.radius, self.level)
        return np.log(intensity)


class MovingShapes(EventDataset):
    """Moving, rotating shapes, seen by a simulated event camera of 64×64 pixels for 100 ms. Needs no download.

    Each recording shows one shape of random size, place, direction, speed, angle and rotation, brighter or darker than
    its background. The camera follows the log-intensity-threshold model (`eventzoo.kernels.simulator.record`, which names its sources)
    with a contrast threshold of 0.2, 15 % mismatch between pixels, 1 ms refractory time and background activity of one
    event a second and pixel. A recording has 1,500 to 4,000 events, as a rule; their number says next to nothing about the class.

    A sample depends on `seed`, `split` and its index alone, and comes out the same in every run. Datasets that differ in `size`
    share their first samples; splits share none, but, as real ones do, the camera. Labels go round: sample `i` is of class
    `i % 5`.

    Args:
        split: `train`, `val` or `test`.
        size: Number of recordings. Default: 1000 for `train`, 200 for `val` and `test`.
        seed: Seed of the scenes, the camera's mismatch and the noise; not negative.

    Raises:
        EventZooError: There is no such split, or `size` or `seed` is out of range.
    """

    sensor_size = (64, 64)
    classes = ("circle", "square", "triangle", "star", "cross")

    def __init__(self, split: Split = "train", size: int | None = None, seed: int = 0) -> None:
        if split not in _SIZES:
            raise EventZooError(f"MovingShapes has the splits {', '.join(_SIZES)}, not {split!r}")
        if size is not None and size < 1:
            raise EventZooError(f"MovingShapes: size must be at least 1, not {size}")
        if seed < 0:
            raise EventZooError(f"MovingShapes: seed must not be negative, it is {seed}")
        self.split = split
        self.size = _SIZES[split] if size is None else size
        self.seed = seed
        self._thresholds = pixel_thresholds(self.sensor_size, _THRESHOLD, _MISMATCH, np.random.default_rng([seed, 0]))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        index = range(self.size)[index]
        rng = np.random.default_rng([self.seed, _STREAMS[self.split], index])
        label = index % len(self.classes)
        frames = Scene.draw(self.classes[label], self.sensor_size, rng).frames(_TIMES, self.sensor_size)
        events = record(frames, _TIMES, self._thresholds, refractory=_REFRACTORY, noise_rate=_NOISE_RATE, rng=rng)
        return Sample(events, label, f"{self.split}/{index:06d}")

    def verify(self) -> None:
        """Generate every sample. Raises `EventZooError` for one without events."""
        for index in range(self.size):
            sample = self[index]
            if not len(sample.events):
                raise EventZooError(f"MovingShapes: sample {sample.key} holds no events")
