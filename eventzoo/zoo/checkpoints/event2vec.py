"""Event2Vec's published weights."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

import eventzoo
from eventzoo.data.transforms import EvenSubsample
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.zoo.checkpoints.importing import Imported, fill, reorder, silence, weight, weights_of

Generation = Literal["v1", "v2", "v3"]

_NETWORK = "Event2Vec"

_ANSWERS = {24: "ASLDVS", 11: "DVSGesture"}
"""The dataset, by the number of answers."""

_EVENTS = {"ASLDVS": {"v1": 255, "v2": 512, "v3": 1024}, "DVSGesture": {"v2": 8192, "v3": 4096}}
"""Events of a recording that the networks were trained with."""

_LONGEST = {"ASLDVS": 521_217, "DVSGesture": 18_456_845}
"""Microseconds of the longest recording, which are the unit of the first version's times."""

_NAMES_V1 = {
    "backbone.spatial.rows.table.": "embed.embed.embed_y.",
    "backbone.spatial.columns.table.": "embed.embed.embed_x.",
    "backbone.spatial.rows.weights": "embed.c_y",
    "backbone.spatial.columns.weights": "embed.c_x",
    "backbone.stages.0.class_token": "class_token",
    "backbone.stages.0.": "encoder.",
    "head.linear.": "head.",
}
"""Parts of our weights' names, and what stands there in upstream's."""

_NAMES = {
    "backbone.": "",
    "head.linear.": "heads.",
    "spatial.layers.": "embed_net.embed.",
    **{f"temporal.convs.{number}.": f"tpe.conv.{theirs}." for number, theirs in enumerate((0, 5, 10))},
    **{f"temporal.norms.{number}.": f"tpe.conv.{theirs}." for number, theirs in enumerate((2, 7, 12))},
    "stages.": "backbone_net.",
    ".attention.": ".attention.attention.",
    ".query.": ".q_proj.",
    ".key.": ".k_proj.",
    ".value.": ".v_proj.",
    ".output.": ".o_proj.",
    ".gate.": ".g_proj.",
    ".decay.": ".gk_proj.",
    ".norm_weight": ".g_norm_swish_gate.weight",
    ".forget.": ".f_proj.",
    ".query_norm": ".q_norm.weight",
    ".key_norm": ".k_norm.weight",
    ".widen.": ".ffn.linear1.",
    ".narrow.": ".ffn.linear2.",
}
"""The same in the second and third version."""


def import_event2vec(
    source: str | Path | Mapping[str, Tensor],
    classes: Sequence[str] | None = None,
    sensor_size: tuple[int, int] | None = None,
    count: int | None = None,
    heads: int = 16,
    dilation: int = 1,
    time_scale: int | None = None,
) -> Imported:
    """A model of upstream's weights, whose version and sizes are told by their names and shapes.

    Networks for DVS128 Gesture answer in the order of the classes' numbers as text (0, 1, 10, 2, …); here, the answers are in the order of
    our `DVSGesture`. Those for ASL-DVS saw the recordings upright, as our `ASLDVS` yields them. What upstream computes otherwise, on
    purpose, is said in the layers. Of the first version, the embedding that was its default is known, neighbours in tables of rows and of
    columns, and times that are added as they are. Networks of the third that were trained on clusters of events are given events here.

    Args:
        source: Upstream's `state_dict`, or the file of a checkpoint, from which nothing is executed.
        classes: Names of the answers in the order of the network's. Default: those of ASL-DVS for 24, of DVS128 Gesture for 11.
        sensor_size: `(width, height)` in pixels of the recordings that it was trained on. Default: those datasets'.
        count: Events that a recording is reduced to, evenly; upstream draws them at random. Default: what it was trained with.
        heads: Heads of a layer, of the first version.
        dilation: Cells from one neighbour to the next, of the first version.
        time_scale: Microseconds that count as 1, of the first version. Default: the longest recording of those datasets.

    Raises:
        EventZooError: The file cannot be read, or the weights are none of Event2Vec's, are incomplete or too many, or do not say what a
            missing argument would.
    """
    state, read = weights_of(source, "classifier.")
    generation, notes = _generation(state), list(read)
    pretraining = [name for name in state if name == "mask_token" or re.match(r"heads\.\d", name)]
    answers = None if pretraining else len(weight(state, "head.weight" if generation == "v1" else "heads.weight", _NETWORK))
    dataset = None if classes is not None or answers is None else _ANSWERS.get(answers)
    if dataset is not None:
        known = getattr(eventzoo.datasets, dataset)
        classes, sensor_size = known.classes, sensor_size or known.sensor_size
        count, time_scale = count or _EVENTS[dataset].get(generation), time_scale or _LONGEST[dataset]
    needed = {"classes": classes, "sensor_size": sensor_size, "count": count}
    if generation == "v1":
        needed["time_scale"] = time_scale
    if classes is None or sensor_size is None or count is None or None in needed.values():
        unknown = ", ".join(name for name, value in needed.items() if value is None)
        raise EventZooError(f"these weights do not tell which dataset they are for; missing arguments: {unknown}")
    if answers not in (None, len(classes)):
        raise EventZooError(f"these weights give {answers} answers, not the {len(classes)} of classes")

    if generation == "v1":
        settings = _settings_v1(state) | {"heads": heads, "dilation": dilation, "time_scale": time_scale}
        notes.append("the tables' first rows, which stood for padding, were left out")
    else:
        settings = _settings(state, generation)
    if generation == "v2":
        notes.append(
            "in upstream's training, a recording's backward direction had the gates of another recording of its batch; here, its own: "
            "measure the accuracy, as what was published may not hold"
        )
    backbone = eventzoo.backbones.Event2Vec(sensor_size, **settings)
    head = ClassificationHead().connect(backbone, len(classes))
    model = EventModel(eventzoo.representations.EventTokens(), backbone, head, classes, sensor_size, [EvenSubsample(count)])
    if pretraining:
        silence(head)
        state = {name: tensor for name, tensor in state.items() if name not in pretraining}
        state |= {f"heads.{name}": tensor for name, tensor in head.linear.named_parameters()}
        notes.append(
            f"the pre-training's own parts were left out: {', '.join(pretraining)}; all answers are zero until the head is trained"
        )
    fill(model, state, _renaming(state, model.state_dict(), generation), _NETWORK, _converted)
    if dataset == "DVSGesture":
        reorder(head.linear, _order(len(classes)))
        notes.append("the answers were put from the order of the classes' numbers as text into that of DVSGesture's classes")
    return Imported(model, generation, tuple(notes))


def _generation(state: Mapping[str, Tensor]) -> Generation:
    signs: dict[Generation, str] = {"v1": "encoder.", "v2": ".gk_proj.", "v3": ".f_proj."}
    for generation, sign in signs.items():
        if any(sign in name for name in state):
            return generation
    raise EventZooError(f"these are no weights of Event2Vec: no name has one of {', '.join(signs.values())} in it")


def _settings_v1(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The backbone's arguments that a first version's weights tell."""
    numbers = [int(match[1]) for name in state if (match := re.match(r"encoder\.layers\.(\d+)\.", name))]
    rows, columns = (weight(state, f"embed.embed.embed_{axis}.weight", _NETWORK, dim=2) for axis in "yx")
    return {
        "dim": rows.shape[1] + columns.shape[1],
        "feedforward": len(weight(state, "encoder.layers.0.linear1.weight", _NETWORK)),
        "layers": (1 + max(numbers),),
        "attention": "softmax",
        "spatial": "tables",
        "grid": (len(columns) // 2, len(rows) // 2),
        "neighbours": len(weight(state, "embed.c_y", _NETWORK)) // 2,
        "cells": "rounded",
        "temporal": "time",
    }


def _settings(state: Mapping[str, Tensor], generation: Generation) -> dict[str, Any]:
    """The backbone's arguments of a second or third version."""
    found = {(match[1], match[2]) for name in state if (match := re.match(r"backbone_net\.(\d+\.)?layers\.(\d+)\.", name))}
    layers = Counter(stage for stage, _ in found)
    stages = sorted(layers, key=lambda stage: int((stage or "0").rstrip(".")))
    first = f"backbone_net.{(stages or [None])[0] or ''}layers.0"
    settings: dict[str, Any] = {
        "dim": len(weight(state, "embed_net.embed.6.weight", _NETWORK)),
        "feedforward": len(weight(state, f"{first}.ffn.linear1.weight", _NETWORK)),
        "layers": tuple(layers[stage] for stage in stages),
    }
    if generation == "v3":
        heads = len(weight(state, f"{first}.attention.attention.f_proj.weight", _NETWORK))
        return settings | {"attention": "forgetting", "heads": heads, "halving": "after" if stages != [None] else None}
    inner = len(weight(state, f"{first}.attention.attention.q_proj.weight", _NETWORK))
    heads = inner // len(weight(state, f"{first}.attention.attention.g_norm_swish_gate.weight", _NETWORK))
    return settings | {"inner": inner, "heads": heads, "halving": "before" if len(stages) > 1 else None}


def _renaming(state: Mapping[str, Tensor], ours: Mapping[str, Tensor], generation: Generation) -> dict[str, str]:
    """Upstream's name of each of our weights."""
    one_stage = any(name.startswith("backbone_net.layers.") for name in state)
    return {name: _theirs(name, generation, one_stage) for name in ours}


def _converted(name: str, tensor: Tensor) -> Tensor:
    """What we have instead of a weight of upstream's: tables without the first row, vectors without axes of one."""
    if name.endswith(".table.weight"):
        return tensor[1:]
    return tensor.flatten() if name.endswith((".class_token", ".rows.weights", ".columns.weights")) else tensor


def _theirs(name: str, generation: Generation, one_stage: bool) -> str:
    """The name that upstream has for a weight of ours."""
    for own, theirs in (_NAMES_V1 if generation == "v1" else _NAMES).items():
        name = name.replace(own, theirs)
    return name.replace("backbone_net.0.", "backbone_net.") if one_stage else name


def _order(gestures: int) -> list[int]:
    """Where, in the order of the classes' numbers as text, the classes are."""
    upstream = sorted(range(gestures), key=str)
    return [upstream.index(gesture) for gesture in range(gestures)]
