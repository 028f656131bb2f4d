"""The model zoo: find models, read about them, load them."""

from typing import TYPE_CHECKING

from eventzoo.zoo.cards import ModelCard, card, list_models
from eventzoo.zoo.description import PartInfo, info

if TYPE_CHECKING:
    from eventzoo.model import EventModel

__all__ = ["ModelCard", "PartInfo", "card", "info", "list_models", "load"]


def load(name: str) -> "EventModel":
    """A trained model, ready to be asked.

    Args:
        name: `local-dir:FOLDER`, a folder that `EventModel.save` or `eventzoo fit` wrote; or the name of a model card.

    Raises:
        EventZooError: There is no such folder or card, the folder is damaged, or the card has no published weights.
    """
    from eventzoo.errors import EventZooError

    prefix, _, folder = name.partition(":")
    if prefix == "local-dir" and folder:
        from eventzoo.model import EventModel

        return EventModel.from_folder(folder)
    if "/" in name or "\\" in name:
        raise EventZooError(f"{name!r} is no model's name; for a folder on this computer write 'local-dir:{name}'")
    described = card(name)
    raise EventZooError(
        f"{name} has no published weights; train them with `eventzoo fit --config {described.config}`, "
        "then load the folder that it prints with eventzoo.load('local-dir:…')"
    )
