"""eventzoo test --model: measure a saved model, and compare a model of the zoo with its card."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eventzoo.commands import evaluating, tables
from eventzoo.errors import EventZooError
from eventzoo.zoo import ModelCard, card

if TYPE_CHECKING:  # torch takes a second, which --help need not wait for
    from eventzoo.data.datamodule import EventDataModule
    from eventzoo.model import EventModel

TOLERANCE = 0.0051
"""What another machine's rounding may change: the answer to one of two hundred recordings."""


def run(args: list[str]) -> None:
    """Measure, print, and compare.

    Raises:
        EventZooError: The numbers are not those of the model's card, or there is nothing to measure on.
    """
    given, rest = _parser().parse_known_args(args)
    described = None if ":" in given.model else card(given.model)
    if given.config is None and described is None:
        raise EventZooError(f"{given.model} does not say what to measure it on: give --config RECIPE")
    own = described if described is not None and given.config in (None, described.config, Path(described.config).stem) else None
    if own is not None:
        given.config = own.config
        rest = [f"--data.dataset.{name}={value}" for name, value in (own.weights.data if own.weights else {}).items()] + rest
    measured = own.measured if own else ()
    splits = [given.split] if given.split else list(dict.fromkeys(metric.split for metric in measured)) or ["test"]
    model, data = evaluating.model_and_data(given, rest)
    different = [line for split in splits for line in _compared(model, data, split, given.model, own)]
    if different:
        raise EventZooError("; ".join(different))


def _parser() -> argparse.ArgumentParser:
    parser = evaluating.parser_of(
        "test",
        "Measure a saved model on a split of a recipe's data. A model of the zoo is measured on what its card names, unless told "
        "otherwise, and compared with the card; numbers that differ are an error. With --ckpt_path instead of --model, `eventzoo test` "
        "takes a training's checkpoint, and writes a report: see `eventzoo test --help`.",
        "eventzoo test --model aegnn-shapes",
        recipe_required=False,
    )
    parser.add_argument("--split", choices=("val", "test"), help="default: those of the model's card, else test")
    return parser


def _compared(model: "EventModel", data: "EventDataModule", split: str, name: str, described: ModelCard | None) -> list[str]:
    """Measure on a split and print; what the card has otherwise."""
    numbers, count = _measured(model, data, split)
    expected = {metric.name: metric.value for metric in described.measured if metric.split == split} if described else {}
    rows = [
        (metric, "—" if value is None else f"{value:.4f}", f"{expected[metric]:.4f}" if metric in expected else "")
        for metric, value in numbers.items()
    ]
    columns = ("metric", "measured", "card")
    title = f"{name} on {count:,} recordings of {type(data.dataset).__name__}, split {split}"
    tables.show(title, columns if expected else columns[:2], rows if expected else [row[:2] for row in rows])
    different = []
    for metric, value in expected.items():
        if (found := numbers.get(metric)) is None:
            different.append(f"{metric} on split {split}, which the card of {name} has, is not measured: there is {', '.join(numbers)}")
        elif not abs(found - value) <= TOLERANCE:  # a NaN is not at most anything
            different.append(f"{metric} on split {split} is {found}, not the {value} of the card of {name}")
    return different


def _measured(model: "EventModel", data: "EventDataModule", split: str) -> tuple[dict[str, float | None], int]:
    """The metrics of a model on a split, as a test's report has them, and the number of recordings."""
    import torch

    from eventzoo.evaluation.report import of_classification, of_detection
    from eventzoo.tasks.detection import SCORE_THRESHOLD
    from eventzoo.tasks.heads import DetectionHead
    from eventzoo.tasks.results import Result, Scored

    head, device, scored = model.head, next(model.parameters()).device, []
    loader = data.val_dataloader() if split == "val" else data.test_dataloader()
    with torch.inference_mode():
        for batch in evaluating.followed(loader, len(loader), f"split {split}"):
            output = head(model.backbone(batch.inputs.to(device)))
            results: list[Result]
            if isinstance(head, DetectionHead):
                results = list(head.detections(output, model.classes, SCORE_THRESHOLD))
            else:
                results = [model.result(logits) for logits in output.float().cpu().numpy()]
            targets = batch.targets.tolist() if isinstance(batch.targets, torch.Tensor) else batch.targets
            scored += [Scored(*sample) for sample in zip(batch.keys, targets, results, strict=True)]
    if isinstance(head, DetectionHead):
        findings = of_detection(scored, model.classes, head, "pycocotools")
    else:
        findings = of_classification(scored, model.classes)
    return findings.numbers["metrics"], len(scored)
