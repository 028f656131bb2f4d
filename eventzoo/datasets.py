"""Every installed package's datasets, by class name: `eventzoo.datasets.NAME`. Imported when first asked for."""

from eventzoo.registry import namespace

__getattr__, __dir__ = namespace("datasets")
