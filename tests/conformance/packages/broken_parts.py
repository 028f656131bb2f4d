"""A package of parts that keep their promises, `Dots`, `Image` and `Net`, and of others that each break one."""

from itertools import count
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import EventDataset, Sample, Split
from eventzoo.data.representation import ImageRepresentation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.nn.backbone import Backbone, Kind

SIZE = (8, 6)


class Dots(EventDataset):
    """Ten events at random pixels.

    Args:
        split: Which split.
        size: Number of recordings.
    """

    sensor_size: ClassVar[tuple[int, int]] = SIZE
    classes: ClassVar[tuple[str, ...]] = ("few", "many")

    def __init__(self, split: Split = "train", size: int = 5) -> None:
        if split == "test":
            raise EventZooError("there is no test split")
        self.split, self.size = split, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(range(self.size)[index])
        x, y, p = rng.integers(0, SIZE[0], 10), rng.integers(0, SIZE[1], 10), rng.random(10) < 0.5
        return self.sample(Events(x, y, np.arange(10), p, SIZE), index)

    def sample(self, events: Events, index: int) -> Sample:
        return Sample(events, index % 2, f"{self.split}/{index}")

    def verify(self) -> None: ...


class NamedTwice(Dots):
    classes = ("dot", "dot")


class Endless(Dots):
    def __getitem__(self, index: int) -> Sample:
        return super().__getitem__(index % self.size)


class Shuffled(Dots):
    def __init__(self, split: Split = "train", size: int = 5) -> None:
        super().__init__(split, size)
        self.order = np.random.default_rng(next(_made)).permutation(size)

    def __getitem__(self, index: int) -> Sample:
        return super().__getitem__(int(self.order[index]))


class Augmented(Dots):
    def sample(self, events: Events, index: int) -> Sample:
        return super().sample(events[: 1 + next(_made) % 9], index)


class WithoutSplit(Dots):
    def sample(self, events: Events, index: int) -> Sample:
        return Sample(events, index % 2, str(index))


class CountedFromOne(Dots):
    def sample(self, events: Events, index: int) -> Sample:
        return Sample(events, index % 2 + 1, f"{self.split}/{index}")


class WithOpenFile(Dots):
    def __init__(self, split: Split = "train", size: int = 5) -> None:
        super().__init__(split, size)
        self.file = open(__file__)  # noqa: SIM115

    def __del__(self) -> None:
        self.file.close()


class OffTheSensor(Dots):
    task = "detection"

    def sample(self, events: Events, index: int) -> Sample:
        return Sample(events, None, f"{self.split}/{index}", Boxes(np.array([[0, 0, 9, 5]]), np.array([0]), np.array([9])))


class Unsorted(Dots):
    def sample(self, events: Events, index: int) -> Sample:
        return Sample(Events(events.x, events.y, events.t[::-1], events.p, SIZE, trusted=True), 0, f"{self.split}/{index}")


class Image(ImageRepresentation):
    """Polarities of events, summed.

    Args:
        channels: How often.
    """

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels

    def __call__(self, events: Events) -> Tensor:
        image = np.zeros((self.channels, *events.sensor_size[::-1]), np.float32)
        np.add.at(image, (slice(None), events.y, events.x), np.where(events.p, 1, -1))
        return torch.from_numpy(image)


class NeedsEvents(Image):
    def __call__(self, events: Events) -> Tensor:
        return super().__call__(events) * float(events.t[-1] + 1)


class Mean(Image):
    def __call__(self, events: Events) -> Tensor:
        return super().__call__(events) / len(events)


class Transposed(Image):
    def __call__(self, events: Events) -> Tensor:
        return super().__call__(events).transpose(1, 2)


class Remembering(Image):
    def __call__(self, events: Events) -> Tensor:
        self.last = super().__call__(events) + getattr(self, "last", 0)
        return self.last


class Sharing(Image):
    def collate(self, samples: list[Tensor]) -> Tensor:
        return super().collate(samples) if len(samples) > 1 else samples[0][None]


class Forgetful(Image):
    def __init__(self, channels: int = 1, **options: int) -> None:
        super().__init__(channels)
        self.scale = options.pop("scale", 2)
        self.init_args = {}

    def __call__(self, events: Events) -> Tensor:
        return super().__call__(events) * self.scale


class Net(Backbone):
    """A convolution, and a maximum.

    Args:
        width: Channels.
    """

    accepts: ClassVar[Kind] = "image"

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = None, width, None
        self.conv = nn.Conv2d(1, width, 3)

    def forward(self, batch: Tensor) -> Tensor:
        return self.conv(batch).amax((2, 3))


class TakesAnything(Net):
    def check_representation(self, representation: object) -> None: ...


class WrongWidth(Net):
    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch)[:, 1:]


class Divided(Net):
    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch / batch.abs().sum((1, 2, 3), keepdim=True))


class OfTheBatch(Net):
    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch / batch.abs().max().clamp(min=1))


class Unused(Net):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.spare = nn.Linear(1, 1)


class Counting(Net):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, batch: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(batch)


class Noisy(Net):
    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch) + 1e-6 * torch.rand(())


class AlwaysEvaluating(Net):
    def forward(self, batch: Tensor) -> Tensor:
        self.eval()
        return super().forward(batch)


class DifferentWhenMadeAnew(Net):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        setattr(self, f"extra{next(_made)}", nn.BatchNorm2d(1, affine=False))


class Misnamed(Net):
    def no_weight_decay(self) -> set[str]:
        return {"convolution.bias"}


class WithUnsavedState(Net):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.shift = float(next(_made))

    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch) + self.shift


_made = count()
