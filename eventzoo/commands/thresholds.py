"""eventzoo thresholds: choose the settings of a detector's head by the validation split."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eventzoo.commands import evaluating, tables
from eventzoo.errors import EventZooError

if TYPE_CHECKING:
    from eventzoo.evaluation.thresholds import Trial


def run(args: list[str]) -> None:
    """Search, print what was found, and save the model with it.

    Raises:
        EventZooError: The model is no detector, or there is nothing to find.
    """
    import torch

    from eventzoo.evaluation.thresholds import SCORE_THRESHOLDS, best, search, with_settings
    from eventzoo.tasks.heads import DetectionHead

    given, rest = _parser().parse_known_args(args)
    if given.save is not None and given.save.exists():
        raise EventZooError(f"{given.save} exists already; save to another folder, or remove it first")
    model, data = evaluating.model_and_data(given, rest)
    if not isinstance(model.head, DetectionHead):
        raise EventZooError(f"{given.model} names what a recording shows and finds no boxes: there are no thresholds to choose")
    loader, device = data.val_dataloader(), next(model.parameters()).device
    outputs, boxes = [], []
    with torch.inference_mode():
        for batch in evaluating.followed(loader, len(loader), "validation split"):
            outputs.append(model.head(model.backbone(batch.inputs.to(device))).float().cpu())
            boxes += batch.targets
    trials = search(model.head, outputs, boxes, model.classes)
    chosen = best(trials)
    _show(trials, chosen, SCORE_THRESHOLDS, f"{len(boxes):,} recordings of {type(data.dataset).__name__}'s validation split")
    score_threshold = SCORE_THRESHOLDS[chosen.best]
    print(f"\nbest F1 on the validation split: nms_iou {chosen.nms_iou:g} and score_threshold {score_threshold:g}")
    print(f"the model has:                   nms_iou {model.head.nms_iou:g} and score_threshold {model.head.score_threshold:g}")
    if given.save is not None:
        saved = with_settings(model.cpu(), score_threshold, chosen.nms_iou).save(given.save)
        print(f"model: {saved}")


def _parser() -> argparse.ArgumentParser:
    parser = evaluating.parser_of(
        "thresholds",
        "Choose two settings of a detector's head by the validation split: nms_iou, the overlap from which of two boxes of a class the one "
        "of the lower score is dropped, and score_threshold, the least score of a box: the pair with the highest F1 at an IoU of 0.5. The "
        "network is run once over the split; the test split is not looked at.",
        "eventzoo thresholds --model local-dir:runs/aegnn_shapes_detection/version_0/model --config aegnn_shapes_detection --save tuned",
    )
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the model with the settings that were chosen")
    return parser


def _show(trials: "Sequence[Trial]", chosen: "Trial", score_thresholds: Sequence[float], what: str) -> None:
    rows = []
    for trial in trials:
        counts, least = trial.counts[trial.best], score_thresholds[trial.best]
        marked = f"{trial.nms_iou:.1f}{' *' if trial is chosen else ''}"
        rows.append((marked, *_decimals(trial.mean_precision, trial.precision50, counts.f1), f"{least:.2f}"))
    tables.show(f"By nms_iou, {what}", ("nms_iou", "mAP", "AP50", "best F1", "at score_threshold"), rows)
    print()
    rows = []
    for least, counts in zip(score_thresholds, chosen.counts, strict=True):
        marked = f"{least:.2f}{' *' if counts is chosen.counts[chosen.best] else ''}"
        rows.append((marked, *_decimals(counts.precision, counts.recall, counts.f1), f"{counts.found:,}"))
    title = f"By score_threshold at nms_iou {chosen.nms_iou:g}: {chosen.counts[0].true:,} boxes, found at an IoU of 0.5"
    tables.show(title, ("score_threshold", "precision", "recall", "F1", "boxes"), rows)


def _decimals(*numbers: float) -> tuple[str, ...]:
    return tuple(f"{number:.4f}" for number in numbers)
