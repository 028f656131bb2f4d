"""The head that names what a recording shows."""

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from eventzoo.data.dataset import TaskName
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads.base import Head
from eventzoo.tasks.results import ClassificationResult


class ClassificationHead(Head):
    """Dropout and one linear layer over all features.

    Args:
        dropout: Share of the features that are dropped in training.

    Shapes:
        input: `[B, C, height, width]` or `[B, C]`.
        output: logits `[B, num_classes]`.
    """

    task: ClassVar[TaskName] = "classification"

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def connect(self, backbone: Backbone, num_classes: int) -> Self:
        """Make the layer for the features of a backbone; the head itself."""
        width, height = backbone.out_size or (1, 1)
        self.linear = nn.Linear(backbone.out_channels * width * height, num_classes)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Logits of a batch."""
        return self.linear(self.dropout(features.flatten(1)))  # type: ignore[no-any-return]

    def result(self, output: NDArray[np.float32], classes: Sequence[str]) -> ClassificationResult:
        """What logits, float32 `[classes]`, say. The array is kept, not copied."""
        class_id = int(output.argmax())
        return ClassificationResult(class_id, classes[class_id], output)
