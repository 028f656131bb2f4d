"""Every installed package's async converters, by class name: `eventzoo.async_converters.NAME`. Imported when first asked for."""

from eventzoo.registry import namespace

__getattr__, __dir__ = namespace("async_converters")
