"""An engine for networks that take a stream frame by frame."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eventzoo.asynchronous.converter import Arrays, Unsupported
from eventzoo.asynchronous.engine import answers, checksum, sealed, unsealed
from eventzoo.asynchronous.window import Window
from eventzoo.events import Events
from eventzoo.nn.stepped import State, SteppedBackbone
from eventzoo.specs import Part

if TYPE_CHECKING:
    from eventzoo.model import EventModel

Flops = dict[str, int]


class FrameSums(Protocol):
    """What a representation is that an engine can make frames by, while their events come.

    Attributes:
        step: Microseconds of a frame.
        channels: Channels of a frame.
    """

    step: int
    channels: int

    def add(self, events: Events, start: int, sums: NDArray[np.int64]) -> None:
        """Add events to the sums of frames `[frames, channels, height, width]`, of which the first begins at `start` in microseconds, and
        the last has none of the events.
        """

    def frames(self, sums: NDArray[np.int64]) -> Tensor:
        """The frames that sums are of."""


class SteppingEngine:
    """Runs a model whose backbone takes a frame at a time on all events of a stream.

    It keeps the network's state after the last complete frame, and the sums of the frame at hand. An event of a later frame completes that
    one, and those without events in between. The answer is that of the state after the frame at hand as it is so far: the network takes it
    when it is asked, and not again before the frame has changed, and the state before it is kept. So an answer is that of the synchronous
    network on the events so far, whose last frame is the one at hand; and the very same operations compute it.

    Args:
        model: The model, in evaluation mode.
        representation: Its representation.
        sensor_size: `(width, height)` in pixels of the events.
        window: The events that count.

    Raises:
        Unsupported: The backbone takes no single frames, or the window is not that of all events.
    """

    def __init__(self, model: "EventModel", representation: FrameSums, sensor_size: tuple[int, int], window: Window) -> None:
        if not isinstance(model.backbone, SteppedBackbone):
            raise Unsupported(f"{type(model.backbone).__name__} cannot be run frame by frame, as a SteppedBackbone can")
        if window != Window():
            raise Unsupported(
                f"frames are counted from the first event on, so that only all events can be run frame by frame, not {window}"
            )
        self._representation, self._backbone, self._head = representation, model.backbone, model.head
        self._size = (2, representation.channels, sensor_size[1], sensor_size[0])
        self._of_step, self._of_answer = self._flops()
        weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        self._network = checksum({f"{_settings(model.representation)} {_settings(model.backbone)}": np.empty(0), **weights})
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        self._columns: Arrays = {
            "x": np.empty(0, np.int16),
            "y": np.empty(0, np.int16),
            "t": np.empty(0, np.int64),
            "p": np.empty(0, np.bool_),
        }
        self._count = 0
        self._sums = np.zeros(self._size, np.int64)  # of the frame at hand, and what is known of the next one
        self._frame, self._steps, self._answers = 0, 0, 0
        with torch.inference_mode():
            self._state: State = self._backbone.initial_state(self._representation.frames(self._sums[:1]))
        self._ahead: State | None = None
        self._output: NDArray[np.float32] | None = None

    def push(self, events: Events) -> None:
        """Take events."""
        if len(events) == 0:
            return
        self._keep(events)
        self._output = None
        start, step = int(self._columns["t"][0]), self._representation.step
        frame = (events.t - start) // step
        ends = [*(np.flatnonzero(np.diff(frame)) + 1).tolist(), len(events)]
        for first, end in zip([0, *ends[:-1]], ends, strict=True):
            while self._frame < frame[first]:
                self._complete()
            self._representation.add(events[first:end], start + self._frame * step, self._sums)
            self._ahead = None

    def push_each(self, events: Events) -> NDArray[np.float32]:
        """Take events one at a time; what `output` gives after each."""
        return answers(self, events)

    def advance(self, now: int) -> None:
        """Nothing: a recording ends with its last event, and frames without events come into being with the event after them."""

    @torch.inference_mode()
    def output(self) -> NDArray[np.float32]:
        """What the head returns for the events so far."""
        if self._output is None:
            features = self._backbone.features(self._after_this_frame() if self._count else self._state)
            self._output = self._head(features)[0].float().numpy()
            self._answers += 1
        return self._output.copy()

    @torch.inference_mode()
    def _after_this_frame(self) -> State:
        """The state after the frame at hand as it is so far."""
        if self._ahead is None:
            self._ahead = self._backbone.step(self._representation.frames(self._sums[:1]), self._state)
            self._steps += 1
        return self._ahead

    def _complete(self) -> None:
        """Go on to the next frame."""
        self._state, self._ahead = self._after_this_frame(), None
        self._sums = np.concatenate([self._sums[1:], np.zeros_like(self._sums[1:])])
        self._frame += 1

    def _keep(self, events: Events) -> None:
        """Remember events, in arrays that grow by doubling."""
        count = self._count + len(events)
        if count > len(self._columns["t"]):
            room = 2 * count - self._count
            self._columns = {k: np.concatenate([v[: self._count], np.empty(room, v.dtype)]) for k, v in self._columns.items()}
        for name, column in self._columns.items():
            column[self._count : count] = getattr(events, name)
        self._count = count

    def __len__(self) -> int:
        """Number of events so far."""
        return self._count

    def events(self, sensor_size: tuple[int, int]) -> Events:
        """The events so far."""
        x, y, t, p = (column[: self._count] for column in self._columns.values())
        return Events(x, y, t, p, sensor_size, trusted=True)

    def work(self) -> list[tuple[str, float, float, int, int]]:
        """Operations of convolutions, linear layers and other products, of each layer that has some; its sites are frames."""
        frames = self._frame + 1 if self._count else 0
        return [
            *((name, float(flops * self._steps), float(flops * frames), self._steps, frames) for name, flops in self._of_step.items()),
            *((name, float(flops * self._answers), float(flops), self._answers, 1) for name, flops in self._of_answer.items()),
        ]

    @torch.inference_mode()
    def _flops(self) -> tuple[Flops, Flops]:
        """Operations that a frame costs, and that an answer costs beside, by layer."""
        frame = self._representation.frames(np.zeros((1, *self._size[1:]), np.int64))
        state = self._backbone.initial_state(frame)
        return _counted(_Step(self._backbone), frame, state), _counted(_Answer(self._backbone, self._head), state)

    def state_dict(self) -> Arrays:
        """The state as arrays by name, copied."""
        columns = {name: column[: self._count].copy() for name, column in self._columns.items()}
        state = {f"state.{k}": tensor.numpy().copy() for k, tensor in enumerate(self._state)}
        numbers = np.array([self._frame, self._steps, self._answers])
        return sealed({**columns, **state, "sums": self._sums.copy(), "numbers": numbers}, self._network)

    def load_state_dict(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state_dict` was made.

        Raises:
            EventZooError: It is of another network or window, or damaged.
        """
        arrays = unsealed(saved, self._network)
        self.reset()
        self._columns = {name: arrays[name].copy() for name in "xytp"}
        self._count = len(arrays["t"])
        self._state = tuple(torch.from_numpy(arrays[f"state.{k}"].copy()) for k in range(len(self._state)))
        self._sums = arrays["sums"].copy()
        self._frame, self._steps, self._answers = arrays["numbers"].tolist()


class _Step(nn.Module):
    """A backbone's step as a module, which operations can be counted of by layer."""

    def __init__(self, backbone: SteppedBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, frame: Tensor, state: State) -> State:
        """The state after a frame."""
        return self.backbone.step(frame, state)


class _Answer(nn.Module):
    """What is computed of a state when an answer is asked for."""

    def __init__(self, backbone: SteppedBackbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, state: State) -> Tensor:
        """The head's output."""
        return self.head(self.backbone.features(state))  # type: ignore[no-any-return]


def _counted(module: nn.Module, *args: Any) -> Flops:
    """Operations of each layer's own, without those of the layers in it."""
    with FlopCounterMode(display=False) as counter:
        module(*args)
    totals = {name: sum(of.values()) for name, of in counter.get_flop_counts().items() if name != "Global"}
    own = dict(totals)
    for name, flops in totals.items():
        around = name.rpartition(".")[0]
        while around and around not in totals:
            around = around.rpartition(".")[0]
        if around:
            own[around] -= flops
    prefix = f"{type(module).__name__}."
    return {name.removeprefix(prefix).removeprefix("backbone."): flops for name, flops in own.items() if flops}


def _settings(part: Part) -> str:
    """A part with all of its arguments, those that were left at their defaults, too."""
    bound = inspect.signature(type(part).__init__).bind(None, **part.init_args)
    bound.apply_defaults()
    return f"{type(part).__name__} {bound.arguments}"
