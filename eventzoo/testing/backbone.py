"""Whether a backbone is what tasks, heads and saved models take it for."""

import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from eventzoo import representations
from eventzoo.data.representation import Representation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.nn.backbone import Backbone, Kind
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.testing.promises import no_error, rebuilt, require

CLASSES = ("a", "b", "c")


def check_backbone(backbone: Backbone, representation: Representation[Any], events: Events, tolerance: float = 1e-4) -> None:
    """Check that a backbone keeps the promises of `Backbone`.

    - It takes representations of the kind that it `accepts`, and refuses all others with an `EventZooError`.
    - Features of a batch are finite float32, `[B, out_channels, height, width]` with its `out_size`, or `[B, out_channels]` without;
      of recordings without events and of one event, too, in evaluation and in training.
    - In evaluation, they are the same each time, whatever it was given in between, and leave parameters and buffers as they are. Those of a
      recording do not depend on the others in the batch.
    - In training, a loss has a finite gradient for every parameter that requires one. It stays in the mode that it was put in.
    - `no_weight_decay` names parameters. Made from its specification it has the same parameters; saved as part of an `EventModel` and
      loaded, it gives the same answers.

    Args:
        backbone: A small backbone, whose statistics and gradients are changed.
        representation: A representation that it takes.
        events: A recording of its sensor, of a few hundred events.
        tolerance: Largest difference between a recording's features by itself and in a batch, as a share of the largest feature.

    Raises:
        AssertionError: A promise is broken. It says which.
    """
    name = type(backbone).__name__
    require(isinstance(backbone, Backbone), f"{name} is no Backbone")
    _check_kinds(backbone, name, representation)
    recordings = [events, events[:0], events[: len(events) // 2], events[:1]]
    _check_training(backbone, name, representation, recordings)  # first, so that statistics are those of a trained network
    _check_evaluation(backbone, name, representation, recordings, tolerance)
    with no_error(f"{name}.no_weight_decay fails"):
        unknown = sorted(backbone.no_weight_decay() - {parameter for parameter, _ in backbone.named_parameters()})
    require(not unknown, f"{name}.no_weight_decay names {unknown}, which are none of its parameters")
    _check_saved(backbone, name, representation, events)


def _check_kinds(backbone: Backbone, name: str, representation: Representation[Any]) -> None:
    """Which representations it takes."""
    accepts = getattr(backbone, "accepts", None)
    require(accepts in get_args(Kind), f"{name}.accepts must be one of {', '.join(get_args(Kind))}, not {accepts!r}")
    with no_error(f"{name} does not take {type(representation).__name__}"):
        backbone.check_representation(representation)
    others: dict[Kind, Representation[Any]] = {
        "frames": representations.FrameSequence(step=1000),
        "graph": representations.EventGraph(),
        "image": representations.Histogram(),
        "stream": representations.EventStream(),
        "tokens": representations.EventTokens(),
    }
    for kind, other in others.items():
        if kind == accepts:
            continue
        try:
            backbone.check_representation(other)
        except EventZooError:
            continue
        except Exception as error:
            raise AssertionError(f"{name} must refuse {kind} with an EventZooError, not {type(error).__name__}: {error}") from error
        raise AssertionError(f"{name} accepts {accepts} and does not refuse {type(other).__name__}, which yields {kind}")


def _batch(representation: Representation[Any], recordings: list[Events]) -> Any:
    return representation.collate([representation(recording) for recording in recordings])


def _features(backbone: Backbone, name: str, representation: Representation[Any], recordings: list[Events]) -> Tensor:
    """Features of a batch, of the shape and type that is promised."""
    mode = backbone.training
    doing = "training" if mode else "evaluation"
    with no_error(f"{name} fails in {doing} on recordings of {', '.join(str(len(events)) for events in recordings)} events"):
        features: Tensor = backbone(_batch(representation, recordings))
    require(backbone.training == mode, f"{name} leaves {doing} by itself, when it is called")
    width, height = backbone.out_size or (None, None)
    shape = [len(recordings), backbone.out_channels, *([height, width] if backbone.out_size else [])]
    said = f"with out_channels {backbone.out_channels} and out_size {backbone.out_size}"
    found = f"{features.dtype} {list(features.shape)}"
    require(
        list(features.shape) == shape and features.dtype == torch.float32, f"{name}: features must be float32 {shape}, {said}, not {found}"
    )
    finite = features.isfinite().flatten(1).all(1).tolist()
    wrong = [len(events) for events, fine in zip(recordings, finite, strict=True) if not fine]
    require(not wrong, f"{name}: in {doing}, features of recordings of {wrong} events are not finite")
    return features


def _check_training(backbone: Backbone, name: str, representation: Representation[Any], recordings: list[Events]) -> None:
    """Gradients."""
    backbone.train()
    backbone.zero_grad()
    features = _features(backbone, name, representation, recordings)
    weights = torch.rand(features.shape, generator=torch.Generator().manual_seed(0))  # of a plain sum, a norm's gradients are zero
    with no_error(f"{name}: there is no gradient of its features"):
        (features * weights).sum().backward()  # type: ignore[no-untyped-call]  # torch's
    for parameter, value in backbone.named_parameters():
        if value.requires_grad:
            require(value.grad is not None, f"{name}: no gradient reaches {parameter}; what is not trained must not require one")
            finite = value.grad is not None and bool(value.grad.isfinite().all())
            require(finite, f"{name}: the gradient of {parameter} is not finite")
    backbone.zero_grad()


@torch.inference_mode()
def _check_evaluation(
    backbone: Backbone, name: str, representation: Representation[Any], recordings: list[Events], tolerance: float
) -> None:
    """What must not make a difference."""
    backbone.eval()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    features = _features(backbone, name, representation, recordings)
    bound = tolerance * float(features.abs().max())
    for number, events in enumerate(recordings):
        alone = _features(backbone, name, representation, [events])[0]
        difference = float((alone - features[number]).abs().max())
        require(
            difference <= bound,
            f"{name}: features of a recording of {len(events)} events differ by {difference:.3g} by itself and in a batch, "
            f"where {bound:.3g} is allowed: they must not depend on other recordings",
        )
    again = _features(backbone, name, representation, recordings)
    require(torch.equal(again, features), f"{name}: in evaluation, features of the same batch differ from one call to the next")
    changed = [key for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])]
    require(not changed, f"{name} changes {', '.join(changed)} in evaluation")


def _check_saved(backbone: Backbone, name: str, representation: Representation[Any], events: Events) -> None:
    """Made anew, and saved and loaded as part of a model."""
    again = rebuilt(backbone, Backbone)
    shapes, found = ({key: tuple(value.shape) for key, value in part.state_dict().items()} for part in (backbone, again))
    require(shapes == found, f"{name}, made anew from its specification, has other parameters: {dict(shapes.items() ^ found.items())}")
    head = ClassificationHead().connect(backbone, len(CLASSES))
    model = EventModel(representation, backbone, head, CLASSES, events.sensor_size)
    with no_error(f"{name} cannot be saved and loaded as part of a model"), tempfile.TemporaryDirectory() as folder:
        loaded = EventModel.from_folder(model.save(Path(folder) / "model"))
    same = np.array_equal(loaded.output(events), model.output(events))
    require(same, f"{name}: a model with it gives other answers after it was saved and loaded")
