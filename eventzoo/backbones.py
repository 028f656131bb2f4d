"""Every installed package's backbones, by class name: `eventzoo.backbones.NAME`. Imported when first asked for."""

from eventzoo.registry import namespace

__getattr__, __dir__ = namespace("backbones")
