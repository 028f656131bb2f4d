"""What the imports of published weights have in common."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eventzoo import registry
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.zoo.checkpoints.reading import Checkpoint, listed, read_state


class Imported(NamedTuple):
    """A model with published weights.

    Attributes:
        model: The model.
        network: Which of upstream's networks it was.
        notes: What was left out or put in another order, and what to know of it, in words.
    """

    model: EventModel
    network: str
    notes: tuple[str, ...]


def weights_of(source: str | Path | Mapping[str, Tensor], prefix: str) -> Checkpoint:
    """Upstream's weights by their names inside the network, whether or not it was part of a training, `prefix`, and compiled.

    Args:
        source: A `state_dict`, or the file of a checkpoint, from which nothing is executed.
        prefix: What the training calls the network, with a dot.

    Raises:
        EventZooError: The file cannot be read, or there are not only tensors.
    """
    state, notes = read_state(source) if isinstance(source, str | Path) else Checkpoint(dict(source), ())
    strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise EventZooError(f"these are no tensors, as weights are: {listed(strange)}; give a state_dict")
    return Checkpoint({str(name).replace("_orig_mod.", "").removeprefix(prefix): tensor for name, tensor in state.items()}, notes)


def weight(state: Mapping[str, Tensor], name: str, network: str, dim: int | None = None) -> Tensor:
    """One of upstream's weights.

    Raises:
        EventZooError: It is missing, has no numbers, or is not of `dim` dimensions.
    """
    found = state.get(name)
    if found is None or found.dim() == 0 or found.numel() == 0 or dim not in (None, found.dim()):
        reason = f"missing: {name}" if found is None else f"{name} is of the shape {tuple(found.shape)}"
        raise EventZooError(f"the weights are not those of an {network} that is known; {reason}")
    return found


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    names: Mapping[str, str],
    network: str,
    converted: Callable[[str, Tensor], Tensor] = lambda _, tensor: tensor,
) -> None:
    """Give a module upstream's weights, all of them and nothing else.

    Args:
        module: Of ours.
        state: Upstream's weights.
        names: Upstream's name of each of the module's weights.
        network: Upstream's name of the network, for the error.
        converted: From our name and upstream's tensor to ours.

    Raises:
        EventZooError: Weights are missing, unknown or of another shape.
    """
    missing, unknown = sorted({*names.values()} - {*state}), sorted({*state} - {*names.values()})
    if missing or unknown:
        found = [f"missing: {listed(missing)}"] * bool(missing) + [f"unknown: {listed(unknown)}"] * bool(unknown)
        raise EventZooError(f"the weights are not those of an {network} that is known; {'; '.join(found)}")
    own, taken = module.state_dict(), {}
    for name, theirs in names.items():
        tensor = state[theirs]
        try:
            taken[name] = converted(name, tensor)
        except (RuntimeError, IndexError):  # the shape has not the dimensions to be converted
            taken[name] = tensor
        if taken[name].shape != own[name].shape:
            raise EventZooError(f"{theirs} is of the shape {tuple(tensor.shape)}, which does not go with the other weights' shapes")
    module.load_state_dict(taken)


@torch.no_grad()
def reorder(linear: nn.Linear, order: Sequence[int]) -> None:
    """Put the answers of a network's last layer into another order: the new first is that of the index `order[0]` now."""
    for parameter in linear.parameters():
        parameter.copy_(parameter[list(order)])


@torch.no_grad()
def silence(head: nn.Module) -> None:
    """Make all weights of a head zero, for which there are none: until it is trained, it says the same of every recording."""
    for parameter in head.parameters():
        parameter.zero_()


def missing(**needed: object) -> EventZooError:
    """The error where weights do not tell what an argument would; those that are None are missing."""
    names = [name for name, value in needed.items() if value is None]
    options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    return EventZooError(
        f"these weights do not tell which dataset they are for; missing arguments: {', '.join(names)} (on the command line {options})"
    )


def published(dataset: str | None, known: Sequence[str]) -> type[Any] | None:
    """The dataset of this name, which upstream published results for.

    Raises:
        EventZooError: It is none of them.
    """
    if dataset is not None and dataset not in known:
        raise EventZooError(f"dataset is one of {', '.join(known)}, not {dataset}; for another give its classes and sizes instead")
    return None if dataset is None else registry.get("datasets", dataset)


def classes_of(dataset: type[Any], detector: bool) -> tuple[str, ...]:
    """The classes of a dataset, as far as they are known to be a network's.

    Raises:
        EventZooError: A classifier's are not.
    """
    if dataset.__name__ != "NCaltech101":
        return tuple(dataset.classes)
    if not detector:
        raise EventZooError(
            "a network for N-Caltech101 has its answers in the order in which the file system of its training listed the folders of the "
            "classes, which weights do not tell; give that order as classes (on the command line --classes, there $(ls -U))"
        )
    return tuple(name for name in dataset.classes if name != "BACKGROUND_Google")  # which has no boxes
