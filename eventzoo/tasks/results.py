"""What a model says of a recording: the answers of each task."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes


@dataclass(eq=False)  # not frozen: Lightning copies what a predict_step returns field by field
class ClassificationResult:
    """What a classifier says of a recording.

    Attributes:
        class_id: Index of the most probable class.
        label: Its name.
        logits: float32 `[classes]`.
    """

    class_id: int
    label: str
    logits: NDArray[np.float32]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the logits, float32 `[classes]`, summing to one. Computed when asked for, as not every event's is."""
        relative = np.exp(self.logits - self.logits.max())  # at most 1, however large the logits
        shares: NDArray[np.float32] = relative / relative.sum()
        return shares

    def __str__(self) -> str:
        return f"{self.label} ({self.probabilities[self.class_id]:.1%})"


@dataclass(eq=False)  # not frozen: Lightning copies what a predict_step returns field by field
class Detections:
    """What a detector says of a recording: boxes, the best first.

    Attributes:
        boxes: Left, top, right and bottom edge, pixels of the recording as the model's transforms leave it, float32 `[N, 4]`.
        scores: How sure it is, 0 to 1, falling, float32 `[N]`.
        class_ids: Index of each box's class, int64 `[N]`.
        labels: Its name.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> "Detections":
        """Those with at least this score."""
        count = int((self.scores >= score).sum())
        return Detections(self.boxes[:count], self.scores[:count], self.class_ids[:count], self.labels[:count])

    def __str__(self) -> str:
        return ", ".join(f"{label} ({score:.1%})" for label, score in zip(self.labels, self.scores, strict=True)) or "nothing"


Result = ClassificationResult | Detections


class Scored(NamedTuple):
    """A sample with its right answer and what a model says of it: what a task's `test_step` returns a list of.

    Attributes:
        key: Name of the sample.
        target: Its label or its boxes.
        result: The model's answer; in detection, all boxes that the metrics are computed from.
    """

    key: str
    target: int | Boxes
    result: Result
