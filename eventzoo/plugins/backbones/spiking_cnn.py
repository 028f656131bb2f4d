"""A convolutional network of spiking neurons."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.stepped import FrameBatch, State, SteppedBackbone

Neuron = Literal["PLIF", "LIF", "IF"]


class SpikingCNN(SteppedBackbone):
    """Stages of convolution, batch norm, spiking neurons and max pooling; then a layer of neurons, whose mean firing rates are features.

    With every frame, the potential v of a neuron moves towards its input x, v ← v + (x - v) / τ, or an IF's by it, v ← v + x; at v ≥ 1 the
    neuron puts out a spike, and v becomes 0. The step is differentiated as if it were arctan(πz) / π + ½ of z = v - 1. Of a PLIF, 1 / τ is
    the sigmoid of a number that is learned, one for each layer.

    Recordings of a batch may have different numbers of frames: what fills up the shorter ones counts neither in batch norm's statistics nor
    in a rate. Nothing is remembered from one batch to the next.

    Source: Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural Networks", ICCV 2021. Its
    last layer, of ten neurons a class, is left to the head. Neurons are those of SpikingJelly.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: Channels of a frame. The command line sets it from the representation.
        channels: Channels of every stage.
        stages: Number of stages, each of which halves the sides.
        hidden: Neurons of the last layer.
        neuron: `PLIF`, or `LIF`, whose τ is not learned, or `IF`, which does not leak.
        tau: τ in frames, at the beginning of training; above 1. An IF has none.
        dropout: Share of a recording's pooled spikes that training keeps from the last layer: the same places in all of its frames.

    Raises:
        EventZooError: A setting is out of its range, or SpikingJelly is not installed.

    Shapes:
        input: A `FrameBatch` of B recordings.
        output: `[B, hidden]`, between 0 and 1.
    """

    def __init__(
        self,
        sensor_size: tuple[int, int],
        in_channels: int = 2,
        channels: int = 128,
        stages: int = 4,
        hidden: int = 512,
        neuron: Neuron = "PLIF",
        tau: float = 2.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if min(in_channels, channels, stages, hidden) < 1 or tau <= 1 or not 0 <= dropout < 1:
            raise EventZooError(
                "SpikingCNN: in_channels, channels, stages and hidden are at least 1, tau is above 1 and dropout in [0, 1), not "
                f"{in_channels}, {channels}, {stages}, {hidden}, {tau} and {dropout}"
            )
        width, height = sensor_size[0] >> stages, sensor_size[1] >> stages
        if min(width, height) < 1:
            raise EventZooError(f"SpikingCNN: {stages} stages halve the {sensor_size[0]}×{sensor_size[1]} pixels to nothing; take fewer")
        self.sensor_size, self.out_channels, self.out_size = sensor_size, hidden, None
        self.convolutions = nn.ModuleList(_convolution(in_channels if k == 0 else channels, channels) for k in range(stages))
        self.linear = nn.Linear(channels * width * height, hidden)
        self.neurons = nn.ModuleList(_neuron(neuron, tau) for _ in range(stages + 1))
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout(dropout)
        self._potentials = [*((channels, sensor_size[1] >> k, sensor_size[0] >> k) for k in range(stages)), (hidden,)]

    def initial_state(self, frame: Tensor) -> State:
        """Potentials of all layers, number of spikes of each of the last layer's neurons and number of frames: all 0."""
        return tuple(frame.new_zeros(len(frame), *sizes) for sizes in (*self._potentials, (self.out_channels,), (1,)))

    def step(self, frame: Tensor, state: State) -> State:
        """Potentials and sums after one more frame."""
        *before, spikes, frames = state
        x, after = frame, []
        for convolution, neuron, potential in zip(self.convolutions, self.neurons, before, strict=False):
            x, new = _next(neuron, convolution(x), potential)
            x = self.pool(x)
            after.append(new)
        x, new = _next(self.neurons[-1], self.linear(x.flatten(1)), before[-1])
        return (*after, new, spikes + x, frames + 1)

    def features(self, state: State) -> Tensor:
        """Mean firing rates."""
        *_, spikes, frames = state
        return spikes / frames.clamp(min=1)

    def forward(self, batch: FrameBatch) -> Tensor:
        """Mean firing rates of a batch of recordings; in training computed together, layer by layer."""
        if not (self.training and batch.lengths.any()):
            return super().forward(batch)
        steps, count = batch.frames.shape[:2]
        own = (torch.arange(steps, device=batch.lengths.device)[:, None] < batch.lengths).flatten().nonzero().flatten()
        x = batch.frames.flatten(0, 1).index_select(0, own)
        for convolution, neuron in zip(self.convolutions, self.neurons, strict=False):
            x = self.pool(_all(neuron, convolution(x), own, steps, count))
        x = x.flatten(1)
        kept = self.dropout(x.new_ones(count, x.shape[1]))
        x = _all(self.neurons[-1], self.linear(x * kept.index_select(0, own % count)), own, steps, count)
        return x.new_zeros(count, x.shape[1]).index_add(0, own % count, x) / batch.lengths.clamp(min=1)[:, None]

    def no_weight_decay(self) -> set[str]:
        """Biases, normalisations and time constants."""
        return {name for name, parameter in self.named_parameters() if parameter.ndim < 2}


def _convolution(in_channels: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


def _neuron(name: Neuron, tau: float) -> Any:
    """One of SpikingJelly's neurons, used as a function of input and potential: it keeps nothing itself."""
    try:
        from spikingjelly.activation_based import neuron, surrogate
    except ImportError as error:
        raise EventZooError(f"SpikingCNN needs SpikingJelly, which cannot be imported ({error}): pip install eventzoo[snn]") from error
    common = {"surrogate_function": surrogate.ATan(), "detach_reset": True}
    if name == "IF":
        return neuron.IFNode(**common)
    return neuron.ParametricLIFNode(tau, **common) if name == "PLIF" else neuron.LIFNode(tau, **common)


def _next(neuron: Any, x: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes for the inputs of one frame, and the potentials after it."""
    (spikes,), (potential,) = neuron.functional_forward((x,), (potential,))
    return spikes, potential


def _all(neuron: Any, x: Tensor, own: Tensor, steps: int, count: int) -> Tensor:
    """Spikes for the inputs of the frames that there are, those with numbers `own` of `steps` × `count`."""
    complete = len(own) == steps * count  # then nothing has to be moved
    series = x if complete else x.new_zeros(steps * count, *x.shape[1:]).index_copy(0, own, x)
    series = series.view(steps, count, *x.shape[1:])
    (spikes,), _ = neuron.multi_step_functional_forward((series,), neuron.materialize_states((series,), (0.0,), "m"))
    spikes = spikes.flatten(0, 1)
    return spikes if complete else spikes.index_select(0, own)  # type: ignore[no-any-return]
