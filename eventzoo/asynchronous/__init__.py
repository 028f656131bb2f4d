"""Asynchronous execution: a trained network, event by event, with the answer of its synchronous form."""

from eventzoo.asynchronous.async_model import AsyncModel, make_asynchronous
from eventzoo.asynchronous.converter import AsyncConverter, Engine, EngineConverter, Unsupported
from eventzoo.asynchronous.pixels import pixel_map
from eventzoo.asynchronous.plan import Cost, Plan
from eventzoo.asynchronous.state import (
    Argument,
    Array,
    Domain,
    EdgeIndex,
    EdgeOffsets,
    Features,
    Graph,
    Group,
    Neighbourhood,
    Positions,
    SampleIndex,
    State,
)
from eventzoo.asynchronous.stepping import SteppingEngine
from eventzoo.asynchronous.window import Window

__all__ = [
    "Argument",
    "Array",
    "AsyncConverter",
    "AsyncModel",
    "Cost",
    "Domain",
    "EdgeIndex",
    "EdgeOffsets",
    "Engine",
    "EngineConverter",
    "Features",
    "Graph",
    "Group",
    "Neighbourhood",
    "Plan",
    "Positions",
    "SampleIndex",
    "State",
    "SteppingEngine",
    "Unsupported",
    "Window",
    "make_asynchronous",
    "pixel_map",
]
