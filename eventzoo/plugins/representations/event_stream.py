"""Events as streams that grow thinner from level to level."""

from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eventzoo.data.representation import Representation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.event_streams import (
    FOREVER,
    PLUS,
    POINT,
    STRIDED,
    Stencil,
    Stream,
    halved,
    join_edges,
    join_previous,
    neighborhoods,
    spatial_lif,
)
from eventzoo.nn.backbone import Kind
from eventzoo.nn.event_stream import Memory, StreamBatch, StreamEdges, StreamLevel, TraceEdges

Ties = Literal["together", "in order"]
"""Whether an event sees those of its own microsecond that come later in the stream, or only what came before it."""

_MOST_LEVELS = 16  # the widest sensor is one pixel by then
_LEVEL, _KINDS = ("t", "x", "y"), ("strided", "inplace", "pointwise")


class EdgesOfOne(NamedTuple):
    """Edges of one recording, as in `StreamEdges`, without what follows from the times.

    Attributes:
        start: int32, or int64 where they are too many, `[N_out + 1]`.
        source: int32 `[E]`.
        cell: uint8 `[E]`.
        previous: As in `TraceEdges`, int32 `[N_in]`; for networks without traces `[0]`.
    """

    start: Tensor
    source: Tensor
    cell: Tensor
    previous: Tensor


class LevelOfOne(NamedTuple):
    """A level of one recording, as in `StreamLevel`.

    Attributes:
        t: Microseconds since the recording's first event, int32, or int64 where it is too long, `[N]`.
        x: Columns, int16 `[N]`.
        y: Rows, int16 `[N]`.
        strided: Edges from the level below.
        inplace: Edges from the level itself.
        pointwise: Edges from the level itself, of an event's own pixel.
    """

    t: Tensor
    x: Tensor
    y: Tensor
    strided: EdgesOfOne
    inplace: EdgesOfOne
    pointwise: EdgesOfOne


class StreamsOfOne(NamedTuple):
    """All levels of one recording.

    Attributes:
        polarity: Whether the events of level 0 are brighter, bool `[N]`.
        t: Their times since the first, microseconds, int32, or int64 where the recording is too long, `[N]`.
        levels: Levels 1, 2 and so on.
    """

    polarity: Tensor
    t: Tensor
    levels: tuple[LevelOfOne, ...]


class EventStream(Representation[StreamsOfOne]):
    """Streams that leaky integrate-and-fire neurons thin out from level to level, and which events in them look at which.

    Level 0 is the recording. The neurons of level i are on a grid of half the sides of that below, rounded up; they have the decay time
    d = `decay_time` · 2^(i - 1), and each takes the 3×3 pixels around its own (`eventzoo.kernels.event_streams.spatial_lif`). An event that
    they put out looks at three neighbourhoods, of events no older than `max_decays` decay times: these 3×3 pixels of the level below
    (d), a plus of 5×5 pixels of its own level (2d), and its own pixel (8d). Of a pixel's events the latest `capacity` count. So an event
    never changes what those of earlier microseconds look at.

    Times count from the recording's first event, whenever that was; the same events at other times have the same streams.

    Source: Jack, Maire, Denman and Eriksson, "Sparse Convolutions on Continuous Domains for Point Cloud and Event Stream Networks", ACCV
    2020, and the code published with it, with these knowing differences. The code's `spatial_buffer` of 32 held 31 events, which is the
    `capacity` here. It moved the events to the middle of the sensor by the largest coordinates of the whole recording, which no stream
    can know; here they stay where they are. It read beyond its arrays where all inputs of an output had expired, and failed on
    recordings without events; here the former have no edges, and the latter have streams without events. Pooling of pixels and a limit
    of events, which it had before the streams, are transforms of the recording.

    Args:
        levels: Levels above the recording.
        decay_time: Of level 1, whole microseconds. Each further level has twice that.
        threshold: Potential above which a neuron puts out an event.
        reset_potential: Potential of a neuron that has done so.
        capacity: Latest events of a pixel that another looks at.
        max_decays: Decay times after which they count no more.
        ties: Whether an event looks at all events of its own microsecond (`together`, as in the code), or only at those up to the input
            that made it, and of its own level up to itself (`in order`).
        memory: What an event knows of its past: `window`, the latest events of each pixel, as said above; or `trace`, only the last one of
            each, however long ago, with which goes one fading trace of all before it. The backbone has the same setting.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        one recording: `StreamsOfOne`; a batch: `eventzoo.nn.event_stream.StreamBatch`.
    """

    kind: ClassVar[Kind] = "stream"
    channels = 2

    def __init__(
        self,
        levels: int = 5,
        decay_time: int = 2000,
        threshold: float = 1.5,
        reset_potential: float = -3.0,
        capacity: int = 31,
        max_decays: int = 4,
        ties: Ties = "together",
        memory: Memory = "window",
    ) -> None:
        if not 1 <= levels <= _MOST_LEVELS:
            raise EventZooError(f"EventStream: levels from 1 to {_MOST_LEVELS} are possible, not {levels}")
        if min(decay_time, capacity, max_decays) < 1:
            raise EventZooError(
                "EventStream: decay_time (in microseconds), capacity and max_decays are whole numbers of at least 1, "
                f"not {decay_time}, {capacity} and {max_decays}"
            )
        if not reset_potential < threshold > 0:
            raise EventZooError(
                "EventStream: the threshold is above 0 and above reset_potential, or neurons would fire without end; "
                f"not {threshold} with a reset_potential of {reset_potential}"
            )
        if ties not in get_args(Ties) or memory not in get_args(Memory):
            raise EventZooError(
                f"EventStream: ties is one of {get_args(Ties)}, and memory one of {get_args(Memory)}, not {ties!r} and {memory!r}"
            )
        self.levels, self.decay_time, self.threshold, self.reset_potential = levels, decay_time, threshold, reset_potential
        self.capacity, self.max_decays, self.ties, self.memory = capacity, max_decays, ties, memory

    def decay_times(self, level: int) -> tuple[int, int, int]:
        """Decay times of a level's strided, in-place and pointwise edges, microseconds; its neurons have the first.

        Args:
            level: From 1.
        """
        decay = self.decay_time << (level - 1)
        return decay, 2 * decay, 8 * decay

    def __call__(self, events: Events) -> StreamsOfOne:
        """The streams of one recording, and their edges."""
        below, size = Stream(events.t - events.t[:1], events.x.copy(), events.y.copy()), events.sensor_size
        polarity, t = torch.from_numpy(events.p.copy()), _narrow(below.t)
        levels = []
        for level in range(1, self.levels + 1):
            decay, longer, longest = self.decay_times(level)
            stream, trigger = spatial_lif(below, size, decay, self.threshold, self.reset_potential)
            if self.ties == "together":
                seen_below, seen = (np.searchsorted(times, stream.t, side="right") for times in (below.t, stream.t))
            else:
                seen_below, seen = trigger + 1, np.arange(1, len(trigger) + 1)
            strided = self._edges(below, size, stream, seen_below, STRIDED, decay)
            below, size = stream, halved(size)
            inplace = self._edges(below, size, below, seen, PLUS, longer)
            pointwise = self._edges(below, size, below, seen, POINT, longest)
            columns, rows = torch.from_numpy(below.x), torch.from_numpy(below.y)
            levels.append(LevelOfOne(_narrow(below.t), columns, rows, strided, inplace, pointwise))
        return StreamsOfOne(polarity, t, tuple(levels))

    def to_tensors(self, value: StreamsOfOne) -> dict[str, Tensor]:
        """The streams' tensors by name."""
        tensors = {"polarity": value.polarity, "t": value.t}
        for number, level in enumerate(value.levels, 1):
            tensors |= {f"{number}.{name}": getattr(level, name) for name in _LEVEL}
            tensors |= {f"{number}.{kind}.{name}": getattr(getattr(level, kind), name) for kind in _KINDS for name in EdgesOfOne._fields}
        return tensors

    def from_tensors(self, tensors: dict[str, Tensor]) -> StreamsOfOne:
        """The streams of these tensors."""

        def edges(name: str) -> EdgesOfOne:
            return EdgesOfOne(*(tensors[f"{name}.{field}"] for field in EdgesOfOne._fields))

        levels = []
        for number in range(1, self.levels + 1):
            t, x, y = (tensors[f"{number}.{name}"] for name in _LEVEL)
            levels.append(LevelOfOne(t, x, y, *(edges(f"{number}.{kind}") for kind in _KINDS)))
        return StreamsOfOne(tensors["polarity"], tensors["t"], tuple(levels))

    def collate(self, samples: list[StreamsOfOne]) -> StreamBatch:
        """All streams as one at each level, the samples one after the other."""
        t_in, begins_in = _joined([sample.t for sample in samples])
        duration = torch.tensor([int(sample.t[-1]) if len(sample.t) else 0 for sample in samples])
        levels = []
        for number, parts in enumerate(zip(*(sample.levels for sample in samples), strict=True), 1):
            strided, longer, longest = self.decay_times(number)
            t, begins = _joined([part.t for part in parts])
            x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
            sample = torch.repeat_interleave(torch.from_numpy(np.diff(begins)))
            edges_below = self._joined_edges([part.strided for part in parts], t, begins, t_in, begins_in, strided)
            inplace = self._joined_edges([part.inplace for part in parts], t, begins, t, begins, longer)
            pointwise = self._joined_edges([part.pointwise for part in parts], t, begins, t, begins, longest)
            levels.append(StreamLevel(t, x, y, sample, edges_below, inplace, pointwise))
            t_in, begins_in = t, begins
        return StreamBatch(torch.cat([sample.polarity for sample in samples]), tuple(levels), duration)

    def _edges(
        self, inputs: Stream, size: tuple[int, int], outputs: Stream, seen: NDArray[np.int64], stencil: Stencil, decay: int
    ) -> EdgesOfOne:
        """Edges of one neighbourhood."""
        windowed = self.memory == "window"
        window, capacity = (self.max_decays * decay, self.capacity) if windowed else (FOREVER, 1)
        start, source, cell, previous = neighborhoods(inputs, size, outputs, seen, stencil, window, capacity)
        kept = previous[:0] if windowed else previous
        return EdgesOfOne(_narrow(start), torch.from_numpy(source), torch.from_numpy(cell), torch.from_numpy(kept.copy()))

    def _joined_edges(
        self,
        parts: list[EdgesOfOne],
        t_out: Tensor,
        begins_out: NDArray[np.int64],
        t_in: Tensor,
        begins_in: NDArray[np.int64],
        decay: int,
    ) -> StreamEdges | TraceEdges:
        """Edges of all samples in one neighbourhood."""
        starts, source, cell, previous = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        times = t_out.numpy(), begins_out, t_in.numpy(), begins_in
        start, age = map(torch.from_numpy, join_edges(starts.long().numpy(), source.numpy(), *times, float(decay)))
        if self.memory == "window":
            return StreamEdges(start, source, cell, age)
        gap = torch.from_numpy(join_previous(previous.numpy(), t_in.numpy(), begins_in, float(decay)))
        return TraceEdges(start, source, cell, age, previous, gap)


def _joined(parts: list[Tensor]) -> tuple[Tensor, NDArray[np.int64]]:
    """Times of all samples as int64; and where each sample begins, and the last one ends."""
    return torch.cat(parts).long(), np.cumsum([0, *(part.numel() for part in parts)])


def _narrow(values: NDArray[np.int64]) -> Tensor:
    """Non-decreasing whole numbers of at least 0, copied, in half the memory where they allow it."""
    fits = not len(values) or values[-1] < 1 << 31
    return torch.from_numpy(values.astype(np.int32 if fits else np.int64))
