"""How good a model's answers are after the first events of recordings, in the order in which a camera gave them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import EventDataset, Sample
from eventzoo.data.transforms import apply
from eventzoo.model import EventModel
from eventzoo.tasks.detection import SCORE_THRESHOLD
from eventzoo.tasks.heads import DetectionHead
from eventzoo.tasks.metrics import COCOAveragePrecision

STEPS = tuple(100 * 2**power for power in range(24))
"""Numbers of events to ask a model at, as far as recordings are long enough."""


@dataclass(frozen=True)
class Curve:
    """Measures by the number of events. A recording that has fewer counts with all it has.

    Attributes:
        events: Numbers of events; the last is that of the longest recording.
        seen: Events that the model's transforms left of them, on average.
        whole: Share of the recordings that had no more events.
        scores: In classification `accuracy`, in detection `AP50` and `mAP`, at each number.
    """

    events: list[int]
    seen: list[float]
    whole: list[float]
    scores: dict[str, list[float]]


class Asked(NamedTuple):
    """A recording's first events, to be asked about.

    Attributes:
        values: Their representations: after each of the steps that the recording is long enough for, and after all of it.
        seen: Events in each, which the transforms left.
        length: Events of the recording.
        target: The right answer to the whole of it.
    """

    values: list[Any]
    seen: list[int]
    length: int
    target: int | Boxes


class Prefixes(Dataset[Asked]):
    """The samples of a data set, each with its first events as a model's `predict` would be given them.

    Args:
        dataset: The samples.
        model: For its transforms and its representation.
        steps: Numbers of events, rising.
    """

    def __init__(self, dataset: EventDataset, model: EventModel, steps: Sequence[int]) -> None:
        self.dataset, self.steps = dataset, tuple(steps)
        self.transforms, self.representation = model.transforms, model.representation

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Asked:
        sample = self.dataset[index]
        length = len(sample.events)
        target = apply(self.transforms, sample, np.random.default_rng(0)).target
        values, seen = [], []
        for count in (*(step for step in self.steps if step < length), length):
            # Without boxes, as a window that ends with them would not be that of a recording that has come so far only.
            prefix = Sample(sample.events[:count], -1, sample.key)
            events = apply(self.transforms, prefix, np.random.default_rng(0)).events
            values.append(self.representation(events))
            seen.append(len(events))
        return Asked(values, seen, length, target)

    def collate(self, asked: list[Asked]) -> tuple[Any, list[Asked]]:
        """One batch of all values, and the recordings without them."""
        values = [value for recording in asked for value in recording.values]
        return self.representation.collate(values), [recording._replace(values=[]) for recording in asked]


@torch.inference_mode()
def evaluate(model: EventModel, loader: Iterable[tuple[Any, list[Asked]]], steps: Sequence[int] = STEPS) -> Curve:
    """Ask a model about the first events of recordings.

    Args:
        model: The model.
        loader: Batches of `Prefixes` with the same steps.
        steps: Numbers of events, rising.
    """
    device = next(model.parameters()).device
    recordings, results = [], []
    for inputs, asked in loader:
        output = model.head(model.backbone(inputs.to(device))).float().cpu()
        if isinstance(model.head, DetectionHead):
            answers: list[Any] = model.head.detections(output, model.classes, SCORE_THRESHOLD)
        else:
            answers = [model.result(logits) for logits in output.numpy()]
        for recording in asked:
            recordings.append(recording)
            results.append(answers[: len(recording.seen)])
            answers = answers[len(recording.seen) :]

    longest = max(recording.length for recording in recordings)
    events = [*(step for step in steps if step < longest), longest]
    seen, scores = [], []
    for at in range(len(events)):
        answered = [of_one[min(at, len(of_one) - 1)] for of_one in results]
        scores.append(_scores(model, answered, [recording.target for recording in recordings]))
        seen.append(float(np.mean([recording.seen[min(at, len(recording.seen) - 1)] for recording in recordings])))
    whole = [float(np.mean([recording.length <= count for recording in recordings])) for count in events]
    return Curve(events, seen, whole, {name: [measured[name] for measured in scores] for name in scores[0]})


def loader_of(prefixes: Prefixes, batch_size: int, num_workers: int) -> DataLoader[Any]:
    """Batches of about as many values as samples are asked for, for a recording has several."""
    several = max(batch_size // 8, 1)
    return DataLoader(prefixes, batch_size=several, num_workers=num_workers, collate_fn=prefixes.collate)


def _scores(model: EventModel, answers: list[Any], targets: list[Any]) -> dict[str, float]:
    if not isinstance(model.head, DetectionHead):
        return {"accuracy": float(np.mean([answer.class_id == target for answer, target in zip(answers, targets, strict=True)]))}
    precision = COCOAveragePrecision(model.classes)
    precision.update(answers, targets)
    numbers = precision.compute()
    return {name: float(numbers[name]) for name in ("AP50", "mAP")}
