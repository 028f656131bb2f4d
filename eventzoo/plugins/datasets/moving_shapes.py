"""MovingShapes: simulated recordings of moving, rotating shapes; the dataset that needs no download."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from eventzoo import registry
from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import EventDataset, FolderDataset, Sample, Split
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.simulator import extent, paint, pixel_thresholds, record

Task = Literal["classification", "detection"]

_SIZES: Mapping[str, int] = {"train": 1000, "val": 200, "test": 200}
_STREAMS: Mapping[str, int] = {"train": 1, "val": 2, "test": 3}  # of random numbers; 0 is the camera's

_SIDE, _DURATION = 64, 100_000  # pixels and microseconds: a larger sensor and a longer recording show the same, stretched
_FRAMES = 101  # rendered of a recording; nothing moves by more than 0.3 pixels of the 64 between two
_THRESHOLD = 0.2  # of log intensity
_MISMATCH = 0.15  # of the threshold, as in v2e
_REFRACTORY = 1_000  # microseconds
_NOISE_RATE = 1.0  # events a second and pixel

# Radii that give all classes about the same number of events; equal ones would let it tell triangles from crosses.
_RELATIVE_RADIUS: Mapping[str, float] = {"circle": 1.0, "square": 1.1, "triangle": 1.2, "star": 1.0, "cross": 0.9}

_MOST_SHAPES = 3  # of a recording, in detection
_CANDIDATES = 8  # of which the one farthest from the other shapes is taken
_VISIBLE = 0.5  # of a shape's area, for it to have a box
_LABELLED_FRAMES = (20, 40, 60, 80, 100)  # of exported recordings


@dataclass(frozen=True)
class Camera:
    """The simulated event camera, which films for a fixed time.

    Attributes:
        sensor_size: `(width, height)` in pixels.
        times: Of the rendered frames, microseconds, int64 `[F]`.
        thresholds: Contrast thresholds for OFF and ON events, float64 `[2, H, W]`.
    """

    sensor_size: tuple[int, int]
    times: NDArray[np.int64]
    thresholds: NDArray[np.float64]

    @classmethod
    def make(cls, sensor_size: tuple[int, int], duration: int, seed: int) -> Self:
        """The camera that a seed gives, filming for `duration` microseconds from 0 on."""
        times = np.arange(_FRAMES, dtype=np.int64) * (duration // (_FRAMES - 1))
        return cls(sensor_size, times, pixel_thresholds(sensor_size, _THRESHOLD, _MISMATCH, np.random.default_rng([seed, 0])))

    @property
    def scale(self) -> float:
        """How many times the default sensor's shorter side this one's is."""
        return min(self.sensor_size) / _SIDE

    @property
    def rate(self) -> float:
        """How many times faster things happen than in a recording of the default duration."""
        return _DURATION / int(self.times[-1])

    def film(self, shapes: "Sequence[Shape]", rng: np.random.Generator) -> Events:
        """The events of shapes before a plain background of intensity 1; a later shape is in front of an earlier one."""
        width, height = self.sensor_size
        frames = np.ones((len(self.times), height, width))
        for shape in shapes:
            paint(frames, shape.name, shape.poses(self.times), shape.radius, shape.level)
        np.log(frames, out=frames)
        return record(frames, self.times, self.thresholds, refractory=_REFRACTORY, noise_rate=_NOISE_RATE * self.rate, rng=rng)

    def boxes(self, shapes: "Sequence[Shape]", frames: Sequence[int]) -> Boxes:
        """The boxes around whole shapes, clipped to the sensor, at the times of some frames.

        A shape has a box while at least half of its area lies on the sensor and is not hidden by shapes in front of it.
        """
        xyxy, class_ids, t = [np.empty((0, 4))], [], []
        for frame in frames:
            seen = [shape.pixels(self, frame) for shape in shapes]
            for index, shape in enumerate(shapes):
                uncovered = np.prod([1 - front for front in seen[index + 1 :]], axis=0)
                if (seen[index] * uncovered).sum() >= _VISIBLE * shape.area:
                    xyxy.append(extent(shape.name, shape.poses(self.times)[[frame]], shape.radius))
                    class_ids.append(MovingShapes.classes.index(shape.name))
                    t.append(self.times[frame])
        return Boxes(np.concatenate(xyxy).astype(np.float32), np.array(class_ids, np.int64), np.array(t, np.int64)).clipped(
            self.sensor_size
        )


@dataclass(frozen=True)
class Shape:
    """A shape that moves straight and turns evenly.

    Attributes:
        name: Its class.
        radius: Its size, as `eventzoo.kernels.simulator.paint` takes it, pixels.
        level: Its linear intensity.
        pose: Centre x, centre y (pixels) and angle (radians) half-way through the recording.
        velocity: Change of the pose, a second.
    """

    name: str
    radius: float
    level: float
    pose: tuple[float, float, float]
    velocity: tuple[float, float, float]

    @classmethod
    def draw(cls, name: str, camera: Camera, rng: np.random.Generator) -> Self:
        """A random shape that fills much of the view and stays mostly inside."""
        return cls._draw(name, camera, rng, radii=(11, 16), middle=(0.4, 0.6))

    @classmethod
    def draw_several(cls, names: Sequence[str], camera: Camera, rng: np.random.Generator) -> list[Self]:
        """One to three smaller random shapes of any class, apart from each other as a rule."""
        shapes: list[Self] = []
        for _ in range(rng.integers(1, _MOST_SHAPES + 1)):
            name = names[int(rng.integers(len(names)))]
            candidates = [cls._draw(name, camera, rng, radii=(6, 12), middle=(0.15, 0.85)) for _ in range(_CANDIDATES)]
            shapes.append(max(candidates, key=lambda shape: shape._distance(shapes)))
        return shapes

    @classmethod
    def _draw(cls, name: str, camera: Camera, rng: np.random.Generator, radii: tuple[float, float], middle: tuple[float, float]) -> Self:
        """`radii` are those of a circle on the default sensor; `middle` is where the centre is half-way, of the sensor's sides."""
        width, height = camera.sensor_size
        contrast = rng.choice((-1, 1)) * rng.uniform(0.6, 1.3)
        speed, heading = rng.uniform(50, 140) * camera.scale * camera.rate, rng.uniform(0, 2 * np.pi)
        return cls(
            name=name,
            radius=rng.uniform(*radii) * _RELATIVE_RADIUS[name] * camera.scale,
            level=float(np.exp(contrast)),
            pose=(rng.uniform(*middle) * (width - 1), rng.uniform(*middle) * (height - 1), rng.uniform(0, 2 * np.pi)),
            velocity=(speed * np.cos(heading), speed * np.sin(heading), rng.uniform(-6, 6) * camera.rate),
        )

    def _distance(self, others: "Sequence[Shape]") -> float:
        """Half-way through the recording, the least distance to other shapes' circles, pixels; infinite without others."""
        gaps = (np.hypot(*np.subtract(self.pose, other.pose)[:2]) - self.radius - other.radius for other in others)
        return float(min(gaps, default=np.inf))

    def poses(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Centre x, centre y and angle at `times` (microseconds, half-way between first and last is `pose`), `[F, 3]`."""
        seconds = (times - (times[0] + times[-1]) / 2) * 1e-6
        return np.asarray(self.pose) + np.outer(seconds, self.velocity)

    def pixels(self, camera: Camera, frame: int) -> NDArray[np.float64]:
        """How much of each pixel the shape covers in a frame, 0 to 1, `[H, W]`."""
        width, height = camera.sensor_size
        return self._covered((width, height), self.poses(camera.times)[frame])

    @property
    def area(self) -> float:
        """Pixels that it covers when it is wholly in view."""
        side = 2 * int(1.1 * self.radius) + 5
        return float(self._covered((side, side), np.array((side // 2, side // 2, 0.0))).sum())

    def _covered(self, size: tuple[int, int], pose: NDArray[np.float64]) -> NDArray[np.float64]:
        frame = np.zeros((size[1], size[0]))
        paint(frame[None], self.name, pose[None], self.radius, 1.0)
        return frame


class MovingShapes(EventDataset):
    """Moving, rotating shapes, seen by a simulated event camera of 64×64 pixels for 100 ms. Needs no download.

    In classification, each recording shows one shape of random size, place, direction, speed, angle and rotation, brighter or
    darker than its background. In detection it shows one to three smaller ones, which may hide or leave each other and the view; its
    boxes are those of the recording's end, of the shapes of which at least half can be seen then, clipped to the sensor.

    The camera follows the log-intensity-threshold model (`eventzoo.kernels.simulator.record`, which names its sources)
    with a contrast threshold of 0.2, 15 % mismatch between pixels, 1 ms refractory time and background activity of one
    event a second and pixel. A recording has 1,500 to 4,000 events, as a rule; in classification their number says next to nothing
    about the class.

    A sample depends on `task`, `seed`, `split` and its index alone, and comes out the same in every run. Datasets that differ in
    `size` share their first samples; splits share none, but, as real ones do, the camera. In classification labels go round: sample
    `i` is of class `i % 5`.

    Args:
        split: `train`, `val` or `test`.
        size: Number of recordings. Default: 1000 for `train`, 200 for `val` and `test`.
        seed: Seed of the scenes, the camera's mismatch and the noise; not negative.
        task: `classification` or `detection`.

    Raises:
        EventZooError: There is no such split or task, or `size` or `seed` is out of range.
    """

    sensor_size = (_SIDE, _SIDE)
    classes = ("circle", "square", "triangle", "star", "cross")

    def __init__(self, split: Split = "train", size: int | None = None, seed: int = 0, task: Task = "classification") -> None:
        if split not in _SIZES:
            raise EventZooError(f"MovingShapes has the splits {', '.join(_SIZES)}, not {split!r}")
        if task not in get_args(Task):
            raise EventZooError(f"MovingShapes has the tasks {', '.join(get_args(Task))}, not {task!r}")
        if size is not None and size < 1:
            raise EventZooError(f"MovingShapes: size must be at least 1, not {size}")
        if seed < 0:
            raise EventZooError(f"MovingShapes: seed must not be negative, it is {seed}")
        self.split = split
        self.size = _SIZES[split] if size is None else size
        self.seed = seed
        self.task = task
        self._camera = Camera.make(self.sensor_size, _DURATION, seed)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        index = range(self.size)[index]
        shapes, events = _recording(self._camera, self.task, self.classes, self.split, self.seed, index)
        key = f"{self.split}/{index:06d}"
        if self.task == "detection":
            return Sample(events, None, key, self._camera.boxes(shapes, frames=[-1]))
        return Sample(events, index % len(self.classes), key)

    def verify(self) -> None:
        """Generate every sample. Raises `EventZooError` for one without events."""
        for index in range(self.size):
            sample = self[index]
            if not len(sample.events):
                raise EventZooError(f"MovingShapes: sample {sample.key} holds no events")

    @classmethod
    def export(
        cls,
        folder: str | Path,
        layout: str,
        *,
        train: int = 20,
        val: int = 10,
        test: int = 10,
        duration: int | None = None,
        seed: int = 0,
    ) -> None:
        """Write simulated recordings in the on-disk layout of another dataset, which then reads them as its own.

        The recordings have that dataset's sensor size and its first classes, as many as there are shapes. In detection they
        have boxes at every fifth of their time; in classification they have, besides their label, the shape's box at the end.

        Args:
            folder: Root of the dataset to write; made if it does not exist.
            layout: Name of the dataset, such as `Gen1` or `gen1`.
            train: Number of recordings for `train`.
            val: Number of recordings for `val`.
            test: Number of recordings for `test`.
            duration: Of each recording, microseconds. Default: 300 ms in classification, 1.5 s in detection, where loaders skip the
                first half of a second.
            seed: Seed of the scenes, the camera's mismatch and the noise; not negative.

        Raises:
            EventZooError: There is no such dataset, it cannot be written, or a number is out of range.
        """
        dataset = _layout(layout)
        task: Task = dataset.task
        duration = {"classification": 300_000, "detection": 1_500_000}[task] if duration is None else duration
        if duration < _DURATION or min(train, val, test, seed) < 0:
            raise EventZooError(
                f"MovingShapes.export: the duration must be at least {_DURATION:,} µs, and no number negative; "
                f"given were duration {duration}, train {train}, val {val}, test {test} and seed {seed}"
            )
        camera = Camera.make(dataset.sensor_size, duration, seed)
        classes = cls.classes[: len(dataset.classes)]
        sizes: Mapping[Split, int] = {"train": train, "val": val, "test": test}
        for split, size in sizes.items():
            if size:
                dataset.export(Path(folder), split, _samples(camera, task, classes, split, size, seed))


def _layout(name: str) -> type[FolderDataset]:
    names = {known.lower(): known for known in registry.entries("datasets")}
    dataset = registry.get("datasets", names.get(name.lower(), name))
    if not issubclass(dataset, FolderDataset):
        raise EventZooError(f"{dataset.__name__} has no layout on disk to export to: it is no FolderDataset")
    return dataset


def _samples(camera: Camera, task: Task, classes: Sequence[str], split: Split, size: int, seed: int) -> Iterator[Sample]:
    """Samples to export."""
    for index in range(size):
        shapes, events = _recording(camera, task, classes, split, seed, index)
        key = f"{split}/{index:06d}"
        if task == "detection":
            yield Sample(events, None, key, camera.boxes(shapes, _LABELLED_FRAMES))
        else:
            yield Sample(events, index % len(classes), key, camera.boxes(shapes, frames=[-1]))


def _recording(camera: Camera, task: Task, classes: Sequence[str], split: Split, seed: int, index: int) -> tuple[list[Shape], Events]:
    """One recording, and the shapes in it from back to front."""
    if task == "detection":
        rng = np.random.default_rng([seed, _STREAMS[split], index, 1])
        shapes = Shape.draw_several(classes, camera, rng)
    else:
        rng = np.random.default_rng([seed, _STREAMS[split], index])
        shapes = [Shape.draw(classes[index % len(classes)], camera, rng)]
    return shapes, camera.film(shapes, rng)
