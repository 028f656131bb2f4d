"""Loading the zoo's models, and others by where they are."""

import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from eventzoo import shipped
from eventzoo.errors import EventZooError
from eventzoo.zoo.cards import ModelCard, Weights, card
from eventzoo.zoo.hub import fetch, fetched

if TYPE_CHECKING:  # torch takes a second
    from eventzoo.model import EventModel


def load(name: str, pretrained: bool = True) -> "EventModel":
    """A model, ready to be asked.

    Args:
        name: The name of a model card, as `eventzoo.list_models` has them; `hf-hub:ORGANISATION/NAME@REVISION`, a repository of the
            Hugging Face Hub, at its main branch where no revision is given; or `local-dir:FOLDER`, a folder that `EventModel.save` or
            `eventzoo fit` wrote.
        pretrained: Whether it shall have its published weights; else, random ones. Only a card's model can be had without weights.

    Raises:
        EventZooError: There is no such model, it has no published weights, they are damaged or not those that the card means, they are
            not on this computer and cannot be fetched, or a part of the model is not installed.
    """
    if not pretrained:
        if _is_place(name):
            raise EventZooError(f"{name} has its own weights; pretrained=False is for models of the zoo")
        return untrained(card(name))
    return _opened(locate(name))


def published(described: ModelCard, weights: Weights) -> "EventModel":
    """The model with the weights that a card publishes, whether or not the card is one of the zoo's.

    Raises:
        EventZooError: As `load`.
    """
    return _opened(_of_card(described, weights))


@dataclass(frozen=True)
class SavedModel:
    """Where a saved model is.

    Attributes:
        folder: The folder, on this computer.
        repo_id: The repository of the Hub that its files are from; None if they are not from there.
        card: Its card, if it is one of the zoo.
    """

    folder: Path
    repo_id: str | None = None
    card: ModelCard | None = None


def locate(name: str) -> SavedModel:
    """The folder of the model of a name, as `load` takes it, fetched if need be. What a card publishes is what its checksums mean.

    Raises:
        EventZooError: As `load`.
    """
    if _is_place(name):
        prefix, _, place = name.partition(":")
        repo_id, _, revision = place.partition("@")
        return SavedModel(Path(place).expanduser()) if prefix == "local-dir" else SavedModel(fetch(repo_id, revision), repo_id)
    described = card(name)
    if described.weights is None:
        raise EventZooError(
            f"{name} has no published weights. Train them with `eventzoo fit --config {described.config}` and load the folder that it "
            f"prints with eventzoo.load('local-dir:…'); for the network with random weights, eventzoo.load({name!r}, pretrained=False)"
        )
    return _of_card(described, described.weights)


def _of_card(described: ModelCard, weights: Weights) -> SavedModel:
    if weights.hub is None:
        saved = SavedModel(described.folder, card=described)
    else:
        saved = SavedModel(fetch(weights.hub.repo_id, weights.hub.revision), weights.hub.repo_id, described)
    with fetched(saved.repo_id):
        for file, checksum in weights.sha256.items():
            check_sha256(saved.folder / file, checksum, f"the card of {described.name}")
    return saved


def _opened(saved: SavedModel) -> "EventModel":
    from eventzoo.model import EventModel

    with fetched(saved.repo_id):
        return EventModel.from_folder(saved.folder)


def _is_place(name: str) -> bool:
    """Whether a model is named by where it is; refuses a bare folder or repository, which could be either."""
    prefix, _, place = name.partition(":")
    if prefix in ("local-dir", "hf-hub") and place:
        return True
    if "/" in name or "\\" in name:
        raise EventZooError(
            f"{name!r} is no model's name; for a folder on this computer write 'local-dir:{name}', for a repository of the Hugging Face "
            f"Hub 'hf-hub:{name}'"
        )
    return False


def check_sha256(path: Path, expected: str, whose: str) -> None:
    """Refuse a file that is not the one that was meant.

    Raises:
        EventZooError: The file cannot be read, or has another SHA-256.
    """
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EventZooError(f"{path} cannot be read: {error.strerror}") from error
    if found != expected:
        raise EventZooError(
            f"{path} is not the file that {whose} means: its SHA-256 is {found}, not {expected}; remove it, and fetch it again"
        )


def untrained(described: ModelCard) -> "EventModel":
    """The model that a card's recipe trains, with random weights.

    Raises:
        EventZooError: The recipe is not installed, or a part of it is not.
    """
    from eventzoo import registry
    from eventzoo.data.representation import Representation
    from eventzoo.data.transforms import EventTransform
    from eventzoo.model import EventModel
    from eventzoo.nn.backbone import Backbone
    from eventzoo.specs import build
    from eventzoo.tasks.heads import ClassificationHead, Head

    path = shipped.find("configs", Path(described.config).stem)
    if path is None:
        raise EventZooError(f"{described.path}: there is no recipe {described.config}")
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    data = recipe["data"]
    dataset = registry.get("datasets", described.dataset)
    representation = build(_spec(data["representation"]), Representation, f"{path}: representation")
    transforms = [build(_spec(transform), EventTransform, f"{path}: eval_transforms") for transform in data.get("eval_transforms") or []]
    settings = recipe["model"]["init_args"]
    network = _spec(settings["backbone"])
    if "in_channels" in inspect.signature(registry.get("backbones", network["class_path"].rpartition(".")[2])).parameters:
        network["init_args"]["in_channels"] = representation.channels
    backbone = build(network, Backbone, f"{path}: backbone")
    head = build(_spec(settings["head"]), Head, f"{path}: head") if "head" in settings else ClassificationHead(settings.get("dropout", 0.0))
    classes = dataset.classes_for(described.task)
    head.connect(backbone, len(classes))
    return EventModel(representation, backbone, head, classes, dataset.sensor_size, transforms)


def _spec(part: Any) -> dict[str, Any]:
    """A part of a recipe with its settings, where it may be a bare name."""
    return {"class_path": part, "init_args": {}} if isinstance(part, str) else {"init_args": {}, **part}
