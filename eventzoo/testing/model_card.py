"""Whether a model card says what is there."""

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eventzoo import registry, shipped
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.specs import spec_of
from eventzoo.tasks.results import ClassificationResult
from eventzoo.testing.promises import no_error, require
from eventzoo.zoo import cards
from eventzoo.zoo.cards import ModelCard, Weights
from eventzoo.zoo.loading import published, untrained

_TASKS = {"classification": "Classification", "detection": "Detection"}


def check_model_card(model: str | Path) -> None:
    """Check that a model card of an installed package is true, as far as can be said without its dataset.

    - It reads strictly, with sentences where it asks for them; its dataset is registered.
    - Its recipe is installed, trains this task on this dataset, and the network that it describes can be made.
    - Published weights are those that the checksums mean; the loaded model has the recipe's representation, transforms, backbone and head,
      the dataset's classes and sensor; its weights are finite, and it answers a recording without events and a made-up one.
    - The command that trained them runs the recipe with their seed and their settings of the data.
    - What was measured was measured with published weights: their seed is among the `seeds`, whose value is *the* value; shares are 0 to 1.
      What is reported has its source.

    Whether the weights reach what was measured, `eventzoo test --model NAME` says.

    Args:
        model: The card's name, or its file.

    Raises:
        AssertionError: The card says what is not so. It names card and entry.
    """
    try:
        card = cards.read_card(model) if isinstance(model, Path) else cards.card(model)
    except EventZooError as error:
        raise AssertionError(str(error)) from error
    for entry in ("summary", "paper"):
        require(getattr(card, entry).strip() != "", f"{card.name}: {entry} is empty")
    require(card.dataset in registry.entries("datasets"), f"{card.name}: dataset {card.dataset} is not registered")
    recipe = _recipe(card)
    with no_error(f"{card.name}: the model of {card.config} cannot be made"):
        described = untrained(card)
    if card.weights is not None:
        _check_command(card, card.weights, recipe)
        _check_weights(card, card.weights, described)
    _check_numbers(card)


def _recipe(card: ModelCard) -> dict[str, Any]:
    """The recipe, which must be for this task and dataset."""
    path = shipped.find("configs", Path(card.config).stem)
    if path is None:
        raise AssertionError(f"{card.name}: its recipe {card.config} is not installed")
    with no_error(f"{path} cannot be read"):
        recipe: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        dataset, task = _class(recipe["data"]["dataset"]), _class(recipe["model"])
    require(dataset == card.dataset, f"{card.name}: the card says that it is trained on {card.dataset}, {card.config} on {dataset}")
    require(task == _TASKS[card.task], f"{card.name}: the card is for {card.task}, and {card.config} trains a {task}")
    return recipe


def _class(part: Any) -> str:
    """The class's name of a part in a recipe, which may be a bare name."""
    return str(part if isinstance(part, str) else part["class_path"]).split(".")[-1]


def _check_command(card: ModelCard, weights: Weights, recipe: dict[str, Any]) -> None:
    """What trained the weights."""
    words = [part for word in shlex.split(weights.command) for part in word.split("=", 1)]
    given = dict(pairwise(words))
    require(words[:2] == ["eventzoo", "fit"], f"{card.name}: the command that trained its weights must be `eventzoo fit …`")
    trained = Path(given.get("--config", given.get("-c", ""))).stem
    require(trained == Path(card.config).stem, f"{card.name}: the command runs the config {trained!r}, the card's is {card.config}")
    seed = str(given.get("--seed_everything", recipe.get("seed_everything", 0)))
    require(seed == str(weights.seed), f"{card.name}: the command trains with seed {seed}, the weights' seed is {weights.seed}")
    for setting, value in weights.data.items():
        flag = f"--data.dataset.{setting}"
        require(given.get(flag) == str(value), f"{card.name}: the command does not say {flag} {value}, as the weights' data does")
    require(weights.licence.strip() != "", f"{card.name}: its weights have no licence")


def _check_weights(card: ModelCard, weights: Weights, described: EventModel) -> None:
    """The published model."""
    with no_error(f"{card.name}: its weights cannot be loaded"):
        loaded = published(card, weights)
    pairs = {
        "representation": (spec_of(loaded.representation), spec_of(described.representation)),
        "transforms": ([spec_of(part) for part in loaded.transforms], [spec_of(part) for part in described.transforms]),
        "backbone": (spec_of(loaded.backbone), spec_of(described.backbone)),
        "head": (spec_of(loaded.head), spec_of(described.head)),
        "classes": (loaded.classes, described.classes),
        "sensor size": (loaded.sensor_size, described.sensor_size),
    }
    for what, (found, wanted) in pairs.items():
        require(found == wanted, f"{card.name}: the {what} of its weights is {found}, of {card.config} {wanted}")
    for name, value in loaded.state_dict().items():
        require(bool(value.isfinite().all()), f"{card.name}: {name} of its weights is not finite")
    for count in (0, 500):
        with no_error(f"{card.name} does not answer a recording of {count} events"):
            result = loaded.predict(_made_up(count, loaded.sensor_size))
        numbers = result.logits if isinstance(result, ClassificationResult) else np.append(result.boxes, result.scores)
        require(bool(np.isfinite(numbers).all()), f"{card.name}: what it says of a recording of {count} events is not finite")


def _made_up(count: int, sensor_size: tuple[int, int]) -> Events:
    """A recording of 100 ms."""
    rng, (width, height) = np.random.default_rng(0), sensor_size
    x, y = rng.integers(0, width, count, np.int16), rng.integers(0, height, count, np.int16)
    return Events(x, y, np.sort(rng.integers(0, 100_000, count)), rng.random(count) < 0.5, sensor_size)


def _check_numbers(card: ModelCard) -> None:
    """What was measured, and what is reported."""
    if card.weights is None:
        require(not card.measured, f"{card.name}: it has measured values and no published weights that anyone could measure")
    for measured in card.measured:
        where, seed = f"{card.name}: {measured.name} on {measured.split}", card.weights.seed if card.weights else None
        require(measured.split in ("val", "test"), f"{where}: the split must be val or test")
        require(measured.dataset in registry.entries("datasets"), f"{where}: dataset {measured.dataset} is not registered")
        require(seed in measured.seeds, f"{where}: seed {seed} of the published weights is not among the seeds {sorted(measured.seeds)}")
        own = measured.seeds.get(seed or 0, measured.value)
        require(own == measured.value, f"{where}: the value is {measured.value:g}, that of the published weights' seed {own:g}")
        for value in measured.seeds.values():
            fits = value >= 0 and (value <= 1 or measured.name.endswith("loss"))
            require(fits, f"{where}: {value:g} is no share from 0 to 1, nor a loss")
        require(measured.protocol.strip() != "", f"{where}: it does not say how it was measured")
    for reported in card.reported:
        where = f"{card.name}: the reported {reported.name}"
        require(reported.source.strip() != "", f"{where} has no source")
        require(np.isfinite(reported.value), f"{where} is no number")
