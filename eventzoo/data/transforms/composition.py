"""Composition: transforms of transforms. A sequence needs none, it is the list in a config."""

import numpy as np

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, apply, share, tossed
from eventzoo.errors import EventZooError


class RandomApply(EventTransform):
    """Apply transforms, one after the other, with a probability: all of them or none, as torchvision's RandomApply does.

    For a toss each, as in Event2Vec, wrap each by itself.

    Args:
        transforms: Transforms, at least one.
        probability: Of applying them. With 1, chance is involved only if one of them is random.
    """

    def __init__(self, transforms: list[EventTransform], probability: float = 0.5) -> None:
        self.transforms, self.probability = _some(self, transforms), share(self, "probability", probability)
        self.random = 0 < probability < 1 or any(transform.random for transform in transforms)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, transformed or not."""
        return apply(self.transforms, sample, rng) if tossed(self.probability, rng) else sample


class RandomChoice(EventTransform):
    """Apply one of several transforms, each equally likely.

    Args:
        transforms: Transforms, at least one.
    """

    def __init__(self, transforms: list[EventTransform]) -> None:
        self.transforms = _some(self, transforms)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, transformed."""
        return self.transforms[int(rng.integers(len(self.transforms)))](sample, rng)


def _some(owner: EventTransform, transforms: list[EventTransform]) -> list[EventTransform]:
    if not transforms:
        raise EventZooError(f"{type(owner).__name__}: transforms must name at least one transform")
    return transforms
