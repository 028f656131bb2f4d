"""What the commands that evaluate a saved model on a recipe's data share."""

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from eventzoo.errors import EventZooError
from eventzoo.zoo import load

if TYPE_CHECKING:  # torch takes a second, which --help need not wait for
    from eventzoo.data.datamodule import EventDataModule
    from eventzoo.model import EventModel

T = TypeVar("T")


def parser_of(command: str, description: str, example: str, recipe_required: bool = True) -> argparse.ArgumentParser:
    """A parser with model, recipe and device, as all these commands take them."""
    parser = argparse.ArgumentParser(f"eventzoo {command}", description=description, epilog=f"example: {example}", allow_abbrev=False)
    parser.add_argument(
        "--model", required=True, help="what eventzoo.load takes: a card's name, local-dir:FOLDER, hf-hub:ORG/NAME@REVISION"
    )
    parser.add_argument(
        "--config",
        required=recipe_required,
        metavar="RECIPE",
        help="whose data it is; representation and transforms are the model's. Settings of the data can follow as for fit: "
        "--data.dataset.root FOLDER --data.batch_size 32 --data.num_workers 8",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where the network runs; default: cuda if there is any")
    return parser


def model_and_data(given: argparse.Namespace, rest: list[str]) -> "tuple[EventModel, EventDataModule]":
    """The model on its device, and the recipe's data as the model takes them.

    Args:
        given: What the parser knew.
        rest: What it did not know: settings of the recipe's data.

    Raises:
        EventZooError: There is no such model, recipe or device, or the two are not for each other.
    """
    import torch

    from eventzoo.commands.prepare import data_of
    from eventzoo.commands.train import load_plugins

    model = load(given.model)
    load_plugins()
    data = data_of(["--config", given.config, *rest])
    dataset, task = data.dataset, model.head.task
    name = type(dataset).__name__
    if dataset.task != task:
        raise EventZooError(f"the model is one for {task}, but the recipe's {name} is set to {dataset.task}")
    if tuple(dataset.classes) != model.classes:
        raise EventZooError(f"the model knows the classes {_listed(model.classes)}, but the recipe's {name} has {_listed(dataset.classes)}")
    if tuple(dataset.sensor_size) != model.sensor_size:
        raise EventZooError(f"the model is made for a sensor of {model.sensor_size}, but the recipe's {name} has {dataset.sensor_size}")
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise EventZooError("torch finds no CUDA device here; leave out --device cuda")
    data.representation, data.eval_transforms = model.representation, model.transforms
    return model.to(device), data


def followed(batches: Iterable[T], count: int, what: str) -> Iterable[T]:
    """The batches, with a bar on a terminal that tells how far one is."""
    from rich.console import Console
    from rich.progress import track

    return track(batches, what, count, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _listed(classes: Iterable[str]) -> str:
    first, *others = classes
    return f"{first}, … ({len(others) + 1})" if others else first
