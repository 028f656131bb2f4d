"""From a dataset's sample to what the network sees, in two steps: what can be prepared once, and what chance decides anew."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import EventDataset, Sample
from eventzoo.data.representation import Representation
from eventzoo.data.store import Store
from eventzoo.data.transforms import EventMix, EventTransform, apply
from eventzoo.events import Events

_UNUSED = np.random.default_rng(0)  # for transforms that do not draw


class EventBatch(NamedTuple):
    """What a task's step is given.

    Attributes:
        inputs: The batch as the representation collates it.
        targets: Labels, int64 `[B]`, or where samples are mixed, shares of the classes, float32 `[B, num_classes]`; in
            detection, the `Boxes` of each sample, a tuple of `B`.
        keys: Name of each sample.
    """

    inputs: Any
    targets: Any
    keys: list[str]


class Mixture(NamedTuple):
    """The answer to a mixed sample: its label, the other one's, and the other one's share."""

    label: int
    other: int
    share: float


Target = int | Mixture | Boxes


class Example(NamedTuple):
    """One sample as the representation gives it, with its answer."""

    value: Any
    target: Target
    key: str


class Pipeline(Dataset[Example]):
    """A dataset's samples, transformed and represented; indexed by `(epoch, index)`, or by index alone as in epoch 0.

    What a sample becomes depends on the parts, the seed, the epoch and the sample's key alone: not on the order of access,
    the process, or whether a store is there. Everything before the first random transform, and where none is random the
    representation too, gives the same in every epoch: that is what a store keeps. With `realisations`, chance has only
    so many outcomes a sample, and the store keeps each of them.

    Args:
        dataset: The samples.
        transforms: Applied in this order.
        representation: What the backbone is given.
        seed: Seed of the transforms' chances.
        realisations: Epoch e is drawn as epoch `e % realisations`; None: every epoch is drawn anew.
        mix: Mixes a sample, after its transforms, with another one after its.

    Attributes:
        store: Prepared samples to read; None to build each of them.
    """

    def __init__(
        self,
        dataset: EventDataset,
        transforms: Sequence[EventTransform],
        representation: Representation[Any],
        seed: int = 0,
        realisations: int | None = None,
        mix: EventMix | None = None,
    ) -> None:
        first_random = next((at for at, transform in enumerate(transforms) if transform.random), None)
        self.dataset, self.representation, self.seed, self.mix = dataset, representation, seed, mix
        self.fixed, self.random = list(transforms[:first_random]), [] if first_random is None else list(transforms[first_random:])
        self.realisations = realisations if self.random or mix else 1
        self.store: Store | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, at: tuple[int, int] | int) -> Example:
        epoch, index = (0, at) if isinstance(at, int) else at  # trainer.overfit_batches draws by index
        if self.realisations is None:
            return self._example(epoch, index)
        epoch %= self.realisations
        if self.store is None:
            return self._example(epoch, index)
        tensors = self.store.read(epoch * len(self) + index)
        target, key = _target(tensors), _text(tensors.pop("key"))
        value = self.representation.from_tensors({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("value.")})
        return Example(value, target, key)

    @property
    def slots(self) -> int:
        """Number of values that a store keeps."""
        return len(self) * (self.realisations or 1)

    def prepare(self, slot: int) -> dict[str, Tensor]:
        """What a store keeps in one of the `slots`: a sample after the fixed transforms, or a whole example."""
        epoch, index = divmod(slot, len(self))
        if self.realisations is None:
            return _sample_tensors(self._fixed_sample(index))
        value, target, key = self._example(epoch, index)
        tensors = {f"value.{name}": tensor for name, tensor in self.representation.to_tensors(value).items()}
        return {**tensors, **_target_tensors(target), "key": _text_tensor(key)}

    def collate(self, examples: list[Example]) -> EventBatch:
        """One batch of several examples."""
        values, targets, keys = zip(*examples, strict=True)
        return EventBatch(self.representation.collate(list(values)), self._collate_targets(targets), list(keys))

    def _collate_targets(self, targets: Sequence[Target]) -> Tensor | Sequence[Boxes]:
        if isinstance(targets[0], Boxes):
            return targets  # type: ignore[return-value]  # a dataset's samples are all of one kind
        if not any(isinstance(target, Mixture) for target in targets):
            return torch.tensor(targets)
        shares = torch.zeros(len(targets), len(self.dataset.classes))
        for row, target in zip(shares, targets, strict=True):
            label, other, share = target if isinstance(target, Mixture) else (target, target, 0.0)
            row[label] += 1 - share
            row[other] += share
        return shares

    def _fixed_sample(self, index: int) -> Sample:
        if self.store is not None and self.realisations is None:
            return _sample(self.store.read(index))
        return apply(self.fixed, self.dataset[index], _UNUSED)

    def _example(self, epoch: int, index: int) -> Example:
        sample = self._fixed_sample(index)
        if self.random or self.mix:
            name = int.from_bytes(hashlib.blake2b(sample.key.encode(), digest_size=8).digest(), "little")
            rng = np.random.default_rng([self.seed, epoch, name])
            sample = apply(self.random, sample, rng)
            if self.mix is not None and self.mix.applies(rng):
                sample = self.mix(sample, apply(self.random, self._fixed_sample(int(rng.integers(len(self)))), rng), rng)
        target: Target = sample.target
        if sample.mixed_with is not None and isinstance(target, int):
            target = Mixture(target, *sample.mixed_with)
        return Example(self.representation(sample.events), target, sample.key)


def _sample_tensors(sample: Sample) -> dict[str, Tensor]:
    events = sample.events
    columns = {name: torch.tensor(getattr(events, name)) for name in ("x", "y", "t", "p")}
    return {**columns, "sensor_size": torch.tensor(events.sensor_size), **_target_tensors(sample.target), "key": _text_tensor(sample.key)}


def _sample(tensors: Mapping[str, Tensor]) -> Sample:
    x, y, t, p = (tensors[name].numpy() for name in ("x", "y", "t", "p"))
    width, height = tensors["sensor_size"].tolist()
    label, boxes = (int(tensors["label"]), None) if "label" in tensors else (None, _boxes(tensors))
    return Sample(Events(x, y, t, p, (width, height), trusted=True), label, _text(tensors["key"]), boxes)


def _target_tensors(target: Target) -> dict[str, Tensor]:
    if isinstance(target, Boxes):
        return {f"boxes.{name}": torch.tensor(getattr(target, name)) for name in ("xyxy", "class_ids", "t")}
    if isinstance(target, Mixture):
        return {"mixture": torch.tensor(target, dtype=torch.float64)}
    return {"label": torch.tensor(target)}


def _target(tensors: Mapping[str, Tensor]) -> Target:
    if "label" in tensors:
        return int(tensors["label"])
    if "mixture" in tensors:
        label, other, share = tensors["mixture"].tolist()
        return Mixture(int(label), int(other), share)
    return _boxes(tensors)


def _boxes(tensors: Mapping[str, Tensor]) -> Boxes:
    return Boxes(*(tensors[f"boxes.{name}"].numpy() for name in ("xyxy", "class_ids", "t")), trusted=True)


def _text_tensor(text: str) -> Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def _text(tensor: Tensor) -> str:
    return bytes(tensor.numpy()).decode()
