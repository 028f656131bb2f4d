"""Reading recordings whole on one core, beside the libraries from PyPI that read them too, with a check of every field.

    EVENTZOO_REALDATA=<folder> python benchmarks/readers.py [encoding ...]

The files are read from the page cache, into arrays in memory; ours with all its checks. What a library decodes differently is
said below each table. Peers (`pip install eventzoo[bench]`) that are missing are named and left out.
"""

from race import race  # isort: skip  # pins the threads

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eventzoo

PEERS = ("faery", "evlib", "expelliarmus", "tonic", "aedat")
RECORDINGS = (
    ("dat", "Gen1/gen1_20s_td.dat", (304, 240)),
    ("dat", "N-Cars/obj_004397_td.dat", (120, 100)),
    ("evt2", "formats/gen3_vga.evt2.raw", (640, 480)),
    ("evt3", "formats/ros_640x480.evt3.raw", (640, 480)),
    ("evt3", "formats/pedestrians_hd.evt3.raw", (1280, 720)),
    ("es", "formats/dvs.es", (320, 240)),
    ("bin", "N-Caltech101/Caltech101/Faces_easy/image_0001.bin", (240, 180)),
    ("bin", "N-MNIST/Train/*/*1.bin", (34, 34)),
    ("aedat4", "formats/davis346.aedat4", (346, 260)),
)
Reader = Callable[[Path, tuple[int, int]], Any]


def module(name: str) -> Any:
    """A peer, None if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def readers(encoding: str) -> dict[str, Reader]:
    """What reads an encoding, ours first."""
    faery, evlib, expelliarmus, tonic, aedat = (module(name) for name in PEERS)
    found: dict[str, Reader] = {"eventzoo": lambda path, size: eventzoo.read(path, sensor_size=size)}
    version = {"version_fallback": "dat2"} if encoding == "dat" else {}
    if faery and encoding != "bin":
        found["faery, to_array"] = lambda path, size: faery.events_stream_from_file(path, dimensions_fallback=size, **version).to_array()
        decoder = {
            "dat": lambda path, size: faery.dat.Decoder(str(path), size, "dat2"),
            "es": lambda path, _: faery.es.Decoder(str(path), 0),
            "aedat4": lambda path, _: (packet["events"] for packet in _packets(faery.aedat.Decoder(str(path)))),
        }.get(encoding, lambda path, size: (packet["events"] for packet in _packets(faery.evt.Decoder(str(path), size, encoding))))
        found["faery, Decoder"] = lambda path, size: np.concatenate(list(decoder(path, size)))
    if evlib:
        found["evlib"] = lambda path, _: evlib.load_events(str(path), sort=False).collect()
    if expelliarmus and encoding in ("dat", "evt2", "evt3"):
        found["expelliarmus"] = lambda path, _: expelliarmus.Wizard(encoding=encoding).read(path)
    if tonic and encoding == "bin":
        dtype = np.dtype([(name, int) for name in "xytp"])
        found["Tonic"] = lambda path, _: tonic.io.read_mnist_file(str(path), dtype=dtype)
    if tonic and encoding == "aedat4":
        found["Tonic"] = lambda path, _: tonic.io.read_aedat4(str(path))
    if aedat and encoding == "aedat4":
        found["aedat"] = lambda path, _: np.concatenate([packet["events"] for packet in _packets(aedat.Decoder(str(path)))])
    return found


def _packets(decoder: Any) -> Any:
    return (packet for packet in decoder if "events" in packet)


def columns(events: Any) -> dict[str, NDArray[np.int64]]:
    """Any reader's t, x, y and p, as whole numbers."""
    if events is None:
        raise ValueError("gives nothing")
    if isinstance(events, eventzoo.Events):
        return {name: getattr(events, name).astype(np.int64) for name in "txyp"}
    names = getattr(events, "columns", None) or events.dtype.names
    columns = {name: events[next(n for n in (name, "on", "payload", "polarity") if n in names)] for name in "txyp"}
    if hasattr(columns["t"], "dt") and hasattr(columns["t"].dtype, "time_unit"):
        columns["t"] = columns["t"].dt.total_microseconds()
    return {name: np.asarray(values).astype(np.int64) for name, values in columns.items()}


def difference(ours: Mapping[str, NDArray[np.int64]], other: Mapping[str, NDArray[np.int64]]) -> str:
    """How another reader's events differ, in words."""
    if len(ours["t"]) != len(other["t"]):
        return f"{len(other['t']):,} events instead of {len(ours['t']):,}"
    said = []
    for name, a in ours.items():
        b, wrong = other[name], other[name] != a
        if not wrong.any():
            continue
        if name == "p" and np.array_equal(b, 2 * a - 1):
            said.append("p is -1 and +1")
        elif np.ptp(a + b) == 0:
            said.append(f"{name} is {(a + b)[0]} - {name}")
        elif np.ptp(b - a) == 0:
            said.append(f"{name} is shifted by {(b - a)[0]:,}")
        else:
            at = int(wrong.argmax())
            said.append(f"{name} differs in {wrong.sum():,} of {len(a):,} events, first in event {at:,}: {b[at]:,} instead of {a[at]:,}")
    return "; ".join(said) or "the same events"


def compare(encoding: str, paths: list[Path], title: str, size: tuple[int, int]) -> str:
    """Race the readers of a recording, or of several in turn; a line for the summary."""
    contenders: dict[str, Callable[[], list[Any]]] = {}
    notes = []
    ours = [columns(eventzoo.read(path, sensor_size=size)) for path in paths]
    for name, reader in readers(encoding).items():
        try:
            theirs = [columns(reader(path, size)) for path in paths]
        except BaseException as error:  # a panic in Rust is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            notes.append(f"- {name}: fails: {type(error).__name__}: {str(error)[:120]}")
            continue
        contenders[name] = lambda reader=reader: [reader(path, size) for path in paths]
        if name != "eventzoo":
            notes.append(f"- {name}: {'; '.join(dict.fromkeys(difference(a, b) for a, b in zip(ours, theirs, strict=True)))}")
    count = sum(len(events["t"]) for events in ours)
    medians = race(f"{encoding}: {title}, {count:,} events", contenders, rounds=15, rehearse=True)
    print("\n" + "\n".join(notes))
    speeds = {name: count / seconds / 1e6 for name, seconds in medians.items()}
    mine = speeds.pop("eventzoo")
    peers = ", ".join(f"{name} {speed:.3g}" for name, speed in sorted(speeds.items(), key=lambda item: -item[1]))
    return f"| {encoding} | {title} | {count:,} | {mine:.3g} | {peers} | {mine / max(speeds.values(), default=mine):.1f} |"


def main() -> None:
    root = Path(os.environ["EVENTZOO_REALDATA"])
    missing = [name for name in PEERS if module(name) is None]
    if missing:
        print(f"left out, because they are not installed: {', '.join(missing)}")
    lines = []
    for encoding, pattern, size in RECORDINGS:
        paths = sorted(root.glob(pattern))
        if paths and encoding in (sys.argv[1:] or [encoding]):
            title = paths[0].name if len(paths) == 1 else f"{len(paths)} × {pattern.split('/')[0]}"
            lines.append(compare(encoding, paths, title, size))
    print("\n| encoding | recording | events | eventzoo, million events/s | peers | ours : the fastest |\n|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
