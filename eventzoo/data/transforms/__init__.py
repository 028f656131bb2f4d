"""Transforms: functions from a sample to a sample, whose only source of chance is the generator they are given."""

from eventzoo.data.transforms.base import EventTransform, apply, sensor_size_after
from eventzoo.data.transforms.composition import RandomApply, RandomChoice
from eventzoo.data.transforms.dropping import ChunkDrop, EventDrop, RandomErasing, TimeDrop
from eventzoo.data.transforms.geometry import (
    CentreCrop,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomShear,
    RandomShift,
    RandomVerticalFlip,
    Resize,
)
from eventzoo.data.transforms.mixing import EventMix
from eventzoo.data.transforms.noise import BackgroundNoise, HotPixels, PolarityNoise, RandomPolarityFlip, ReplaceByNoise
from eventzoo.data.transforms.subsampling import EvenSubsample, EveryKth, LIFSubsample, RandomSubsample, TemporalSubsample
from eventzoo.data.transforms.time import ChunkWarp, RandomTimeReversal, RandomTimeScale, TimeJitter, TimeWarp
from eventzoo.data.transforms.tonic import TonicTransform
from eventzoo.data.transforms.windows import WindowByCount, WindowByTime

__all__ = [
    "BackgroundNoise",
    "CentreCrop",
    "ChunkDrop",
    "ChunkWarp",
    "EvenSubsample",
    "EventDrop",
    "EventMix",
    "EventTransform",
    "EveryKth",
    "HotPixels",
    "LIFSubsample",
    "PolarityNoise",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomPolarityFlip",
    "RandomRotation",
    "RandomScale",
    "RandomShear",
    "RandomShift",
    "RandomSubsample",
    "RandomTimeReversal",
    "RandomTimeScale",
    "RandomVerticalFlip",
    "ReplaceByNoise",
    "Resize",
    "TemporalSubsample",
    "TimeDrop",
    "TimeJitter",
    "TimeWarp",
    "TonicTransform",
    "WindowByCount",
    "WindowByTime",
    "apply",
    "sensor_size_after",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # configs and saved models name a transform by this path, whichever file it lives in
