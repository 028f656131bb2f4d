"""ECN's network of convolutions on event streams."""

from functools import partial
from typing import Any, ClassVar, get_args

from torch import Tensor, nn
from torch.nn.functional import relu
from torch_geometric.nn import BatchNorm

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone, Kind
from eventzoo.nn.event_conv import EventConv, Positive, TraceConv
from eventzoo.nn.event_stream import HalvingConv3d, Memory, StreamBatch, StreamLevel, VoxelMean

_EPS, _MOMENTUM = 1e-3, 0.01  # Keras' epsilon, and its momentum of 0.99 in torch's sense


class ECN(Backbone):
    """Event convolution network: convolutions on thinner and thinner event streams, pooled into voxels at several levels.

    Each level begins with a strided event convolution from the level below, and goes on with a residual block of three branches: a
    convolution over the neighbourhood, one over a longer time of the event's own pixel, and two linear layers. The levels from
    `first_pooled` on are pooled into voxels, half as many frames at each; a pyramid of 3-D convolutions merges them into one frame.
    Its maximum over all pixels goes through linear layers.

    Source: Jack et al., "Sparse Convolutions on Continuous Domains for Point Cloud and Event Stream Networks", ACCV 2020, and the code
    published with it ("inception_vox_pooling"). Other than there, the frames divide a fixed `horizon`, not the recording.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: Features of an event, 2: its polarities. The command line sets it from the representation.
        levels: Levels of the `EventStream`.
        filters: Features at level 1. Each further level has twice as many.
        decays: Exponentials of a cell of a stencil; four times as many for an event's own pixel.
        first_pooled: The first level that is pooled into voxels, from 1.
        horizon: Microseconds that the pooled frames span.
        hidden: Sizes of the linear layers before the head's; the last is `out_channels`.
        dropout: Share of the features that are dropped in training, after each level's strided convolution and around the linear layers.
        memory: What an event knows of its past: `window`, the latest events of each pixel, as in the paper; or `trace`, one fading trace of
            all of them, which takes no more memory and time the more events there are. The `EventStream` has the same setting.
        positive: How the decays of `window` are kept from being negative: by `projection`, as in the paper, or as a `softplus`. Those of
            `trace` are always a softplus.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        input: A `StreamBatch` of B samples.
        output: `[B, hidden[-1]]`.
    """

    accepts: ClassVar[Kind] = "stream"

    def __init__(
        self,
        sensor_size: tuple[int, int],
        in_channels: int = 2,
        levels: int = 5,
        filters: int = 8,
        decays: int = 4,
        first_pooled: int = 3,
        horizon: int = 300_000,
        hidden: tuple[int, ...] = (256,),
        dropout: float = 0.5,
        memory: Memory = "window",
        positive: Positive = "projection",
    ) -> None:
        super().__init__()
        if in_channels != 2 or levels < 1 or not 1 <= first_pooled <= levels or min(filters, decays, *hidden, 1) < 1 or not hidden:
            raise EventZooError(
                "ECN: in_channels is 2, 1 <= first_pooled <= levels, filters and decays at least 1, and hidden one or more sizes, not "
                f"{in_channels}, {first_pooled} and {levels}, {filters}, {decays}, {hidden}"
            )
        if memory not in get_args(Memory):
            raise EventZooError(f"ECN: memory is 'window' or 'trace', not {memory!r}")
        self.sensor_size, self.out_channels, self.out_size = sensor_size, hidden[-1], None
        self.first_pooled, self.memory = first_pooled, memory
        conv: Any = partial(EventConv, positive=positive) if memory == "window" else TraceConv
        self.levels = nn.ModuleList()
        self.voxels = nn.ModuleList()
        self.merges = nn.ModuleList()
        size, channels = sensor_size, 2
        for level in range(1, levels + 1):
            wider, size = filters << (level - 1), ((size[0] + 1) // 2, (size[1] + 1) // 2)
            self.levels.append(_Level(channels, wider, decays, dropout, conv, binary=level == 1))
            if level >= first_pooled:
                self.voxels.append(_Voxels(wider, 1 << (levels - level), horizon, size))
            if level > first_pooled:
                self.merges.append(_Merge(channels, wider))
            channels = wider
        self.widen = nn.Conv3d(channels, 2 * channels, 1)
        self.top = nn.AdaptiveMaxPool3d(1)
        self.tail = nn.Sequential(_norm(2 * channels), nn.Dropout(dropout))
        for before, after in zip((2 * channels, *hidden), hidden, strict=False):
            self.tail.extend([nn.Linear(before, after), nn.ReLU(), _norm(after), nn.Dropout(dropout)])

    def check_representation(self, representation: Any) -> None:
        """Refuse streams of another number of levels, or with edges for the other memory."""
        super().check_representation(representation)
        for name, own, given in (("levels", len(self.levels), representation.levels), ("memory", self.memory, representation.memory)):
            if own != given:
                raise EventZooError(f"{name} of ECN is {own!r}, of its {type(representation).__name__} {given!r}: set both to the same")

    def forward(self, batch: StreamBatch) -> Tensor:
        """Features of a batch of streams."""
        x, volume = batch.polarity, None
        for number, layers in enumerate(self.levels):
            level = batch.levels[number]
            x = layers(x, level)
            at = number + 1 - self.first_pooled
            if at >= 0:
                voxels = self.voxels[at](x, level, batch.duration)
                volume = voxels if volume is None else self.merges[at - 1](volume) + voxels
        pooled: Tensor = self.tail(self.top(self.widen(volume)).flatten(1))
        return pooled

    def no_weight_decay(self) -> set[str]:
        """Biases, normalisations and the decays of convolutions, as upstream."""
        return {name for name, parameter in self.named_parameters() if parameter.ndim < 2 or name.endswith(".decay")}


class _Level(nn.Module):
    """A strided convolution from the level below, and the residual block."""

    def __init__(self, in_channels: int, channels: int, decays: int, dropout: float, conv: Any, binary: bool) -> None:
        super().__init__()
        self.strided, self.strided_norm = conv(in_channels, channels, 9, decays, binary=binary), _norm(channels)
        self.dropout = nn.Dropout(dropout)
        self.inplace = conv(channels, channels, 9, decays)
        self.pointwise = conv(channels, channels, 1, 4 * decays)
        self.expand, self.reduce = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.norm = _norm(channels)

    def forward(self, x: Tensor, level: StreamLevel) -> Tensor:
        """Features of a level's events from those of the level below."""
        x = self.dropout(self.strided_norm(relu(self.strided(x, level.strided))))
        branches = self.inplace(x, level.inplace) + self.pointwise(x, level.pointwise) + self.reduce(relu(self.expand(x)))
        return x + self.norm(relu(branches))  # type: ignore[no-any-return]


class _Voxels(nn.Module):
    """A level's features as normalised voxels."""

    def __init__(self, channels: int, frames: int, horizon: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.mean, self.norm = VoxelMean(frames, horizon, size), nn.BatchNorm3d(channels, _EPS, _MOMENTUM)

    def forward(self, x: Tensor, level: StreamLevel, duration: Tensor) -> Tensor:
        """Pool and normalise."""
        return self.norm(self.mean(x, level, duration))  # type: ignore[no-any-return]


class _Merge(nn.Module):
    """What the voxels of a level add to those of the next."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = HalvingConv3d(in_channels, channels), nn.BatchNorm3d(channels, _EPS, _MOMENTUM)

    def forward(self, volume: Tensor) -> Tensor:
        """Halve all sides."""
        return self.norm(relu(self.conv(volume)))  # type: ignore[no-any-return]


def _norm(channels: int) -> BatchNorm:
    """Batch normalisation that takes a batch of one event, or none, as it would be taken in evaluation."""
    return BatchNorm(channels, _EPS, _MOMENTUM, allow_single_element=True)
