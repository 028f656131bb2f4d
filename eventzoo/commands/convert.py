"""eventzoo convert: write a recording in another format."""

import argparse
from pathlib import Path

from eventzoo.errors import EventZooError
from eventzoo.io import read, write
from eventzoo.io.encodings import ENCODINGS


def run(args: list[str]) -> None:
    """Convert a recording.

    Raises:
        EventZooError: The output is there already.
    """
    suffixes = "; ".join(f"{name}: {', '.join(encoding.suffixes)}" for name, encoding in ENCODINGS.items())
    parser = argparse.ArgumentParser("eventzoo convert", description=f"Convert a recording. Formats and their suffixes: {suffixes}.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--from", dest="source", choices=list(ENCODINGS), help="format of the input, where its name does not tell")
    parser.add_argument("--to", dest="target", choices=list(ENCODINGS), help="format of the output; default: the suffix's first")
    parser.add_argument("--sensor-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="pixels; default: what the header says")
    parser.add_argument("--sort", action="store_true", help="sort events whose time runs backwards")
    parser.add_argument("--zero-time", action="store_true", help="subtract the first event's time, for formats that count from 0")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    given = parser.parse_args(args)
    if given.output.exists() and not given.overwrite:
        raise EventZooError(f"{given.output} exists; give --overwrite to replace it")
    size = None if given.sensor_size is None else (given.sensor_size[0], given.sensor_size[1])
    events = read(given.input, sensor_size=size, sort=given.sort, encoding=given.source)
    if given.zero_time and len(events):
        events = type(events)(events.x, events.y, events.t - events.t[0], events.p, events.sensor_size, trusted=True)
    write(given.output, events, encoding=given.target)
    print(f"{given.output}: {events} ({given.output.stat().st_size:,} bytes)")
