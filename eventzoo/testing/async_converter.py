"""Whether layers run event by event, with the answers that they give synchronously."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from eventzoo import representations
from eventzoo.asynchronous import AsyncModel, Window
from eventzoo.asynchronous.window import with_own_window
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.nn.pool import GridMaxPool, VoxelMaxPool
from eventzoo.nn.tokens.batch import HalveTokens, TokenMean

PUSHED = (1, 2, 7, 1000)
"""Events of a push, in the mix that `check_async_converter` draws."""
COMPARED = 100
"""About as many pushes are followed by a comparison, so that a long recording does not take a synchronous forward for each."""

Output = NDArray[np.float32]


def check_async_converter(
    model: EventModel, events: Events, windows: Sequence[Window] | None = None, tolerance: float = 1e-4, seed: int = 0
) -> None:
    """Check that a model gives the same answers event by event as it gives synchronously, with every layer converted.

    For every window, the recording is pushed 1, 2, 7 and 1,000 events at a time, in a mix, and compared with the synchronous
    model on the events in the window: before the first event, after every push (every k-th, where there are more than
    `COMPARED`), and where the window is one of time, after all has left it. Then, the state must not depend on how the events were
    pushed, `reset` must forget all, and a saved state must go on as the one it was saved from, and be refused by another
    window or network; all of this bit by bit.

    A window with `history` has another counterpart, for which the representation must be an `EventStream`; `EventTokens`, pooled by one
    `TokenMean`; or a causal `EventGraph` whose events are pooled by `VoxelMaxPool` or `GridMaxPool`: see `Window`.

    Args:
        model: A small model with the layer in question.
        events: A recording of its sensor; a few hundred events, near enough to be neighbours.
        windows: The windows; by default all events, and a fifth of the recording by count and by time, so that they turn over
            several times, both also with `history` where the graph is causal, and of tokens only so. Of a stream and of frames, all events.
        tolerance: Largest difference between the heads' outputs, as a share of the largest of the synchronous model. In
            classification, where the margin of the most probable class is greater, that class must be the same, too.
        seed: Of the mix of pushes.

    Raises:
        AssertionError: The answers or states differ. It says in which window, after how many events, and by how much.
        EventZooError: Not all of the model runs event by event.
    """
    windows = _default_windows(model, events) if windows is None else windows
    for window in windows:
        _check_answers(model, events, window, tolerance, seed)
        _check_pushes(model, events, window)
        _check_saved_state(model, events, window)
    _check_refusals(model, events, windows[0])


def synchronous_output(model: EventModel, events: Events, window: Window, now: int | None = None) -> Output:
    """What the head of a model that was made asynchronous must return after these events, by its synchronous form alone.

    Args:
        model: The model; its transforms must be such as can be done on a stream, but for a window at their end.
        events: All events since the beginning of the stream.
        window: The events that count.
        now: The time that `advance` was told last, in microseconds; None for that of the last event.

    Returns:
        The head's output, float32, as `EventModel.output` gives it; `model.result` reads the answer from it.
    """
    transforms, window = with_own_window(model.transforms, window)
    for transform in transforms:
        events = transform.on_stream(events, 0)
    if window.history and model.representation.kind == "stream":
        return model.output(events)  # what is pooled leaves by itself, before it would leave the window
    inside = _inside(events, window, now)
    if window.history and model.representation.kind == "tokens":
        return _mean_of_tokens(model, events, inside)
    return _output_with_history(model, events, window, inside) if window.history else model.output(events[inside])


def _default_windows(model: EventModel, events: Events) -> list[Window]:
    if model.representation.kind in ("frames", "stream"):
        return [Window()]
    if model.representation.kind == "tokens":
        return [Window(), Window(events=len(events) // 5 + 1, history=True), Window(microseconds=events.duration // 5 + 1, history=True)]
    count, duration = len(events) // 5 + 1, events.duration // 5 + 1
    windows = [Window(), Window(events=count), Window(microseconds=duration)]
    if isinstance(model.representation, representations.EventGraph) and model.representation.causal:
        windows += [Window(events=count, history=True), Window(microseconds=duration, history=True)]
    return windows


def _check_answers(model: EventModel, events: Events, window: Window, tolerance: float, seed: int) -> None:
    """Compare with the synchronous model while a recording is pushed."""
    stream = model.asynchronous(window, strict=True)

    def compare(count: int, now: int | None, when: str) -> None:
        expected, where = synchronous_output(model, events[:count], window, now), f"{window}, {when}"
        _assert_close(stream.head_output(), expected, tolerance, where, names_a_class=model.head.task == "classification")

    compare(0, None, "before the first event")
    ends = list(_mixed_pushes(len(events), seed))
    each = -(-len(ends) // COMPARED)
    count = 0
    for number, end in enumerate(ends):
        stream.push(events[count:end])
        if number % each == 0 or end == len(events):
            compare(end, None, f"after event {end:,} of {len(events):,}, in a push of {end - count:,}")
        count = end
    found = stream.head_output()
    stream.push(events[:0])
    _assert_same(stream.head_output(), found, f"{window}, after a push of no events")
    if len(events) and window.microseconds is not None:
        now = int(events.t[-1]) + window.microseconds
        stream.advance(now - 1)
        compare(count, now - 1, "after time went by, one microsecond before the last event leaves")
        stream.advance(now)
        compare(count, now, "after all events left")


def _check_pushes(model: EventModel, events: Events, window: Window) -> None:
    """The state must be the same however the events were pushed, and after `reset`."""
    stream = model.asynchronous(window, strict=True)
    nothing, expected = stream.head_output(), _pushed(stream, events)
    stream.reset()
    _assert_same(stream.head_output(), nothing, f"{window}, after reset and in a new model")
    outputs = stream.push_each(events)
    _assert_same(stream.head_output(), expected, f"{window}, {len(events):,} events pushed by push_each and at once")
    stream.reset()
    singly = np.stack([_pushed(stream, events[i : i + 1]) for i in range(len(events))])
    _assert_same(singly[-1], expected, f"{window}, {len(events):,} events pushed singly and at once")
    if not model.transforms:  # push_each has no output for events that a transform drops
        different = np.flatnonzero((outputs != singly).any(axis=tuple(range(1, singly.ndim))))
        at = int(different[0]) if len(different) else 0
        _assert_same(outputs[at], singly[at], f"{window}, what push_each and push say after event {at + 1:,}")


def _check_saved_state(model: EventModel, events: Events, window: Window) -> None:
    """A saved state must go on as what it was saved from."""
    middle = len(events) // 2
    stream, restored = (model.asynchronous(window, strict=True) for _ in range(2))
    stream.push(events[:middle])
    restored.push(events[:1])  # something to overwrite
    restored.load_state_dict(stream.state_dict())
    _assert_same(restored.head_output(), stream.head_output(), f"{window}, a state restored after event {middle:,}")
    for first in range(middle, len(events), PUSHED[2]):
        part = events[first : first + PUSHED[2]]
        _assert_same(_pushed(restored, part), _pushed(stream, part), f"{window}, restored after event {middle:,}, from {first:,}")


def _pushed(stream: AsyncModel, events: Events) -> Output:
    """What the head returns after a push."""
    stream.push(events)
    return stream.head_output()


def _check_refusals(model: EventModel, events: Events, window: Window) -> None:
    """A saved state must be refused by another window and another network."""
    stream = model.asynchronous(window)
    stream.push(events)
    saved = stream.state_dict()
    if window.microseconds is None:
        other_window = Window(events=1 + (window.events or 0), history=window.history)
    else:
        other_window = Window(microseconds=1 + window.microseconds, history=window.history)
    _assert_refused(model.asynchronous(other_window), saved, f"{window}: its state is taken by a model for {other_window}")
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    _assert_refused(other.asynchronous(window), saved, f"{window}: its state is taken by a model of other weights")


def _mixed_pushes(count: int, seed: int) -> Iterator[int]:
    """Where each push ends."""
    rng = np.random.default_rng(seed)
    end = 0
    while end < count:
        end = min(end + int(rng.choice(PUSHED, p=(0.4, 0.3, 0.27, 0.03))), count)
        yield end


def _inside(events: Events, window: Window, now: int | None) -> NDArray[np.bool_]:
    """Which events of a stream are in the window after the last of them, at a time."""
    inside = np.ones(len(events), np.bool_)
    if window.events is not None:
        inside[: -window.events] = False
    if window.microseconds is not None and len(events):
        inside &= (int(events.t[-1]) if now is None else now) - events.t < window.microseconds
    return inside


@torch.inference_mode()
def _output_with_history(model: EventModel, events: Events, window: Window, inside: NDArray[np.bool_]) -> Output:
    """The whole stream's features where edges join events that were in the window together, pooled over the window's events."""
    graph = model.representation.collate([model.representation(events)])
    source, target = graph.edge_index.numpy()
    together = np.ones(len(source), np.bool_)
    if window.events is not None:
        together &= target - source < window.events
    if window.microseconds is not None:
        together &= events.t[target] - events.t[source] < window.microseconds
    graph.edge_index, graph.edge_attr = graph.edge_index[:, together], graph.edge_attr[together]
    pools = [module for module in model.backbone.modules() if isinstance(module, VoxelMaxPool | GridMaxPool)]
    narrow = _narrowing(graph.pos, torch.from_numpy(inside))
    hooks = [pool.register_forward_pre_hook(narrow, with_kwargs=True) for pool in pools]
    try:
        output: Output = model.head(model.backbone(graph))[0].numpy()
    finally:
        for hook in hooks:
            hook.remove()
    return output


@torch.inference_mode()
def _mean_of_tokens(model: EventModel, events: Events, inside: NDArray[np.bool_]) -> Output:
    """The whole stream's tokens, of which those are averaged whose last event is in the window."""
    share = 2 ** sum(isinstance(module, HalveTokens) for module in model.backbone.modules())  # events of a token
    (mean,) = (module for module in model.backbone.modules() if isinstance(module, TokenMean))

    def narrow(_: nn.Module, args: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = args[0][torch.from_numpy(inside[share - 1 :: share])]
        return tokens, torch.tensor([0, len(tokens)])

    hook = mean.register_forward_pre_hook(narrow)
    try:
        output: Output = model.head(model.backbone(model.representation.collate([model.representation(events)])))[0].numpy()
    finally:
        hook.remove()
    return output


def _narrowing(positions: torch.Tensor, inside: torch.Tensor) -> Callable[..., tuple[tuple[()], dict[str, Any]]]:
    """A hook before a pool that leaves it only the events inside, and the edges between them; other pools' nodes are let through."""
    number = inside.cumsum(0) - 1

    def narrow(pool: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        given = inspect.signature(pool.forward).bind(*args, **kwargs).arguments
        if given["pos"].data_ptr() != positions.data_ptr():  # its nodes are not the events
            return (), given
        if "edge_index" in given:
            between = inside[given["edge_index"]].all(0)
            given["edge_index"] = number[given["edge_index"][:, between]]
        return (), given | {name: given[name][inside] for name in ("x", "pos", "batch")}

    return narrow


def _assert_close(found: Output, expected: Output, tolerance: float, where: str, names_a_class: bool) -> None:
    """The outputs are equal to a share of the largest, and so is the most probable class, if they name one, where that decides it."""
    difference, bound = float(np.abs(found - expected).max()), tolerance * float(np.abs(expected).max())
    ranked = np.sort(expected, axis=None)
    decided = names_a_class and expected.size > 1 and ranked[-1] - ranked[-2] > bound
    if not difference <= bound or (decided and found.argmax() != expected.argmax()):  # a NaN is not at most anything
        raise AssertionError(
            f"{where}: the asynchronous output {found} differs from {expected} by {difference:.3g}, where {bound:.3g} is allowed"
        )


def _assert_same(found: Output, expected: Output, where: str) -> None:
    """The outputs are equal bit by bit."""
    if not np.array_equal(found, expected):
        raise AssertionError(
            f"{where}: {found} and {expected} differ by {float(np.abs(found - expected).max()):.3g}, and should not at all"
        )


def _assert_refused(stream: AsyncModel, saved: Mapping[str, NDArray[Any]], what: str) -> None:
    try:
        stream.load_state_dict(saved)
    except EventZooError:
        return
    raise AssertionError(what)
