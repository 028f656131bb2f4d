"""Networks that take a recording frame by frame, and what they are given."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from eventzoo.nn.backbone import Backbone, Kind

State = tuple[Tensor, ...]
"""What a network remembers of the frames so far; the first dimension of each tensor is the batch."""


class FrameBatch(NamedTuple):
    """A batch of the frames of B recordings.

    Attributes:
        frames: float32 `[T, B, channels, height, width]`, with zeros after the last frame of a recording shorter than T.
        lengths: Number of frames of each recording, int64 `[B]`.
    """

    frames: Tensor
    lengths: Tensor

    def to(self, device: torch.device | str) -> "FrameBatch":
        """The batch on a device."""
        return FrameBatch(self.frames.to(device), self.lengths.to(device))


class SteppedBackbone(Backbone):
    """Base of the backbones that can be computed a frame at a time, with a state of fixed size in between.

    In evaluation a recording is computed by itself, frame by frame: exactly what is done where it comes as a stream, and independent of
    what else is in the batch, bit by bit. Spikes make that worth its time: where a sum is near a threshold, its rounding decides.
    """

    accepts: ClassVar[Kind] = "frames"

    @abstractmethod
    def initial_state(self, frame: Tensor) -> State:
        """The state before the first frame, of which only shape, type and device are read."""

    @abstractmethod
    def step(self, frame: Tensor, state: State) -> State:
        """The state after one more frame `[B, channels, height, width]`. The given state stays as it is."""

    @abstractmethod
    def features(self, state: State) -> Tensor:
        """The features of the recordings so far."""

    def forward(self, batch: FrameBatch) -> Tensor:
        """Features of a batch of recordings, each by itself."""
        return torch.cat([self._of_one(batch.frames[:length, i : i + 1]) for i, length in enumerate(batch.lengths.tolist())])

    def _of_one(self, frames: Tensor) -> Tensor:
        state = self.initial_state(frames.new_empty(frames.shape[1:]))
        for frame in frames:
            state = self.step(frame, state)
        return self.features(state)
