"""A recording as a sequence of frames."""

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eventzoo.data.representation import Representation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.nn.backbone import Kind
from eventzoo.nn.stepped import FrameBatch

Sums = NDArray[np.int64]


class FrameSequence(Representation[Tensor]):
    """Frames of `step` microseconds each, counted from the recording's first event on, as many as there are until its last.

    Frame k is of the events at tₖ ≤ t < tₖ₊₁ with tₖ = t₀ + k · step, of which there may be none:

    - `counts`: how many there are of each polarity at each pixel;
    - `voxels`: sums of polarities pᵢ = ±1, each shared by the two nearest ticks tₖ according to its distance from them,
      V(k, y, x) = Σᵢ pᵢ max(0, 1 - |tᵢ - tₖ| / step). The share of the tick after the last frame is left out, as is that frame.

    So a frame is final once time has reached tₖ₊₁, and no frame depends on when the recording ends: what makes it possible to compute them
    while events come. How many there are differs between recordings; `WindowByTime` bounds it.

    Source: Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural Networks", ICCV 2021, whose
    frames divide a recording into as many parts as are wanted, of equally many events; a stream cannot be divided so.

    Args:
        step: Microseconds of a frame.
        form: What a pixel of a frame says: `counts` of both polarities, or `voxels`, sums of polarities.

    Raises:
        EventZooError: A frame would be shorter than a microsecond, or there is no such form.

    Shapes:
        one recording: float32 `[frames, channels, height, width]`, with the channels OFF and ON of counts, or a single one; no frames if it
            has no events. A batch: `eventzoo.nn.stepped.FrameBatch`.
    """

    kind: ClassVar[Kind] = "frames"

    def __init__(self, step: int, form: Literal["counts", "voxels"] = "counts") -> None:
        if step < 1 or form not in ("counts", "voxels"):
            raise EventZooError(f"FrameSequence: step >= 1 µs and a form counts or voxels are needed, not {step} and {form!r}")
        self.step, self.form = step, form
        self.channels = 2 if form == "counts" else 1

    def __call__(self, events: Events) -> Tensor:
        """The frames of one recording."""
        width, height = events.sensor_size
        count = int(events.t[-1] - events.t[0]) // self.step + 1 if len(events) else 0
        sums = np.zeros((count + 1, self.channels, height, width), np.int64)
        if count:
            self.add(events, int(events.t[0]), sums)
        return self.frames(sums[:count])

    def add(self, events: Events, start: int, sums: Sums) -> None:
        """Add events to the sums that frames are made of; whole numbers, so that it does not matter which are added together.

        Args:
            events: The events.
            start: When the first of the frames begins, microseconds.
            sums: int64 `[frames, channels, height, width]`, one frame more than these events are in.
        """
        frame, after = np.divmod(events.t - start, self.step)
        _, channels, height, width = sums.shape
        at = (frame * channels * height + events.y) * width + events.x
        if self.form == "counts":
            at += events.p * (height * width)
            np.add.at(sums.reshape(-1), at, 1)
        else:
            sign = np.where(events.p, 1, -1)
            np.add.at(sums.reshape(-1), at, sign * (self.step - after))
            np.add.at(sums.reshape(-1), at + height * width, sign * after)

    def frames(self, sums: Sums) -> Tensor:
        """The frames that sums are of, float32 `[frames, channels, height, width]`."""
        return torch.from_numpy((sums if self.form == "counts" else sums / self.step).astype(np.float32))

    def collate(self, samples: list[Tensor]) -> FrameBatch:
        """Frames of all recordings side by side, with zeros after those of the shorter ones."""
        lengths = torch.tensor([len(frames) for frames in samples])
        return FrameBatch(torch.nn.utils.rnn.pad_sequence(samples), lengths)
