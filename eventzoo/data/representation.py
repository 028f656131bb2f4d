"""What a representation is: events in, tensors out."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

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
        """One batch of several recordings: what a backbone takes."""
