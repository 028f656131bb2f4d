"""What a representation is: events in, tensors out."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.nn.backbone import Kind
from eventzoo.specs import Part

T = TypeVar("T")


class Representation(Part, ABC, Generic[T]):
    """Base of all representations, each a pure function of the events.

    Attributes:
        kind: What it yields. A backbone that accepts another kind is refused before training starts.
        channels: Features of a node, pixel, token or event.
    """

    kind: ClassVar[Kind]
    channels: int

    @abstractmethod
    def __call__(self, events: Events) -> T:
        """The representation of one recording; an empty recording has one too."""

    @abstractmethod
    def collate(self, samples: list[T]) -> Any:
        """One batch of several recordings: what a backbone takes. Copies them: they may be views of a prepared store."""

    def to_tensors(self, value: T) -> dict[str, Tensor]:
        """The representation of one recording as named tensors, which a prepared store keeps.

        Raises:
            EventZooError: The representation is no tensor, and does not say how it becomes tensors.
        """
        if not isinstance(value, Tensor):
            raise EventZooError(f"{type(self).__name__} cannot be prepared: it lacks to_tensors and from_tensors")
        return {"": value}

    def from_tensors(self, tensors: dict[str, Tensor]) -> T:
        """What `to_tensors` was given."""
        value: Any = tensors[""]
        return value  # type: ignore[no-any-return]  # to_tensors refuses all but tensors


class ImageRepresentation(Representation[Tensor], ABC):
    """Base of the representations that make one image of a recording: float32 `[channels, height, width]`, of the sensor's size."""

    kind: ClassVar[Kind] = "image"

    def collate(self, samples: list[Tensor]) -> Tensor:
        """`[B, channels, height, width]`."""
        return torch.stack(samples)
