"""Event2Vec's published weights."""

import pickle
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

import eventzoo
from eventzoo.data.transforms import EvenSubsample
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead

Generation = Literal["v2"]

_ANSWERS = {24: "ASLDVS", 11: "DVSGesture"}
"""The dataset, by the number of answers."""

_EVENTS: dict[tuple[str, Generation], int] = {("ASLDVS", "v2"): 512, ("DVSGesture", "v2"): 8192}
"""Events of a recording that a network was trained with."""

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
    ".gate.": ".g_proj.",
    ".decay.": ".gk_proj.",
    ".norm_weight": ".g_norm_swish_gate.weight",
    ".output.": ".o_proj.",
    ".widen.": ".ffn.linear1.",
    ".narrow.": ".ffn.linear2.",
}
"""Parts of our weights' names, and what stands there in upstream's."""


class Imported(NamedTuple):
    """A model with published weights.

    Attributes:
        model: The model.
        generation: Which of upstream's networks it was.
        notes: What was left out or put in another order, in words.
    """

    model: EventModel
    generation: Generation
    notes: tuple[str, ...]


def import_event2vec(
    source: str | Path | Mapping[str, Tensor],
    classes: Sequence[str] | None = None,
    sensor_size: tuple[int, int] | None = None,
    count: int | None = None,
) -> Imported:
    """A model of upstream's weights, whose generation and sizes are told by their names and shapes.

    Networks for DVS128 Gesture answer in the order of the classes' numbers as text (0, 1, 10, 2, …); here, the answers are in the order of
    our `DVSGesture`. Those for ASL-DVS saw the recordings upright, as our `ASLDVS` yields them. What upstream computes otherwise, on
    purpose, is said in the layers.

    Args:
        source: Upstream's `state_dict`, or the file of a checkpoint, from which nothing is executed.
        classes: Names of the answers in the order of the network's. Default: those of ASL-DVS for 24, of DVS128 Gesture for 11.
        sensor_size: `(width, height)` in pixels of the recordings that it was trained on. Default: those datasets'.
        count: Events that a recording is reduced to, evenly; upstream draws them at random. Default: what it was trained with.

    Raises:
        EventZooError: The file cannot be read, or the weights are none of Event2Vec's, are incomplete or too many, or do not say what a
            missing argument would.
    """
    state = _without_prefix(_read(source) if isinstance(source, str | Path) else source)
    generation = _generation(state)
    settings = _settings(state)
    answers = len(_weight(state, "heads.weight"))
    dataset = None if classes is not None else _ANSWERS.get(answers)
    if dataset is not None:
        known = getattr(eventzoo.datasets, dataset)
        classes, sensor_size = known.classes, sensor_size or known.sensor_size
        count = count or _EVENTS[dataset, generation]
    if classes is None or sensor_size is None or count is None:
        raise EventZooError(
            f"these weights give {answers} answers, which tells no dataset: say the classes, sensor_size and count"
        )
    if len(classes) != answers:
        raise EventZooError(f"these weights give {answers} answers, not the {len(classes)} of classes")
    backbone = eventzoo.backbones.Event2Vec(sensor_size, **settings)
    head = ClassificationHead().connect(backbone, len(classes))
    model = EventModel(eventzoo.representations.EventTokens(), backbone, head, classes, sensor_size, [EvenSubsample(count)])
    model.load_state_dict(_renamed(state, model.state_dict()))
    notes = []
    if dataset == "DVSGesture":
        _reorder(head)
        notes.append("the answers were put from the order of the classes' numbers as text into that of DVSGesture's classes")
    return Imported(model, generation, tuple(notes))


def _read(path: str | Path) -> Mapping[str, Any]:
    """The weights in a checkpoint's file."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EventZooError(f"{path} cannot be read as a checkpoint without executing code from it: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise EventZooError(f"{path} holds no weights by name")
    return state


def _without_prefix(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights by their names inside the network, whether or not it was part of a training and compiled."""
    strange = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise EventZooError(f"these are no tensors, as weights are: {', '.join(strange)}; give a state_dict")
    return {str(name).replace("_orig_mod.", "").removeprefix("classifier."): value for name, value in state.items()}


def _generation(state: Mapping[str, Tensor]) -> Generation:
    if any(".gk_proj." in name for name in state):
        return "v2"
    raise EventZooError("these are no weights of Event2Vec: none has the name of a layer of attention of its")


def _settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The backbone's arguments."""
    found = {(int(match[1]), int(match[2])) for name in state if (match := re.match(r"backbone_net\.(\d+)\.layers\.(\d+)\.", name))}
    layers = Counter(stage for stage, _ in found)
    first = "backbone_net.0.layers.0"
    inner = len(_weight(state, f"{first}.attention.attention.q_proj.weight"))
    return {
        "dim": len(_weight(state, "embed_net.embed.6.weight")),
        "feedforward": len(_weight(state, f"{first}.ffn.linear1.weight")),
        "heads": inner // len(_weight(state, f"{first}.attention.attention.g_norm_swish_gate.weight")),
        "inner": inner,
        "layers": tuple(layers[stage] for stage in sorted(layers)),
        "halving": "before" if len(layers) > 1 else None,
    }


def _weight(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise EventZooError(f"the weights are incomplete: {name} is missing")
    return state[name]


def _renamed(state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under our names, all of them and nothing else."""
    names = {name: _theirs(name) for name in ours}
    missing, unknown = sorted({*names.values()} - {*state}), sorted({*state} - {*names.values()})
    if missing or unknown:
        found = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise EventZooError(f"the weights are not those of one of Event2Vec's networks; {'; '.join(found)}")
    for name, theirs in names.items():
        if state[theirs].shape != ours[name].shape:
            found_shape, wanted = tuple(state[theirs].shape), tuple(ours[name].shape)
            raise EventZooError(f"{theirs} is of the shape {found_shape}; with the others' shapes it would have to be {wanted}")
    return {name: state[theirs] for name, theirs in names.items()}


def _theirs(name: str) -> str:
    """The name that upstream has for a weight of ours."""
    for own, theirs in _NAMES.items():
        name = name.replace(own, theirs)
    return name


def _reorder(head: ClassificationHead) -> None:
    """Put answers that are in the order of the classes' numbers as text into that of the numbers."""
    upstream = sorted(range(len(head.linear.bias)), key=str)
    order = torch.tensor(upstream).argsort()
    with torch.no_grad():
        for parameter in head.linear.parameters():
            parameter.copy_(parameter[order])
