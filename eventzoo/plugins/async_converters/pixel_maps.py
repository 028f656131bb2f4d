"""Images of events, event by event."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from eventzoo import representations
from eventzoo.asynchronous import AsyncConverter, Features, Plan, State, Unsupported, pixel_map
from eventzoo.kernels.asynchronous import pixel_rows

if TYPE_CHECKING:
    from eventzoo.plugins.representations.event_frame import EventFrame
    from eventzoo.plugins.representations.event_queue import EventQueue
    from eventzoo.plugins.representations.histogram import Histogram
    from eventzoo.plugins.representations.time_surface import TimeSurface
    from eventzoo.plugins.representations.voxel_grid import VoxelGrid


class AsyncHistogram(AsyncConverter):
    """Counts of each polarity: an event changes one of them when it comes, and again when it leaves."""

    handles: ClassVar = (representations.Histogram,)

    def convert(self, plan: Plan, layer: "Histogram", *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # a representation has none
        """The image."""
        return pixel_map(plan, pixel_rows.histogram_row, [], layer.channels)


class AsyncEventFrame(AsyncConverter):
    """Counts of time bins of fixed length: an event changes those of its pixel, and all do when a new bin begins."""

    handles: ClassVar = (representations.EventFrame,)

    def convert(self, plan: Plan, layer: "EventFrame", *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002
        """The image."""
        return pixel_map(plan, pixel_rows.event_frame_row, [], layer.channels, _tick(layer))


class AsyncVoxelGrid(AsyncConverter):
    """Ticks of fixed distance: an event changes those of its pixel, and all do when a new interval begins."""

    handles: ClassVar = (representations.VoxelGrid,)

    def convert(self, plan: Plan, layer: "VoxelGrid", *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002
        """The image."""
        return pixel_map(plan, pixel_rows.voxel_grid_row, [], layer.channels, _tick(layer))


class AsyncTimeSurface(AsyncConverter):
    """Surfaces at the ends of time bins of fixed length: an event changes that of its pixel, and all do when a new bin begins."""

    handles: ClassVar = (representations.TimeSurface,)

    def convert(self, plan: Plan, layer: "TimeSurface", *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002
        """The image."""
        return pixel_map(plan, pixel_rows.time_surface_row, [_setting(plan, layer.tau)], layer.channels, _tick(layer))


class AsyncEventQueue(AsyncConverter):
    """Queues of each pixel's newest events: an event changes that of its pixel."""

    handles: ClassVar = (representations.EventQueue,)

    def convert(self, plan: Plan, layer: "EventQueue", *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002
        """The image."""
        return pixel_map(plan, pixel_rows.event_queue_row, [_setting(plan, layer.absolute_time)], layer.channels)


def _tick(layer: "EventFrame | VoxelGrid | TimeSurface") -> int:
    """Microseconds of a bin."""
    if layer.duration is None:
        raise Unsupported(
            f"its bins span the recording, so that every event moves all of them; give it a duration, such as "
            f"{type(layer).__name__}(bins={layer.bins}, duration={10_000 * layer.bins:_})"
        )
    return layer.duration // layer.bins


def _setting(plan: Plan, value: int) -> State:
    return plan.weights(pixel_rows.Setting(np.array([value], np.int64)))
