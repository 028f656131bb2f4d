"""eventzoo inspect: describe a recording."""

import argparse
from pathlib import Path

import numpy as np

from eventzoo.errors import EventZooError
from eventzoo.io.encodings import ENCODINGS
from eventzoo.io.inspection import Inspection, inspect

_PEAK_US = 1000  # the peak rate is one of at least so long


def run(args: list[str]) -> None:
    """Print what is in a recording, and draw it if asked to."""
    parser = argparse.ArgumentParser("eventzoo inspect", description="Describe a recording, and say what is odd about it.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--encoding", choices=list(ENCODINGS), help="where neither the file's suffix nor its beginning tell the format")
    parser.add_argument("--sensor-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="pixels; default: what the header says")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the events, and their rate over time")
    given = parser.parse_args(args)
    size = None if given.sensor_size is None else (given.sensor_size[0], given.sensor_size[1])
    found = inspect(given.file, sensor_size=size, encoding=given.encoding)
    for name, text in facts(found).items():
        print(f"{name:<10}{text}")
    for text in anomalies(found) or ["nothing"]:
        print(f"odd       {text}")
    if given.plot is not None:
        print(f"picture: {_draw(found, given.plot)}")


def facts(found: Inspection) -> dict[str, str]:
    """What a recording holds, as text by name."""
    width, height = found.sensor_size
    origin = "" if found.size_is_known else " at least (the file does not tell; give --sensor-size)"
    result = {
        "file": f"{found.path} ({found.path.stat().st_size:,} bytes)",
        "format": found.encoding,
        "sensor": f"{width}×{height}{origin}",
        "events": f"{found.events:,}",
    }
    if found.first is None or found.last is None:
        return result
    active = int((found.counts.sum(0) > 0).sum())
    result["time"] = f"{found.first:,} to {found.last:,} µs, {found.duration / 1e6:,.6g} s"
    if found.duration:
        joined = -(-_PEAK_US // found.interval)  # intervals
        peak = np.convolve(found.rates, np.ones(joined)).max() / (joined * found.interval)
        during = f"{joined * found.interval / 1e3:,.4g} ms"
        result["rate"] = f"{found.events / found.duration:,.4g} million events/s, at most {peak:,.4g} for {during}"
    result["polarity"] = f"{found.on / found.events:.1%} ON, {1 - found.on / found.events:.1%} OFF"
    result["pixels"] = f"{active:,} of {width * height:,} fired ({active / (width * height):.1%})"
    return result


def anomalies(found: Inspection) -> list[str]:
    """What is odd about a recording, a sentence each."""
    width, height = found.sensor_size
    hot = found.hot_pixels
    odd = []
    if not found.events:
        odd.append("there are no events")
    if found.outside:
        odd.append(f"events outside the {width}×{height} sensor: {found.outside:,}")
    if found.backwards:
        odd.append(f"time runs backwards, {found.backwards:,}×, by up to {found.largest_step_back:,} µs; read(path, sort=True) sorts it")
    if found.repeated:
        odd.append(f"events equal to the one before them: {found.repeated:,}")
    if len(hot):
        names = ", ".join(f"({x}, {y})" for x, y in hot[:5].tolist())
        odd.append(
            f"hot pixels, with over ten times the events of 99 % of the others: {len(hot):,}, at {names}{', …' if len(hot) > 5 else ''}"
        )
    if found.events and found.on in (0, found.events):
        odd.append(f"all events are {'ON' if found.on else 'OFF'}")
    if found.duration and found.longest_gap > max(10_000, found.duration // 10):
        odd.append(f"nothing happens for {found.longest_gap / 1e6:,.4g} s")
    return odd


def _draw(found: Inspection, path: Path) -> Path:
    try:
        from eventzoo.plots import draw_inspection
    except ImportError as error:
        raise EventZooError("--plot needs matplotlib: pip install eventzoo[viz]") from error
    return draw_inspection(found, path)
