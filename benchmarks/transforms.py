"""Time of every transform on 25,000 events, beside Tonic's where it has one (`pip install tonic`), and a picture of them all.

    python benchmarks/transforms.py
    python benchmarks/transforms.py --picture docs/transforms.png

The events are uniform noise over 300 ms on 240×180 pixels. A contender of Tonic's is given its structured events, which its
transforms copy or change in place as they please; ours are given `Events`. The picture needs matplotlib.
"""

from race import race  # isort: skip  # pins the threads

import argparse

import numpy as np

import eventzoo
import eventzoo.data.transforms as ours
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EventMix, EventTransform
from eventzoo.events import Events
from eventzoo.plots import event_image

try:
    import tonic.transforms as tonic
except ImportError:
    tonic = None

SIZE, COUNT = (240, 180), 25_000

FLIP, NEGATE = ours.RandomHorizontalFlip(1), ours.RandomPolarityFlip(1)
# Each transform of the table and the picture, with the peer in Tonic that does about the same.
TRANSFORMS: list[tuple[EventTransform, str]] = [
    (ours.WindowByCount(1000, "middle"), ""),
    (ours.WindowByTime(30_000, "start"), "CropTime(max=30_000)"),
    (ours.RandomSubsample(500), ""),
    (ours.EvenSubsample(500), ""),
    (ours.EveryKth(5), "Decimation(5)"),
    (ours.TemporalSubsample(500), ""),
    (ours.LIFSubsample(500, 0.5, 0.5, 0.5), ""),
    (ours.RandomHorizontalFlip(1), "RandomFlipLR(size, p=1)"),
    (ours.RandomVerticalFlip(1), "RandomFlipUD(size, p=1)"),
    (ours.RandomShift(20), ""),
    (ours.RandomRotation(45), ""),
    (ours.RandomScale(0.6, 1.4), ""),
    (ours.RandomShear(0.4, 0.4), ""),
    (ours.CentreCrop((40, 40)), "CenterCrop(size, (40, 40))"),
    (ours.RandomCrop((40, 40)), "RandomCrop(size, (40, 40))"),
    (ours.Resize((24, 24)), "Downsample(spatial_factor=0.375)"),
    (ours.RandomTimeReversal(1), "RandomTimeReversal(p=1)"),
    (ours.RandomTimeScale(0.5, 0.8), "TimeSkew((0.5, 0.8))"),
    (ours.TimeJitter(3000), "TimeJitter(3000, sort_timestamps=True)"),
    (ours.TimeWarp(0.2, 1.8), ""),
    (ours.ChunkWarp(3, 400, 0.1, 3.0), ""),
    (ours.EventDrop(0.5), "DropEvent(0.5)"),
    (ours.TimeDrop(0.3), "DropEventByTime(0.3)"),
    (ours.ChunkDrop(4, 256), ""),
    (ours.RandomErasing(40, 40, 1), "DropEventByArea(size, 0.2)"),
    (ours.RandomPolarityFlip(1), "RandomFlipPolarity(1)"),
    (ours.PolarityNoise(0.3), ""),
    (ours.ReplaceByNoise(0.3), ""),
    (ours.BackgroundNoise(2.0), "UniformNoise(size, 25_920)"),
    (ours.HotPixels(5, 1000), ""),
    (ours.RandomApply([FLIP, NEGATE], 1), ""),
    (ours.RandomChoice([FLIP, NEGATE]), ""),
]
MIXES = [EventMix("cut"), EventMix("time", alpha=4), EventMix("random", alpha=4)]
OVER_TIME = ("Window", "Time", "Chunk", "Temporal")  # names of those that show best over time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", help="PNG file to draw instead of timing")
    path = parser.parse_args().picture
    draw(path) if path else compare()


def compare() -> None:
    first, second = (Sample(noise(seed), seed, "") for seed in (0, 1))
    rng = np.random.default_rng(0)
    for transform, peer in TRANSFORMS:
        contenders = {"eventzoo": lambda transform=transform: transform(first, rng)}
        if peer and tonic is not None:
            arguments = {name: cls for name, cls in vars(tonic).items() if isinstance(cls, type)}
            theirs = eval(peer, {**arguments, "size": (*SIZE, 2)})
            records = first.events.to_structured([("x", int), ("y", int), ("t", int), ("p", int)])
            contenders[f"Tonic {peer}"] = lambda theirs=theirs, records=records: theirs(records.copy())
        race(described(transform), contenders, rounds=21)
    for mix in MIXES:
        race(described(mix), {"eventzoo": lambda mix=mix: mix(first, second, rng)}, rounds=21)


def noise(seed: int) -> Events:
    rng = np.random.default_rng(seed)
    x, y, t = rng.integers(0, SIZE[0], COUNT), rng.integers(0, SIZE[1], COUNT), np.sort(rng.integers(0, 300_000, COUNT))
    return Events(x, y, t, rng.random(COUNT) < 0.5, SIZE)


def described(part: EventTransform | EventMix) -> str:
    return f"{type(part).__name__}({', '.join(str(value) for value in part.init_args.values() if not isinstance(value, list))})"


def draw(path: str, columns: int = 8) -> None:
    """Every transform of one recording, with its boxes where the transform allows them."""
    from matplotlib.figure import Figure

    detection = eventzoo.datasets.MovingShapes("val", task="detection")
    plain = eventzoo.datasets.MovingShapes("val")
    sample, other = detection[4], plain[3]
    panels = [("the recording", sample, False), ("the recording over time", sample, True)]
    for transform, _ in TRANSFORMS:
        name = type(transform).__name__
        needs_no_boxes = name == "RandomTimeReversal" or getattr(transform, "position", "end") != "end"
        given = Sample(sample.events, 0, sample.key) if needs_no_boxes else sample
        panels.append((described(transform), transform(given, np.random.default_rng(5)), any(word in name for word in OVER_TIME)))
    panels += [(described(mix), mix(plain[0], other, np.random.default_rng(3)), mix.mode == "time") for mix in MIXES]
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns).ravel()
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis, (title, shown, over_time) in zip(axes, panels, strict=False):
        axis.set_title(title, fontsize=7)
        axis.set(xticks=[], yticks=[])
        show_over_time(axis, shown) if over_time else show(axis, shown)
    figure.savefig(path, dpi=75, pil_kwargs={"optimize": True})


def show(axis, sample: Sample) -> None:
    axis.imshow(event_image(sample.events), interpolation="nearest")
    for x1, y1, x2, y2 in [] if sample.boxes is None else sample.boxes.xyxy - 0.5:
        axis.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color="darkorange", linewidth=1)


def show_over_time(axis, sample: Sample) -> None:
    """Columns from top to bottom, time from left to right."""
    events = sample.events
    bins = events.t // 2000  # of 2 ms
    kept = events.t < 128_000
    turned = Events(bins[kept], events.x[kept], events.t[kept], events.p[kept], (64, events.sensor_size[0]))
    axis.imshow(event_image(turned), interpolation="nearest")
    axis.set_xlabel("time", fontsize=6, loc="right", labelpad=1)


if __name__ == "__main__":
    main()
