"""Every installed package's representations, by class name: `eventzoo.representations.NAME`. Imported when first asked for."""

from eventzoo.registry import namespace

__getattr__, __dir__ = namespace("representations")
