"""The one DataModule: dataset × transforms × representation."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import EventDataset, Split
from eventzoo.data.representation import Representation
from eventzoo.data.transforms import EventTransform, apply
from eventzoo.errors import EventZooError


class EventBatch(NamedTuple):
    """What a task's step is given.

    Attributes:
        inputs: The batch as the representation collates it.
        targets: Labels, int64 `[B]`; in detection, the boxes of each sample, `B` of them.
        keys: Name of each sample.
    """

    inputs: Any
    targets: Any
    keys: list[str]


class EventDataModule(LightningDataModule):
    """Loads a dataset, transforms its samples and represents them.

    A sample's transforms draw from a generator that is seeded by `(seed, epoch, key)`, and the order of training samples
    from `(seed, epoch)`: what the network sees depends neither on the number of workers nor on a restart.

    Args:
        dataset: The dataset, at any split; the other splits are made from it.
        representation: What the backbone is given.
        train_transforms: Transforms of training samples, in this order.
        eval_transforms: Transforms of validation and test samples; they become part of the saved model.
        batch_size: Samples a step.
        num_workers: Processes that prepare samples; 0 prepares them in the training process.
        seed: Seed of the order and of the transforms.
    """

    def __init__(
        self,
        dataset: EventDataset,
        representation: Representation,  # type: ignore[type-arg]  # any; jsonargparse cannot resolve Representation[Any]
        train_transforms: list[EventTransform] | None = None,
        eval_transforms: list[EventTransform] | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0 or seed < 0:
            raise EventZooError(f"batch_size >= 1, num_workers >= 0 and seed >= 0 are needed, not {batch_size}, {num_workers} and {seed}")
        self.dataset, self.representation = dataset, representation
        self.train_transforms, self.eval_transforms = train_transforms or [], eval_transforms or []
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed

    @property
    def num_classes(self) -> int:
        """Number of the dataset's classes."""
        return len(self.dataset.classes)

    @property
    def in_channels(self) -> int:
        """Channels of the representation."""
        return self.representation.channels

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled anew each epoch."""
        return self._loader("train", self.train_transforms, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """In the dataset's order."""
        return self._loader("val", self.eval_transforms, shuffle=False)

    def test_dataloader(self) -> DataLoader[Any]:
        """In the dataset's order."""
        return self._loader("test", self.eval_transforms, shuffle=False)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The split that the dataset was configured with, in its order, transformed as for evaluation."""
        return self._loader(self.dataset.split, self.eval_transforms, shuffle=False)

    def _loader(self, split: Split, transforms: Sequence[EventTransform], shuffle: bool) -> DataLoader[Any]:
        samples = _Prepared(self.dataset.at_split(split), transforms, self.representation, self.seed)
        return DataLoader(
            samples,
            batch_size=self.batch_size,
            sampler=EpochSampler(len(samples), self.seed, shuffle),
            num_workers=self.num_workers,
            collate_fn=samples.collate,
            persistent_workers=self.num_workers > 0,
        )


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields `(epoch, index)`, so that workers know the epoch whose chances they draw.

    Args:
        size: Number of samples.
        seed: Seed of the order.
        shuffle: Whether each epoch has an order of its own; without, the epoch is always 0.
    """

    def __init__(self, size: int, seed: int, shuffle: bool) -> None:
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if not self.shuffle:
            return ((0, index) for index in range(self.size))
        epoch, order = self.epoch, np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        return ((epoch, int(index)) for index in order)


class _Prepared(Dataset[Any]):
    """A dataset's samples, transformed and represented."""

    def __init__(self, dataset: EventDataset, transforms: Sequence[EventTransform], representation: Representation[Any], seed: int) -> None:
        self.dataset, self.transforms, self.representation, self.seed = dataset, transforms, representation, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, at: tuple[int, int]) -> tuple[Any, int | Boxes, str]:
        epoch, index = at
        sample = self.dataset[index]
        key = int.from_bytes(hashlib.blake2b(sample.key.encode(), digest_size=8).digest(), "little")
        sample = apply(self.transforms, sample, np.random.default_rng([self.seed, epoch, key]))
        return self.representation(sample.events), sample.target, sample.key

    def collate(self, samples: list[tuple[Any, int | Boxes, str]]) -> EventBatch:
        inputs, targets, keys = zip(*samples, strict=True)
        labels = targets if isinstance(targets[0], Boxes) else torch.tensor(targets)
        return EventBatch(self.representation.collate(list(inputs)), labels, list(keys))
