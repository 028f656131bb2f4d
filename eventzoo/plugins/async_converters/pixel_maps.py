"""Images of events, event by event."""

from typing import TYPE_CHECKING, Any, ClassVar

from eventzoo import representations
from eventzoo.asynchronous import AsyncConverter, Features, Plan, State, Unsupported
from eventzoo.kernels.asynchronous import pixel_rows, pixel_stream

if TYPE_CHECKING:
    from eventzoo.asynchronous.plan import Compiled
    from eventzoo.plugins.representations.histogram import Histogram


class AsyncHistogram(AsyncConverter):
    """Counts of each polarity: an event changes one of them when it comes, and again when it leaves."""

    handles: ClassVar = (representations.Histogram,)

    def convert(self, plan: Plan, layer: "Histogram", *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # a representation has none
        """The image."""
        return _pixel_map(plan, pixel_rows.histogram_row, [], layer.channels)


def _pixel_map(plan: Plan, row: "Compiled", settings: list[State], channels: int, tick: int = 0) -> Features:
    """An image whose pixels each depend on that pixel's events, and on the tick of the clock in which the newest event came.

    Args:
        plan: The plan, which begins here.
        row: Compiled `(stream, *settings, noted, pixel, out)`: makes one pixel of the image.
        settings: What it needs besides.
        channels: The image's channels.
        tick: Microseconds of a tick, 0 where the clock does not matter.
    """
    window, (width, height) = plan.window, plan.sensor_size
    if window.history:
        raise Unsupported("an image has no features of single events that could be final; leave out the window's history")
    events, pixels = plan.domain(plan.capacity, grows=True), plan.domain(width * height)
    stream = plan.state(
        pixel_stream.make_pixel_stream((width, height), (window.events, window.microseconds), tick, events.capacity),
        events,
        pixel_stream.PER_SITE,
    )
    noted = plan.features(pixels, 0, (width, height))
    plan.begin(
        events,
        pixel_stream.push_events,
        [stream, events.sites, pixels.sites, noted.rows],
        lambda: pixel_stream.window_events(stream.value),
    )
    return plan.rows(row, [stream, *settings], noted, channels)
