"""Event streams, their convolutions and their voxels, event by event."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from eventzoo import representations
from eventzoo.asynchronous import Argument, AsyncConverter, Cost, Domain, Features, Group, Neighbourhood, Plan, State, Unsupported
from eventzoo.asynchronous.plan import Columns
from eventzoo.errors import EventZooError
from eventzoo.kernels.asynchronous import map_taps
from eventzoo.kernels.asynchronous.streams import convolution, traces, voxels
from eventzoo.kernels.asynchronous.streams import levels as stream_levels
from eventzoo.kernels.event_streams import PLUS, POINT, STRIDED, Stencil, halved
from eventzoo.nn.event_conv import EventConv, TraceConv
from eventzoo.nn.event_stream import Memory, VoxelMean

if TYPE_CHECKING:
    from eventzoo.plugins.representations.event_stream import EventStream

_FEWEST_SLOTS = 256
_MOST_EDGES = 1 << 16


@dataclass(eq=False)
class Level:
    """A level of a stream: its sites, their track, and `(width, height)` of its grid."""

    domain: Domain
    track: State
    size: tuple[int, int]


@dataclass(eq=False)
class Polarities:
    """The polarities of the recording, of which a binary convolution reads the features."""

    features: Features


@dataclass(eq=False)
class Joined:
    """Edges from a level to a level, as one of a `StreamLevel`'s fields; with `memory`, what an event sees through them."""

    recording: Level
    inputs: Level
    outputs: Level
    sight: State
    neighbours: Neighbourhood
    memory: Memory


class AsyncEventStream(AsyncConverter):
    """Thins out the stream as it comes. Features are final but for those of the newest microsecond, so only what is pooled can leave."""

    handles: ClassVar = (representations.EventStream,)

    def convert(self, plan: Plan, layer: "EventStream", *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  # a representation has none
        """The batch that the backbone is given."""
        if plan.window.events is not None or (plan.window.microseconds is not None and not plan.window.history):
            raise Unsupported(
                "what comes through the levels of a stream depends on all events before it, so that none can be taken back; a window of "
                "microseconds with history, of final features, is possible"
            )
        if 9 * layer.capacity > _MOST_EDGES:
            raise Unsupported(f"an event would look at up to {9 * layer.capacity:,} others, and at most {_MOST_EDGES:,} are provided for")
        levels = _levels(plan, layer)
        recording, polarity = levels[0], plan.features(levels[0].domain, layer.channels)
        neurons = []
        for number, level in enumerate(levels[1:], 1):
            decay = layer.decay_times(number)[0]
            neurons.append(plan.state(stream_levels.make_neurons(level.size, decay, layer.threshold, layer.reset_potential)))
        reopens = plan.weights(stream_levels.Reopens(np.array([layer.ties == "together"])))
        tracks, sites = [level.track for level in levels], [level.domain.sites for level in levels]
        ats, times = [track.array("at") for track in tracks], [track.array("t") for track in tracks]
        counts = [level.array("counts") for level in sites]
        plan.begin(
            recording.domain,
            stream_levels.push_events,
            [Group(tracks), Group(ats), Group(times), Group(neurons), Group(sites), Group(counts), polarity.rows, reopens],
            lambda: _events(recording.track.value, polarity.rows.value.rows),
        )
        fields = []
        for number, (below, level) in enumerate(itertools.pairwise(levels), 1):
            joined = zip((below, level, level), (STRIDED, PLUS, POINT), layer.decay_times(number), strict=True)
            strided, inplace, pointwise = (_join(plan, layer, recording, *given, level) for given in joined)
            fields.append(SimpleNamespace(sites=level, strided=strided, inplace=inplace, pointwise=pointwise))
        return SimpleNamespace(polarity=Polarities(polarity), levels=fields, duration=recording)


class AsyncEventConv(AsyncConverter):
    """Convolutions of streams: an event is convolved when it comes, and again while more events of its microsecond do."""

    handles: ClassVar = (EventConv,)

    def convert(self, plan: Plan, layer: EventConv, *args: Any, **kwargs: Any) -> Features:
        """The convolved features."""
        x, edges = _given("window", args, kwargs)
        kernel = _kernel(plan, layer)
        width, features = len(kernel.value.sums), plan.features(edges.outputs.domain, layer.out_channels)
        cost = Cost(edge=2 * width, unit=2 * width * layer.out_channels)
        return plan.rows(convolution.convolve, [kernel], x, layer.out_channels, edges.neighbours, cost=cost, output=features)


class AsyncTraceConv(AsyncConverter):
    """Convolutions of streams with traces: one for each pixel, however many events it has had."""

    handles: ClassVar = (TraceConv,)

    def convert(self, plan: Plan, layer: TraceConv, *args: Any, **kwargs: Any) -> Features:
        """The convolved features."""
        x, edges = _given("trace", args, kwargs)
        kernel = _kernel(plan, layer)
        width, outputs = len(kernel.value.sums), edges.outputs
        state = plan.state(traces.make_traces(edges.inputs.size[0] * edges.inputs.size[1], width))
        features = plan.features(outputs.domain, layer.out_channels)
        tracks = (edges.recording.track.array("at"), edges.inputs.track, outputs.track)
        arguments: list[Argument] = [kernel, state, edges.sight, *tracks, x.rows, outputs.domain.sites, features.rows]
        cost = Cost(edge=2 * width * layer.out_channels + 2 * width)
        news = [state.array("at"), edges.inputs.track.array("at"), outputs.domain.sites.array("counts"), features.rows.array("counts")]
        plan.step(traces.convolve_traces, arguments, outputs.domain, cost, edges.neighbours, when=(traces.has_news, news))
        return features


class AsyncVoxelMean(AsyncConverter):
    """Means in voxels: sums to which is only added, and bins of time that are dropped as a whole."""

    handles: ClassVar = (VoxelMean,)

    def convert(self, plan: Plan, layer: VoxelMean, *args: Any, **kwargs: Any) -> Features:
        """The volume of voxels."""
        given = dict(zip(("x", "level", "duration"), args, strict=False)) | kwargs
        x, level, recording = given["x"], given["level"], given["duration"]
        level = getattr(level, "sites", None)
        if not isinstance(level, Level) or not isinstance(recording, Level) or not isinstance(x, Features) or x.domain is not level.domain:
            raise Unsupported("its level is not that of its features")
        if layer.size != level.size:
            raise EventZooError(
                f"{plan.layer} is made for a grid of {layer.size}, the level has {level.size}; make both for the same sensor"
            )
        if plan.window.microseconds is not None and plan.window.microseconds < layer.horizon:
            raise EventZooError(
                f"a window of {plan.window.microseconds:,} µs is shorter than the network's horizon of {layer.horizon:,} µs"
            )
        size = (*layer.size, layer.frames)
        domain = plan.domain(math.prod(size))
        plan.step(map_taps.begin_map, [domain.sites], domain)
        output = plan.features(domain, x.channels, size)
        bins, now = plan.state(voxels.make_bins(layer.frames, layer.horizon, layer.size, x.channels)), recording.track.array("at")
        arguments: list[Argument] = [bins, now, level.track, x.rows, domain.sites, output.rows]
        counts = [domain.sites.array("counts"), output.rows.array("counts")]
        news = [bins.array("at"), bins.array("grid"), now, level.track.array("at"), *counts]
        plan.step(voxels.pool_stream, arguments, level.domain, Cost(site=x.channels), when=(voxels.has_news, news))
        return output


def _given(memory: Memory, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Features, Joined]:
    """The features and the edges that a convolution is called with."""
    given = dict(zip(("x", "edges"), args, strict=False)) | kwargs
    x, edges = given["x"], given["edges"]
    x = x.features if isinstance(x, Polarities) else x
    if not isinstance(edges, Joined) or not isinstance(x, Features) or x.domain is not edges.inputs.domain:
        raise Unsupported("its edges do not begin at the events whose features it is given")
    if edges.memory != memory:
        raise EventZooError(f"it takes the edges of memory={memory!r}: set `memory` of ECN and EventStream to the same")
    return x, edges


def _kernel(plan: Plan, layer: EventConv | TraceConv) -> State:
    """A convolution's weights."""
    weight = layer.weight.detach().float().flatten(1, 2).cpu().numpy()
    rates, bias = (tensor.detach().float().cpu().numpy() for tensor in (layer.rates(), layer.bias))
    return plan.weights(convolution.StreamKernel(weight, np.atleast_2d(rates), bias, np.zeros(weight.shape[1], np.float32)))


def _levels(plan: Plan, layer: "EventStream") -> list[Level]:
    """All levels, the recording first."""
    window, size = plan.window.microseconds, plan.sensor_size
    if window is not None and window <= layer.max_decays * layer.decay_time:
        raise EventZooError(
            f"a window of {window:,} µs is not longer than the {layer.max_decays * layer.decay_time:,} µs that an event looks back"
        )
    track = plan.state(stream_levels.make_track(size, window or stream_levels.LONGEST, 0, plan.capacity))
    levels, reserve = [_grown(plan.domain(plan.capacity, grows=True), track, size)], 1
    for number in range(1, layer.levels + 1):
        size, reserve = halved(size), _most_caused(reserve, layer.threshold - layer.reset_potential)
        kept = layer.max_decays * layer.decay_times(number)[2] + 1
        capacity = 1 << math.ceil(math.log2(max(_FEWEST_SLOTS, 4 * reserve, 9 * layer.capacity)))
        track = plan.state(stream_levels.make_track(size, kept, reserve, capacity))
        levels.append(_grown(plan.domain(capacity, grows=True, reserve=reserve, ever=partial(_ever, track)), track, size))
    return levels


def _grown(domain: Domain, track: State, size: tuple[int, int]) -> Level:
    """A level whose track grows with its sites."""
    track.domain, track.per_site = domain, stream_levels.PER_SITE
    return Level(domain, track, size)


def _most_caused(events: int, charge: float) -> int:
    """The most events of the next level that so many of one microsecond can cause, all of them by events of one pixel of the recording.

    They charge at most four neurons, by one each altogether. Each neuron may be about to fire, and has to be given `charge` to fire again.
    """
    return min(4 * events, 5 + math.ceil(events / charge))  # five: potentials are rounded


def _ever(track: State) -> int:
    return int(track.value.at[stream_levels.LAST])


def _join(plan: Plan, layer: "EventStream", recording: Level, inputs: Level, stencil: Stencil, decay: int, level: Level) -> Joined:
    """The edges from a level to a level."""
    order = stream_levels.ALL
    if layer.ties == "in order":
        order = stream_levels.TO_ITSELF if inputs is level else stream_levels.TO_TRIGGER
    width, height = inputs.size
    sight = plan.weights(
        stream_levels.Sight(
            stencil.dx,
            stencil.dy,
            np.array([width, height, level.size[1], stencil.stride], np.int64),
            np.array([layer.max_decays * decay, layer.capacity], np.int64),
            np.array([order], np.int64),
            np.array([decay], np.float64),
        )
    )
    group, edges = Group([sight, inputs.track, level.track]), plan.edges(level.domain)
    neighbours = Neighbourhood(level.domain, group, edges, stream_levels.incoming, stream_levels.add_readers)
    return Joined(recording, inputs, level, sight, neighbours, layer.memory)


def _events(track: Any, polarity: NDArray[np.float32]) -> Columns:
    """The recording's events in the window."""
    x, y, t, slots = stream_levels.kept_events(track)
    return x, y, t, polarity[slots, 1] > 0
