"""Heads: what turns a backbone's features into a task's answer."""

from torch import Tensor, nn

from eventzoo.nn.backbone import Backbone


class ClassificationHead(nn.Module):
    """Dropout and one linear layer over all features.

    Args:
        backbone: The backbone whose features it takes.
        num_classes: Number of classes.
        dropout: Share of the features that are dropped in training.

    Shapes:
        input: `[B, C, height, width]` or `[B, C]`.
        output: logits `[B, num_classes]`.
    """

    def __init__(self, backbone: Backbone, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        width, height = backbone.out_size or (1, 1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.out_channels * width * height, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of a batch."""
        return self.linear(self.dropout(features.flatten(1)))  # type: ignore[no-any-return]
