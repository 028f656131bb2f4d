"""Representations that make an image of events, in which a pixel depends on its own events alone."""

from collections.abc import Sequence

from eventzoo.asynchronous.converter import Unsupported
from eventzoo.asynchronous.plan import Plan
from eventzoo.asynchronous.state import Compiled, Features, State
from eventzoo.kernels.asynchronous import map_taps, pixel_stream


def pixel_map(plan: Plan, row: Compiled, settings: Sequence[State], channels: int, tick: int = 0) -> Features:
    """The plan's beginning for an image whose pixels each depend on that pixel's events in the window, and on the stream's clock.

    Args:
        plan: The plan, which begins here.
        row: Compiled `(stream, *settings, noted, pixel, out)`: makes one pixel of the image, `out`, float32 `[channels]`, from its events
            in `stream`, a `PixelStream`. `noted` is of no use to it.
        settings: What it needs besides, as `plan.weights` makes it.
        channels: The image's channels.
        tick: Microseconds of a tick of the clock: all pixels that have events are made anew when the newest event is the first of a tick. 0
            where the clock does not matter.

    Raises:
        Unsupported: The window has history.
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
        [stream, events.sites, noted.rows],
        lambda: pixel_stream.window_events(stream.value),
    )
    plan.step(map_taps.begin_map, [pixels.sites], pixels)
    return plan.rows(row, [stream, *settings], noted, channels)
