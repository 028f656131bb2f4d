"""The model zoo: find models, read about them, load them."""

from eventzoo.zoo.cards import ModelCard, card, list_models
from eventzoo.zoo.description import PartInfo, info
from eventzoo.zoo.loading import load

__all__ = ["ModelCard", "PartInfo", "card", "info", "list_models", "load"]
