"""AEGNN's trained weights."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead, Head, YOLOHead
from eventzoo.zoo.checkpoints.importing import Imported, classes_of, fill, missing, published, silence, weight, weights_of

_NETWORK = "AEGNN"

_GRID = (8, 6)
"""Cells of a detector, which finds a box in each."""

_SIZES = {(2, 2): "NCars", (8, 101): "NCaltech101", (8, 336): "Gen1", (8, 5088): "NCaltech101"}
"""The dataset, by kernel points of an axis and number of outputs."""

_RADIUS = {"NCars": 3.0, "NCaltech101": 5.0, "Gen1": 3.0}

_TIME_SCALE = {"NCaltech101": 0.5e-11}
"""Where it is not the published one: there, the code gives seconds to what is meant for microseconds."""

_SAW = {
    "NCars": "10,000 events of a recording, drawn at random",
    "NCaltech101": "25,000 of the first half of a recording's events, drawn at random, practically without their times",
    "Gen1": "25,000 events, drawn at random, of the 100 ms before a label and the 300 ms after it",
}


def import_aegnn(
    source: str | Path | Mapping[str, Tensor],
    dataset: str | None = None,
    classes: Sequence[str] | None = None,
    sensor_size: tuple[int, int] | None = None,
    radius: float | None = None,
    time_scale: float | None = None,
    pool_size: tuple[int, int] = (16, 12),
    coarse_scale: float | None = None,
    max_neighbors: int | None = None,
) -> Imported:
    """A model of the weights of upstream's `graph_res`, of any sizes, in the form of any version of torch-geometric.

    Of a detector, the backbone is imported, to begin a training with: its boxes are located by another corner and bounded otherwise than
    those of our `YOLOHead`. What upstream computes otherwise, on purpose, is said in `AEGNN` and `EventGraph`.

    Args:
        source: Upstream's `state_dict`, or the file of a checkpoint, from which nothing is executed.
        dataset: `NCars`, `NCaltech101` or `Gen1`, whose classes and published settings are those that are not given. Default: the one
            that the sizes of the weights are published for, if any.
        classes: Names of the answers in the order of the network's.
        sensor_size: `(width, height)` in pixels of the recordings that it was trained on.
        radius: Largest distance of neighbours, exclusive, in pixels.
        time_scale: Pixels a microsecond. Default: the dataset's, or else the published 0.5e-5.
        pool_size: `(width, height)` of a voxel of the coarse graph, in pixels.
        coarse_scale: Offset between coarse nodes that maps to the kernel's end, in pixels; upstream takes the largest of a batch. Default:
            twice the larger side of a voxel.
        max_neighbors: Most earlier neighbours of an event. Default: all, of which upstream keeps some at random.

    Raises:
        EventZooError: The file cannot be read, or the weights are none of AEGNN's, are incomplete or too many, or do not say what a
            missing argument would.
    """
    state, read = weights_of(source, "model.")
    state = _with_lin(state)
    outputs, kernel_size = len(weight(state, "fc.weight", _NETWORK, dim=2)), _kernel(state)[0]
    dataset = dataset or _SIZES.get((kernel_size, outputs))
    known, notes = published(dataset, [*_RADIUS]), [*read, "left out, as settings of ours: each kernel_size and is_open_spline"]
    named = classes if classes is not None or known is None else known.classes
    detector = named is not None and outputs == math.prod(_GRID) * (5 + len(named))  # of each cell a box, its score, and the classes'
    if known is not None and dataset is not None:
        classes, sensor_size = classes or classes_of(known, detector), sensor_size or known.sensor_size
        radius, time_scale = radius or _RADIUS[dataset], _TIME_SCALE.get(dataset) if time_scale is None else time_scale
        notes.append(f"taken for a network for {dataset}; it was trained on {_SAW[dataset]}: the model takes all that it is given")
    if classes is None or sensor_size is None or radius is None:
        raise missing(classes=classes, sensor_size=sensor_size, radius=radius)

    backbone = eventzoo.backbones.AEGNN(sensor_size, pool_size=pool_size, coarse_scale=coarse_scale, **_settings(state))
    buffers = ("kernel_size", "is_open_spline")  # which our layers have as settings
    body = {name: tensor for name, tensor in state.items() if not name.startswith("fc.") and not name.endswith(buffers)}
    fill(backbone, body, {name: name.replace("root.weight", "lin.weight") for name in backbone.state_dict()}, _NETWORK)
    head: Head
    if detector:
        head = YOLOHead(grid=_GRID).connect(backbone, len(classes))
        silence(head)
        notes.append("the last layer, fc, was left out, as YOLOHead locates boxes otherwise: it finds none until it is trained")
    elif outputs == len(classes):
        head = ClassificationHead().connect(backbone, outputs)
        linear = {"fc.bias": state["fc.weight"].new_zeros(outputs)} | {name: state[name] for name in state if name.startswith("fc.")}
        # upstream flattens a cell's channels first, cells in rows; ours flattens the map, channels outermost
        fill(
            head,
            linear,
            {name: name.replace("linear", "fc") for name in head.state_dict()},
            _NETWORK,
            partial(_by_channel, backbone.out_channels),
        )
    else:
        raise EventZooError(f"these weights give {outputs} answers, not the {len(classes)} of classes, nor a detector's for so many")
    notes.append(
        "features of events are ±1 here, and may have been 0 and 1 in the training, neighbours are not dropped at random, and voxels do "
        "not depend on the batch: measure the accuracy, as what the training logged may not hold"
    )
    graph = eventzoo.representations.EventGraph(radius, max_neighbors, 0.5e-5 if time_scale is None else time_scale)
    return Imported(EventModel(graph, backbone, head, classes, sensor_size), "GraphRes", tuple(notes))


def _with_lin(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names since torch-geometric 2.0, which has a node's own as a layer instead of a matrix that is multiplied by."""
    new = dict(state)
    for name in [name for name in state if name.endswith(".root") and state[name].dim() == 2]:
        new[f"{name.removesuffix('.root')}.lin.weight"] = new.pop(name).t()
    return new


def _kernel(state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Kernel points of an axis, and dimensions of the offsets."""
    points, sizes = len(weight(state, "conv1.weight", _NETWORK, dim=3)), weight(state, "conv1.kernel_size", _NETWORK, dim=1).tolist()
    if not sizes or len({*sizes}) != 1 or math.prod(sizes) != points:
        raise EventZooError(f"conv1.kernel_size is {sizes}, which does not go with the {points} points of conv1.weight")
    return sizes[0], len(sizes)


def _settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The backbone's arguments that the weights tell."""
    shapes = [weight(state, f"conv{number}.weight", _NETWORK, dim=3).shape for number in range(1, 8)]
    kernel_size, dim = _kernel(state)
    return {
        "in_channels": shapes[0][1],
        "channels": tuple(shape[2] for shape in shapes),
        "kernel_size": kernel_size,
        "dim": dim,
        "bias": "conv1.bias" in state,
        "root_weight": "conv1.lin.weight" in state,
    }


def _by_channel(channels: int, _: str, tensor: Tensor) -> Tensor:
    """`[out, cells · channels]`, channels fastest, as `[out, channels · cells]`; the bias as it is."""
    return tensor if tensor.dim() == 1 else tensor.view(len(tensor), -1, channels).transpose(1, 2).flatten(1)
