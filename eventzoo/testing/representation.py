"""Whether a representation is what backbones and the store take it for."""

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor

from eventzoo.data.representation import Representation
from eventzoo.events import Events
from eventzoo.nn.backbone import Kind
from eventzoo.testing.promises import no_error, pickled, rebuilt, require, same, tensors


def check_representation(representation: Representation[Any], events: Events) -> None:
    """Check that a representation keeps the promises of `Representation`.

    - It is a pure function: the same of the same events, in a representation made anew from its specification and in another process, and
      the events stay as they are.
    - A recording of no event and of one event have a representation, too. All its numbers are finite.
    - `from_tensors` gives back what `to_tensors` was given, so that a prepared store can keep it.
    - `collate` makes a batch of its `kind`, with its `channels` and a place for each recording, an empty one too. The batch is a copy,
      and is the same whether the recordings come from `__call__` or from a store; `batch.to(device)` is the batch.

    Args:
        representation: The representation.
        events: A recording, of two events or more.

    Raises:
        AssertionError: A promise is broken. It says which.
    """
    name = type(representation).__name__
    require(isinstance(representation, Representation), f"{name} is no Representation")
    kind, channels = getattr(representation, "kind", None), getattr(representation, "channels", None)
    require(kind in get_args(Kind), f"{name}.kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
    require(type(channels) is int and channels > 0, f"{name}.channels must be a number of features, not {channels!r}")
    recordings = {"the recording": events, "its first half": events[: len(events) // 2], "one event": events[:1], "no event": events[:0]}
    values = {what: _value_of(representation, name, what, recording) for what, recording in recordings.items()}
    for what, other in (
        ("made anew from its specification", rebuilt(representation, Representation)),
        ("unpickled", pickled(representation)),
    ):
        require(same(other(events), values["the recording"]), f"{name}, {what}, makes something else of the same events")
    _check_batches(representation, name, events, list(values.values()))


def _value_of(representation: Representation[Any], name: str, what: str, events: Events) -> Any:
    """The representation of one recording, checked by itself."""
    before = Events(events.x.copy(), events.y.copy(), events.t.copy(), events.p.copy(), events.sensor_size)
    with no_error(f"{name} cannot represent {what}"):
        value, again = representation(events), representation(events)
    require(events == before, f"{name} changes the events that it is given")
    require(same(value, again), f"{name} makes something else of {what} when it is asked again: it must be a pure function")
    with no_error(f"{name}: what it makes of {what} does not become tensors and back"):
        stored = {key: tensor.clone() for key, tensor in representation.to_tensors(value).items()}
        require(
            same(representation.from_tensors(stored), value), f"{name}: from_tensors gives something else than to_tensors had of {what}"
        )
    require(all(bool(tensor.isfinite().all()) for tensor in tensors(value)), f"{name} makes numbers of {what} that are not finite")
    return value


def _check_batches(representation: Representation[Any], name: str, events: Events, values: list[Any]) -> None:
    """Batches of several recordings, the last of them empty, and of single ones."""
    for samples in (values, values[:1], values[-1:]):
        with no_error(
            f"{name} cannot collate {len(samples)} recordings, the last of {'no events' if samples[-1] is values[-1] else 'events'}"
        ):
            batch = representation.collate(samples)
            moved = batch.to("cpu")
        _CHECKS[representation.kind](batch, len(samples), representation.channels, events.sensor_size, name)
        require(same(moved, batch), f"{name}: its batch is not the same on its device: `to` must give all of it")
        memory = {tensor.untyped_storage().data_ptr() for tensor in tensors(samples) if tensor.numel()}
        shared = any(tensor.numel() and tensor.untyped_storage().data_ptr() in memory for tensor in tensors(batch))
        require(not shared, f"{name}.collate must copy, as samples may be views of a store, and its batch shares memory with them")
        stored = [representation.from_tensors(representation.to_tensors(value)) for value in samples]
        require(same(representation.collate(stored), batch), f"{name} collates something else of samples from a store")


def _features(found: Any, shape: tuple[int | None, ...], what: str, name: str) -> None:
    """Features must be a float32 tensor of a shape, of which None may be anything."""
    require(isinstance(found, Tensor), f"{name}: {what} of its batch is a {type(found).__name__}, not a tensor")
    given = tuple(found.shape)
    fits = len(given) == len(shape) and all(wanted in (None, side) for wanted, side in zip(shape, given, strict=True))
    words = ", ".join("any" if side is None else str(side) for side in shape)
    require(
        fits and found.dtype == torch.float32, f"{name}: {what} of its batch must be float32 [{words}], not {found.dtype} {list(given)}"
    )


def _image(batch: Any, count: int, channels: int, sensor_size: tuple[int, int], name: str) -> None:
    width, height = sensor_size
    _features(batch, (count, channels, height, width), "an image", name)


def _frames(batch: Any, count: int, channels: int, sensor_size: tuple[int, int], name: str) -> None:
    width, height = sensor_size
    _features(batch.frames, (None, count, channels, height, width), "frames", name)
    lengths = batch.lengths.tolist()
    require(
        len(lengths) == count and max(lengths) == len(batch.frames), f"{name}: lengths of its batch are {lengths} of {count} recordings"
    )


def _graph(batch: Any, count: int, channels: int, sensor_size: tuple[int, int], name: str) -> None:  # noqa: ARG001  # a node may be anywhere
    _features(batch.x, (None, channels), "x", name)
    nodes = len(batch.x)
    require(batch.num_graphs == count, f"{name}: its batch has {batch.num_graphs} graphs for {count} recordings")
    edges = batch.edge_index
    joined = edges.dtype == torch.int64 and edges.ndim == 2 and len(edges) == 2 and bool(((edges >= 0) & (edges < nodes)).all())
    require(joined, f"{name}: edge_index of its batch must be int64 [2, E], of its {nodes} nodes")
    apart = len(batch.batch) == nodes and bool((batch.batch[edges[0]] == batch.batch[edges[1]]).all())
    require(apart, f"{name}: batch of its batch must have the graph of each node, and edges join nodes of one graph")


def _tokens(batch: Any, count: int, channels: int, sensor_size: tuple[int, int], name: str) -> None:  # noqa: ARG001  # columns, not a matrix
    start, events = batch.start.tolist(), len(batch.t)
    ordered = len(start) == count + 1 and start[0] == 0 and start[-1] == events and start == sorted(start)
    require(
        ordered, f"{name}: start of its batch must say where each of {count} recordings begins, and that {events} end them, not {start}"
    )


def _stream(batch: Any, count: int, channels: int, sensor_size: tuple[int, int], name: str) -> None:  # noqa: ARG001  # its levels are smaller
    require(len(batch.duration) == count, f"{name}: duration of its batch has {len(batch.duration)} entries for {count} recordings")


_CHECKS: dict[Kind, Callable[[Any, int, int, tuple[int, int], str], None]] = {
    "frames": _frames,
    "graph": _graph,
    "image": _image,
    "stream": _stream,
    "tokens": _tokens,
}
