"""The one DataModule: dataset × transforms × representation."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, distributed
from torch.utils.data import DataLoader, DistributedSampler

from eventzoo.data.dataset import EventDataset
from eventzoo.data.pipeline import EventBatch, Pipeline
from eventzoo.data.preparing import default_root, find_store, prepare
from eventzoo.data.representation import Representation
from eventzoo.data.transforms import EventMix, EventTransform
from eventzoo.errors import EventZooError

T = TypeVar("T")
Stage = Literal["train", "val", "test", "predict"]
_STAGES: Mapping[str, Sequence[Stage]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}


class EventDataModule(LightningDataModule):
    """Loads a dataset, transforms its samples and represents them.

    A sample's transforms draw from a generator that is seeded by `(seed, epoch, key)`, and the order of training samples
    from `(seed, epoch)`: what the network sees depends neither on the number of workers nor on a restart. Several processes
    share each epoch so that together they see in a step what one process with a batch of that many times the size sees.

    Args:
        dataset: The dataset, at any split; the other splits are made from it.
        representation: What the backbone is given.
        train_transforms: Transforms of training samples, in this order.
        eval_transforms: Transforms of validation and test samples; they become part of the saved model.
        mix: Mixes training samples with each other, after their transforms.
        batch_size: Samples a step, in each process.
        num_workers: Processes that prepare samples; 0 prepares them in the training process.
        seed: Seed of the order and of the transforms.
        realisations: Training epoch e draws its chances as epoch `e % realisations`, so that a prepared store can keep every outcome;
            null for new chances each epoch.
        store: Folder of the prepared stores that `eventzoo prepare` writes; what is there is used. Default: `prepared` inside
            `$EVENTZOO_DATA`, or inside `data`.
        build_store: Build the stores that are missing before training or evaluation begins, on all cores.
    """

    def __init__(
        self,
        dataset: EventDataset,
        representation: Representation,  # type: ignore[type-arg]  # any; jsonargparse cannot resolve Representation[Any]
        train_transforms: list[EventTransform] | None = None,
        eval_transforms: list[EventTransform] | None = None,
        mix: EventMix | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        realisations: int | None = None,
        store: str | None = None,
        build_store: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0 or seed < 0:
            raise EventZooError(f"batch_size >= 1, num_workers >= 0 and seed >= 0 are needed, not {batch_size}, {num_workers} and {seed}")
        if realisations is not None and realisations < 1:
            raise EventZooError(f"realisations must be at least 1, or null for new chances each epoch, not {realisations}")
        self.dataset, self.representation = dataset, representation
        self.train_transforms, self.eval_transforms = train_transforms or [], eval_transforms or []
        self.batch_size, self.num_workers, self.seed, self.realisations = batch_size, num_workers, seed, realisations
        self.mix = mix
        self.store = default_root() if store is None else Path(store)
        self.build_store = build_store

    @property
    def num_classes(self) -> int:
        """Number of the dataset's classes."""
        return len(self.dataset.classes)

    @property
    def in_channels(self) -> int:
        """Channels of the representation."""
        return self.representation.channels

    def pipeline(self, stage: Stage) -> Pipeline:
        """The samples of a stage, without a store: `train` transformed for training, the others for evaluation."""
        if stage == "predict":
            return Pipeline(self.dataset, self.eval_transforms, self.representation, self.seed)
        dataset = self.dataset.at_split(stage)
        if stage == "train":
            return Pipeline(dataset, self.train_transforms, self.representation, self.seed, self.realisations, self.mix)
        return Pipeline(dataset, self.eval_transforms, self.representation, self.seed)

    def prepare_data(self) -> None:
        """Build the stores that are missing, if `build_store` asks for it. Lightning calls this in one process only."""
        if self.build_store and self.trainer is not None and self.trainer.state.fn is not None:
            for stage in _STAGES[str(self.trainer.state.fn.value)]:
                result = prepare(self.store, self.pipeline(stage), progress=True)
                result.raise_for_failures()
                if result.built:
                    print(f"{stage}: prepared in {result.folder}")

    def transfer_batch_to_device(self, batch: EventBatch, device: torch.device, dataloader_idx: int) -> EventBatch:
        """Move what a network takes; boxes are arrays, and stay."""
        inputs = super().transfer_batch_to_device(batch.inputs, device, dataloader_idx)
        targets = batch.targets.to(device) if isinstance(batch.targets, Tensor) else batch.targets
        return EventBatch(inputs, targets, batch.keys)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled anew each epoch."""
        return self._loader(self.pipeline("train"), shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """In the dataset's order."""
        return self._loader(self.pipeline("val"), shuffle=False)

    def test_dataloader(self) -> DataLoader[Any]:
        """In the dataset's order."""
        return self._loader(self.pipeline("test"), shuffle=False)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The split that the dataset was configured with, in its order, transformed as for evaluation."""
        return self._loader(self.pipeline("predict"), shuffle=False)

    def _loader(self, pipeline: Pipeline, shuffle: bool) -> DataLoader[Any]:
        pipeline.store = find_store(self.store, pipeline)
        rank, processes = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return _LazyLoader(
            pipeline,
            batch_size=self.batch_size,
            sampler=EpochSampler(len(pipeline), self.seed, shuffle, rank, processes),
            num_workers=self.num_workers,
            collate_fn=pipeline.collate,
            persistent_workers=self.num_workers > 0,
        )


class _LazyLoader(DataLoader[Any]):
    """A loader whose workers begin when the first batch is asked for: when a training is resumed, Lightning sets the epoch after `iter`."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises its own class, of which nobody uses more
        yield from super().__iter__()


class EpochSampler(DistributedSampler[tuple[int, int]]):
    """Yields `(epoch, index)` of one process's share, so that workers know the epoch whose chances they draw.

    Of each epoch's order, process r of P takes every P-th sample from the r-th on: the k-th batches of all processes are together
    the k-th batch of one process with P times the batch size. It is a `DistributedSampler` for the Trainer to leave it as it is.

    Args:
        size: Number of samples.
        seed: Seed of the order.
        shuffle: Whether each epoch has an order of its own, shared out in equal parts, for which up to P - 1 samples are drawn
            twice; without, the epoch is always 0 and each sample is drawn once, by whichever process.
        rank: Which process this is.
        processes: How many there are.

    Raises:
        EventZooError: A process would have no sample.
    """

    def __init__(self, size: int, seed: int, shuffle: bool, rank: int = 0, processes: int = 1) -> None:
        super().__init__(range(size), processes, rank, shuffle, seed)  # type: ignore[arg-type]  # only its length counts
        if processes > 1 and size < processes:
            raise EventZooError(f"{size} samples cannot be shared by {processes} processes; set trainer.devices to at most {max(size, 1)}")
        self.size = size

    def __len__(self) -> int:
        return self.num_samples if self.shuffle else len(range(self.rank, self.size, self.num_replicas))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if not self.shuffle:
            return ((0, index) for index in range(self.rank, self.size, self.num_replicas))
        epoch, order = self.epoch, np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        return ((epoch, int(index)) for index in np.resize(order, self.total_size)[self.rank :: self.num_replicas])


def of_all_processes(own: list[T], trainer: Trainer) -> list[T]:
    """What the processes of an evaluation found of each sample, in the dataset's order, in the first process; in the others nothing.

    Args:
        own: What this process found of its samples, as `EpochSampler` has shared them out.
        trainer: What runs the processes; each of them calls this.
    """
    if trainer.world_size == 1:
        return own
    shares: list[list[T]] | None = [[]] * trainer.world_size if trainer.is_global_zero else None
    distributed.gather_object(own, shares)
    nothing = object()  # for the shares that are shorter by one
    return [found for row in zip_longest(*(shares or []), fillvalue=nothing) for found in row if found is not nothing]  # type: ignore[misc]
