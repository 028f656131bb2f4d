"""What a backbone is: a batch in, features out."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.specs import Part

Kind = Literal["frames", "graph", "image", "stream", "tokens"]


class Backbone(Part, nn.Module, ABC):
    """Base of all backbones. The head belongs to the task.

    Attributes:
        accepts: The kind of representation that it takes.
        sensor_size: `(width, height)` in pixels that it is made for; None where any size will do.
        out_channels: Channels of the features.
        out_size: `(width, height)` of the feature map; None where the features are one vector a sample.
    """

    accepts: ClassVar[Kind]
    sensor_size: tuple[int, int] | None
    out_channels: int
    out_size: tuple[int, int] | None

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Features of a batch as its representation collates it.

        Shapes:
            output: `[B, out_channels, height, width]`, or `[B, out_channels]` where `out_size` is None.
        """

    def check_representation(self, representation: Any) -> None:
        """Refuse, before anything runs, a representation whose batches it does not take.

        Raises:
            EventZooError: It does not.
        """
        if representation.kind != self.accepts:
            raise EventZooError(
                f"{type(self).__name__} takes a representation of kind {self.accepts!r}, but {type(representation).__name__} yields "
                f"{representation.kind!r}"
            )

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay must not pull to zero, as `named_parameters` has them; by default none.

        Where there are some, a task's optimiser decays its head's biases as little.
        """
        return set()
