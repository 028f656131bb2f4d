"""Frames made while their events come."""

from typing import TYPE_CHECKING, Any, ClassVar

from eventzoo import representations
from eventzoo.asynchronous import Engine, EngineConverter, SteppingEngine, Window

if TYPE_CHECKING:
    from eventzoo.model import EventModel


class AsyncFrameSequence(EngineConverter):
    """A model of frames is run a frame at a time, where its backbone can be."""

    handles: ClassVar = (representations.FrameSequence,)

    def engine(self, model: "EventModel", sensor_size: tuple[int, int], window: Window) -> Engine:
        """The engine; it refuses other backbones than `SteppedBackbone`s, and other windows than all events."""
        representation: Any = model.representation
        return SteppingEngine(model, representation, sensor_size, window)
