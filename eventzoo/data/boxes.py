"""Boxes around objects, the answers of detection."""

from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventZooError


@dataclass(frozen=True, eq=False, repr=False)
class Boxes:
    """Boxes of one recording: a struct of equally long, read-only arrays.

    A box covers the pixels whose centres (x, y) fulfil x1 <= x < x2 and y1 <= y < y2; so its width is x2 - x1, and a sensor's
    whole view is (0, 0, width, height). Boxes may reach beyond the sensor until `clipped`.

    Attributes:
        xyxy: Left, top, right and bottom edge of each box, pixels, float32 `[N, 4]`.
        class_ids: Index of each box into the dataset's `classes`, int64 `[N]`.
        t: Time at which each box holds, microseconds, int64 `[N]`.

    Raises:
        EventZooError: Shapes differ, a number is not finite, or an edge lies on the wrong side of its opposite.
    """

    xyxy: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    t: NDArray[np.int64]
    trusted: InitVar[bool] = field(default=False, kw_only=True)  # True: the arrays are known to be valid, skip the checks

    def __post_init__(self, trusted: bool) -> None:
        for name, dtype in (("xyxy", np.float32), ("class_ids", np.int64), ("t", np.int64)):
            view = np.asarray(getattr(self, name), dtype).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        if not trusted:
            _check(self)

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, index: slice | NDArray[Any]) -> "Boxes":
        """Some of the boxes, in the given order."""
        return Boxes(self.xyxy[index], self.class_ids[index], self.t[index], trusted=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Boxes):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ("xyxy", "class_ids", "t"))

    __hash__ = None  # type: ignore[assignment]  # equality is by value of arrays

    def __repr__(self) -> str:
        return f"Boxes({len(self)})"

    @property
    def sizes(self) -> NDArray[np.float32]:
        """Width and height of each box, pixels, float32 `[N, 2]`."""
        return self.xyxy[:, 2:] - self.xyxy[:, :2]

    def clipped(self, sensor_size: tuple[int, int]) -> "Boxes":
        """The parts of the boxes that lie on the sensor; boxes wholly outside are dropped."""
        inside = Boxes(self.xyxy.clip(0, np.tile(np.array(sensor_size, np.float32), 2)), self.class_ids, self.t, trusted=True)
        return inside[np.flatnonzero((inside.sizes > 0).all(1))]

    @classmethod
    def empty(cls) -> "Boxes":
        """No box."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.int64))


def _check(boxes: Boxes) -> None:
    count = len(boxes.class_ids)
    shapes = boxes.xyxy.shape, boxes.class_ids.shape, boxes.t.shape
    if shapes != ((count, 4), (count,), (count,)):
        raise EventZooError(f"boxes need xyxy [N, 4], class_ids [N] and t [N], not {', '.join(map(str, shapes))}")
    wrong = ~np.isfinite(boxes.xyxy).all(1) | (boxes.sizes < 0).any(1)
    if wrong.any():
        at = int(wrong.argmax())
        raise EventZooError(f"box {at} is {boxes.xyxy[at].tolist()}, not left, top, right, bottom in pixels (is it x, y, width, height?)")
