"""asynet's trained weights."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

import eventzoo
from eventzoo.data.transforms import WindowByCount
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead, Head, YOLOHead
from eventzoo.zoo.checkpoints.importing import Imported, classes_of, fill, missing, published, reorder, silence, weight, weights_of

_NETWORK = "asynet"

_OUTPUTS = {2: "NCars", 101: "NCaltech101", 576: "Gen1", 3885: "NCaltech101"}
"""The dataset, by the number of outputs."""

_COUNT = {"NCars": 25_000, "NCaltech101": 50_000, "Gen1": 25_000}
"""Events of a recording; of N-Caltech101's detector 25,000."""

_MAP_SIZE = {"Gen1": (287, 223)}
"""Where it is not the sensor's nearest."""

_LAYER = re.compile(r"(?:sparseModel|conv_layers)((?:\.\d+){1,2})\.(\w+)", re.ASCII)


def import_asynet(
    source: str | Path | Mapping[str, Tensor],
    dataset: str | None = None,
    classes: Sequence[str] | None = None,
    sensor_size: tuple[int, int] | None = None,
    count: int | None = None,
    map_size: tuple[int, int] | None = None,
) -> Imported:
    """A model of the weights of upstream's sparse or dense VGG, of any number of layers.

    Of a detector, the backbone is imported, to begin a training with: what its head says of a box is bounded and laid out otherwise than
    in our `YOLOHead`. Networks of 30 channels are given upstream's queues of events, those of two its histograms.

    Args:
        source: Upstream's `state_dict`, or the file of a checkpoint, from which nothing is executed.
        dataset: `NCars`, `NCaltech101` or `Gen1`, whose classes and published settings are those that are not given. Default: the one
            that the number of outputs is published for, if any.
        classes: Names of the answers in the order of the network's. Default: of N-Cars, for which the answers are put in our order.
        sensor_size: `(width, height)` in pixels of the recordings that it was trained on.
        count: The model looks at so many events, the last ones. Default: the dataset's, or else all.
        map_size: `(width, height)` that an image is brought to. Default: Gen1's, or else the sensor's nearest.

    Raises:
        EventZooError: The file cannot be read, or the weights are none of asynet's, are incomplete or too many, or do not say what a
            missing argument would.
    """
    state, read = weights_of(source, "")
    layers, sparse = _layers(state), any(name.startswith("sparseModel.") for name in state)
    detector = "linear.weight" not in state and "linear_2.weight" in state
    outputs = len(weight(state, "linear_2.weight" if detector else "linear.weight", _NETWORK, dim=2))
    dataset = dataset or _OUTPUTS.get(outputs)
    known, notes = published(dataset, [*_COUNT]), list(read)
    turned = dataset == "NCars" and classes is None
    if known is not None and dataset is not None:
        classes, sensor_size = classes or classes_of(known, detector), sensor_size or known.sensor_size
        count, map_size = count or (25_000 if detector else _COUNT[dataset]), map_size or _MAP_SIZE.get(dataset)
        notes.append(f"taken for a network for {dataset}: the model looks at the last {count:,} events, there the first in validation")
    if classes is None or sensor_size is None:
        raise missing(classes=classes, sensor_size=sensor_size)
    if not detector and outputs != len(classes):
        raise EventZooError(f"these weights give {outputs} answers, not the {len(classes)} of classes")

    in_channels, stages, out_channels = _sizes(layers, sparse)
    kind = eventzoo.backbones.SparseVGG if sparse else eventzoo.backbones.DenseVGG
    backbone = kind(sensor_size, in_channels, stages, out_channels, map_size)
    ours = list(dict.fromkeys(name.rpartition(".")[0] for name in backbone.state_dict()))
    theirs = dict(zip(ours, [*layers, *[""] * len(ours)], strict=False))
    names = {name: f"{theirs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}" for name in backbone.state_dict()}
    body = {name: tensor for name, tensor in state.items() if not name.startswith("linear")}
    if sparse:  # SparseConvNet does not count batches
        body |= {name: torch.tensor(0) for name in names.values() if name.endswith(".num_batches_tracked")}
    fill(backbone, body, names, _NETWORK, _converted if sparse else lambda _, tensor: tensor)
    head: Head
    if detector:
        head = YOLOHead(num_boxes=2, grid=backbone.out_size).connect(backbone, len(classes))
        silence(head)
        notes.append("linear_1 and linear_2 were left out, as YOLOHead locates boxes otherwise: it finds none until it is trained")
    else:
        head = ClassificationHead().connect(backbone, outputs)
        linear = {name: tensor for name, tensor in state.items() if name.startswith("linear")}
        fill(head, linear, {name: name for name in head.state_dict()}, _NETWORK)
        if turned:
            reorder(head.linear, [1, 0])
            notes.append("the answers were put from upstream's order, no car and car, into that of NCars' classes")
    transforms = [] if count is None else [WindowByCount(count)]
    represent = eventzoo.representations
    image = represent.Histogram() if in_channels == 2 else represent.EventQueue(in_channels // 2, absolute_time=True)
    if image.channels != in_channels:
        raise EventZooError(f"these weights are for images of {in_channels} channels, which are neither a histogram's nor a queue's")
    model = EventModel(image, backbone, head, classes, sensor_size, transforms)
    return Imported(model, f"{'sparse' if sparse else 'dense'} VGG of {sum(map(len, stages)) + 1} convolutions", tuple(notes))


def _layers(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of the weights of each layer of the backbone by the layer's name, in order."""
    found = {}
    for name, tensor in state.items():
        match = _LAYER.fullmatch(name)
        if match and match[2] == "weight":
            found[tuple(map(int, match[1][1:].split(".")))] = name.rpartition(".")[0], tuple(tensor.shape)
    return {name: shape for _, (name, shape) in sorted(found.items())}


def _sizes(layers: Mapping[str, tuple[int, ...]], sparse: bool) -> tuple[int, tuple[tuple[int, ...], ...], int]:
    """Input channels, output channels of each stage, and those of the last convolution; pooling, between stages, has a number too."""
    convs = [(int(name.split(".")[1]), shape if sparse else shape[::-1]) for name, shape in layers.items() if len(shape) == 4]
    if len(convs) < 2:
        raise EventZooError(f"the weights are not those of an {_NETWORK} that is known; convolutions among them: {len(convs)}")
    in_place = 2 if sparse else 0  # from one convolution of a stage to the next: there a norm, here in a block of both
    stages: list[list[int]] = []
    before = None
    for number, shape in convs[:-1]:
        if before is None or number - before > in_place:
            stages.append([])
        stages[-1].append(shape[3])
        before = number
    return convs[0][1][2], tuple(map(tuple, stages)), convs[-1][1][3]


def _converted(_: str, tensor: Tensor) -> Tensor:
    """SparseConvNet's `[taps, groups, in, out]`, taps in rows, as torch's `[out, in, 3, 3]`."""
    return tensor[:, 0].permute(2, 1, 0).reshape(*tensor.shape[:1:-1], 3, 3) if tensor.dim() == 4 else tensor
