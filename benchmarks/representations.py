"""Time of the image representations beside Tonic's, evlib's and plain NumPy's, with a check that they agree, and a picture of them.

    python benchmarks/representations.py
    python benchmarks/representations.py --picture docs/representations.png

The events are uniform noise over 100 ms on 240×180 pixels. Everyone starts from events in the form that it wants and ends with a dense
array. Peers (`pip install eventzoo[bench]`) that are missing are named and left out. The picture needs matplotlib.
"""

from race import race  # isort: skip  # pins the threads

import argparse
import importlib
import importlib.metadata
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import eventzoo
from eventzoo.data.representation import Representation
from eventzoo.events import Events
from eventzoo.representations import EventFrame, EventQueue, Histogram, TimeSurface, VoxelGrid

WIDTH, HEIGHT = SIZE = (240, 180)
BINS, SPAN, TAU, QUEUE = 10, 100_000, 50_000, 15
Make = Callable[[], Any]

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # evlib's tables; one core, as everyone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", help="PNG file to draw instead of timing")
    path = parser.parse_args().picture
    if path:
        draw(path)
        return
    for name in ("tonic", "evlib"):
        print(f"{name} {importlib.metadata.version(name)}" if module(name) else f"{name} is missing")
    for count in (25_000, 100_000):
        compare(count)


def module(name: str) -> Any:
    """A peer, None if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def compare(count: int) -> None:
    events = noise(count)
    theirs = tonic(events), evlib(events), numpy(events)
    parts: dict[str, dict[str, Representation[Tensor]]] = {
        "Histogram": {"": Histogram()},
        "EventFrame": {"": EventFrame(BINS), ", on the clock": EventFrame(BINS, SPAN)},
        "VoxelGrid": {"": VoxelGrid(BINS), ", on the clock": VoxelGrid(BINS, SPAN)},
        "TimeSurface": {"": TimeSurface(TAU, BINS), ", on the clock": TimeSurface(TAU, BINS, SPAN)},
        "EventQueue": {"": EventQueue(QUEUE)},
    }
    for name, forms in parts.items():
        ours = {f"eventzoo{form}": lambda part=part: part(events) for form, part in forms.items()}
        peers = {peer: make for found in theirs for peer, make in found.get(name, {}).items()}
        race(f"{name}, {count:,} events", ours | peers, rounds=41, rehearse=True)
        values = forms[""](events).numpy()
        for peer, make in peers.items():
            same = VoxelGrid(BINS + 1)(events).numpy()[:-1] if name == "VoxelGrid" and "NumPy" not in peer else values
            difference = np.abs(np.asarray(make(), np.float64).reshape(same.shape) - same)
            print(f"\n{peer}: {(difference > 1e-4).sum():,} of {same.size:,} values differ, by {difference.max():.2g} at most")


def noise(count: int) -> Events:
    """From 0 to exactly 100 ms, so that bins are of whole microseconds, as Tonic and evlib need them for the recording's end."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(1, SPAN, count))
    t[0], t[-1] = 0, SPAN
    return Events(rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count), t, rng.random(count) < 0.5, SIZE)


def tonic(events: Events) -> dict[str, dict[str, Make]]:
    """Tonic's transforms. Its voxel grid, as evlib's, has the ticks of ours with one more bin, without the last."""
    transforms = module("tonic.transforms")
    if transforms is None:
        return {}
    records = events.to_structured([("x", int), ("y", int), ("t", int), ("p", int)])
    size = (*SIZE, 2)
    made = {
        "Histogram": transforms.ToImage(size),
        "EventFrame": transforms.ToFrame(size, n_time_bins=BINS),
        "VoxelGrid": transforms.ToVoxelGrid(size, BINS),
        "TimeSurface": transforms.ToTimesurface(size, SPAN / BINS, TAU),
    }
    return {name: {f"Tonic {type(part).__name__}": lambda part=part: part(records)} for name, part in made.items()}


def evlib(events: Events) -> dict[str, dict[str, Make]]:
    """Tables of evlib made dense, and the function in Rust behind its stacked histogram, which counts to 255."""
    peer, polars = module("evlib"), module("polars")
    if peer is None:
        return {}
    p = events.p.astype(np.int8)
    table = polars.DataFrame({"x": events.x, "y": events.y, "t": events.t.astype("timedelta64[us]"), "polarity": p})
    columns = [np.ascontiguousarray(column, np.int64) for column in (events.t, events.x, events.y, p)]
    rows_and_columns = np.arange(HEIGHT), np.arange(WIDTH)
    end = events.t[-1:] + 1

    def stacked(bins: int) -> Any:
        counts = peer.representations_rs.stacked_histogram_dense(*columns, end, SPAN + bins, bins, 255, *rows_and_columns, HEIGHT, WIDTH)
        return counts.reshape(2, bins, HEIGHT, WIDTH).swapaxes(0, 1)

    def surface() -> Any:
        found = peer.create_time_surface(table, HEIGHT, WIDTH, SPAN / BINS, TAU)
        return peer.densify_time_surface(found, BINS, 2, HEIGHT, WIDTH, SPAN / BINS, TAU, 0.0)

    return {
        "Histogram": {"evlib stacked_histogram_dense": lambda: stacked(1)},
        "EventFrame": {
            "evlib create_event_frame": lambda: peer.densify_event_frame(
                peer.create_event_frame(table, HEIGHT, WIDTH, BINS), BINS, 2, HEIGHT, WIDTH
            ),
            "evlib stacked_histogram_dense": lambda: stacked(BINS),
        },
        "VoxelGrid": {
            "evlib create_voxel_grid": lambda: peer.densify_voxel_grid(
                peer.create_voxel_grid(table, HEIGHT, WIDTH, BINS), BINS, HEIGHT, WIDTH
            )
        },
        "TimeSurface": {"evlib create_time_surface": surface},
    }


def numpy(events: Events) -> dict[str, dict[str, Make]]:
    """What one would write in a few lines of NumPy."""
    x, y, t, p = events.x.astype(int), events.y.astype(int), events.t - events.t[0], events.p.astype(int)
    pixel = y * WIDTH + x

    def histogram() -> NDArray[np.float32]:
        image = np.zeros((2, HEIGHT, WIDTH), np.float32)
        np.add.at(image, (p, y, x), 1)
        return image

    def frames() -> NDArray[np.float32]:
        image = np.zeros((BINS, 2, HEIGHT, WIDTH), np.float32)
        np.add.at(image, (np.minimum(t * BINS // SPAN, BINS - 1), p, y, x), 1)
        return image

    def grid() -> NDArray[np.float32]:
        image = np.zeros((BINS, HEIGHT, WIDTH), np.float32)
        tau = (BINS - 1) * t / SPAN
        before = np.minimum(tau.astype(int), BINS - 2)
        late, sign = tau - before, 2 * p - 1
        np.add.at(image, (before, y, x), sign * (1 - late))
        np.add.at(image, (before + 1, y, x), sign * late)
        return image

    def surface() -> NDArray[np.float32]:
        image = np.empty((BINS, 2, HEIGHT, WIDTH), np.float32)
        newest, number = np.full((2, HEIGHT, WIDTH), -np.inf), np.minimum(t * BINS // SPAN, BINS - 1)
        for k in range(BINS):
            here = number == k
            newest[p[here], y[here], x[here]] = t[here]
            image[k] = np.exp((newest - (k + 1) * SPAN / BINS) / TAU)
        return image

    def queue() -> NDArray[np.float32]:
        order = np.lexsort((-np.arange(len(t)), pixel))
        at, begins = np.unique(pixel[order], return_index=True)
        number = np.diff(np.append(begins, len(t)))
        slot = np.arange(len(t)) - np.repeat(begins, number)
        kept = slot < QUEUE
        image = np.zeros((2, QUEUE, HEIGHT * WIDTH), np.float32)
        image[0][:, at] = 1
        ages = np.repeat(t[order][begins], number) - t[order]
        largest = np.repeat(ages[begins + np.minimum(number, QUEUE) - 1], number)
        image[0, slot[kept], pixel[order][kept]] = (ages / np.maximum(largest, 1))[kept]
        image[1, slot[kept], pixel[order][kept]] = (2 * p - 1)[order][kept]
        return image

    return {
        "Histogram": {"NumPy, np.add.at": histogram},
        "EventFrame": {"NumPy, np.add.at": frames},
        "VoxelGrid": {"NumPy, np.add.at": grid},
        "TimeSurface": {"NumPy": surface},
        "EventQueue": {"NumPy, by sorting": queue},
    }


def draw(path: str) -> None:
    """Some channels of each representation of one recording."""
    from matplotlib.figure import Figure

    events = eventzoo.datasets.MovingShapes("val")[4].events
    shown = {
        "Histogram": (Histogram()(events), {0: "OFF", 1: "ON"}),
        "EventFrame(5)": (EventFrame(5)(events), {2 * k + 1: f"ON, bin {k}" for k in range(5)}),
        "VoxelGrid(5)": (VoxelGrid(5)(events), {k: f"tick {k}" for k in range(5)}),
        "TimeSurface(20_000, 5)": (TimeSurface(20_000, 5)(events), {2 * k + 1: f"ON, bin {k}" for k in range(5)}),
        "EventQueue(4)": (EventQueue(4)(events), {1: "time 1", 2: "time 2", 3: "time 3", 4: "polarity 0", 5: "polarity 1"}),
    }
    figure = Figure(figsize=(8, 8.8), layout="constrained")
    for axes, (title, (image, channels)) in zip(figure.subplots(len(shown), 5), shown.items(), strict=True):
        axes[0].set_ylabel(title, fontsize=8)
        for axis in axes[len(channels) :]:
            axis.axis("off")
        signed = title.startswith("VoxelGrid")
        for axis, (channel, name) in zip(axes, channels.items(), strict=False):
            limit = 1 if title.startswith("EventQueue") else float(image.abs().quantile(0.999))
            both = signed or name.startswith("polarity")
            axis.imshow(image[channel], cmap="RdBu_r" if both else "Greys", vmin=-limit if both else 0, vmax=limit, interpolation="nearest")
            axis.set_title(name, fontsize=8)
            axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=75, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
