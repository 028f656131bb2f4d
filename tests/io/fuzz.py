"""Damaged files in every encoding: each must give events or an `EventFileError`, soon and in little memory.

    python tests/io/fuzz.py --files 20000 [--encodings dat evt3 ...] [--seed 0] [--first 0]

File number n of an encoding depends on the seed and on n alone, so that a failure is repeated with `--seed s --first n --files 1`. The
files are read in a process of their own, which may crash or hang without taking the rest with it. Linux only.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from ctypes import c_int64
from pathlib import Path
from typing import Any

import numpy as np

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import ENCODINGS, read, read_windows, write
from eventzoo.io.encodings import file_format

SIZE = (128, 128)
HANG_S = 20  # for one file
MOST_BYTES, MOST_BYTES_A_BYTE = 64 << 20, 200  # of memory for one file
REAL_BYTES = 1 << 16  # taken of a real recording, where an encoding is only read


def recordings() -> Iterator[Events]:
    """What the undamaged files hold."""
    rng = np.random.default_rng(0)
    for count in (1, 12, 300):
        t = np.sort(rng.integers(0, 20_000, count))
        yield Events(rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count), t, rng.random(count) < 0.5, SIZE)


def undamaged(name: str, folder: Path) -> list[bytes]:
    """Valid files of an encoding: written, or else beginnings of real recordings; empty if there are none."""
    path = folder / f"valid{ENCODINGS[name].suffixes[0]}"
    if file_format(name).write is None:
        return list(real(name))
    contents = []
    for events in recordings():
        write(path, events, encoding=name)
        contents.append(path.read_bytes())
    outcome(path, name, SIZE)  # what is imported and compiled once does not count
    return contents


def real(name: str) -> Iterator[bytes]:
    """The beginning of the smallest real recording that the encoding can read."""
    root = Path(os.environ.get("EVENTZOO_REALDATA") or Path(__file__).parents[3] / "shared" / "realdata")
    paths = (path for suffix in ENCODINGS[name].suffixes for path in root.rglob(f"*{suffix}"))
    for path in sorted(paths, key=lambda path: path.stat().st_size):
        try:
            checked(read(path, encoding=name, sort=True))
        except EventFileError:
            continue
        yield path.read_bytes()[:REAL_BYTES]
        return


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """The file after one to three mutations."""
    data = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        mutation = (flip, truncate, overwrite, insert, duplicate, swap)[rng.choice(6, p=(0.3, 0.1, 0.3, 0.1, 0.1, 0.1))]
        if data:
            mutation(data, rng)
    return bytes(data)


def place(data: bytearray, rng: np.random.Generator) -> slice:
    """Some bytes; half of them where a header may be."""
    at = int(rng.integers(min(len(data), 256) if rng.random() < 0.5 else len(data)))
    return slice(at, at + int(rng.integers(1, 1 << rng.integers(1, 8))))


def flip(data: bytearray, rng: np.random.Generator) -> None:
    """Up to eight bits."""
    for _ in range(rng.integers(1, 9)):
        data[place(data, rng).start] ^= 1 << int(rng.integers(8))


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    """The end is lost."""
    del data[int(rng.integers(len(data) + 1)) :]


def overwrite(data: bytearray, rng: np.random.Generator) -> None:
    """Random bytes, or one byte that stands for an extreme number, in the place of others."""
    where = place(data, rng)
    length = len(data[where])
    data[where] = rng.bytes(length) if rng.random() < 0.5 else bytes([rng.choice((0, 0x7F, 0x80, 0xFF))]) * length


def insert(data: bytearray, rng: np.random.Generator) -> None:
    """Random bytes between others."""
    where = place(data, rng)
    data[where.start : where.start] = rng.bytes(where.stop - where.start)


def duplicate(data: bytearray, rng: np.random.Generator) -> None:
    """A part twice."""
    where = place(data, rng)
    data[where.start : where.start] = data[where]


def swap(data: bytearray, rng: np.random.Generator) -> None:
    """Two parts in each other's place."""
    one, other = place(data, rng), place(data, rng)
    data[one], data[other] = data[other], data[one]


def outcome(path: Path, name: str, size: tuple[int, int] | None) -> str:
    """Events or error; whole and in windows agree.

    Raises:
        Exception: Whatever else the readers raise, such as MemoryError where they ask for more than the file warrants.
        EventZooError: The events are not valid.
        AssertionError: Whole and in windows differ.
    """
    count = counted(lambda: [checked(read(path, encoding=name, sensor_size=size))])
    given = size or SIZE
    for windows in ({"count": 50}, {"duration": 10**9}):
        try:
            found = counted(lambda windows=windows: read_windows(path, encoding=name, sensor_size=given, **windows))
        except TooManyWindowsError:
            continue
        if size and found != count:
            raise AssertionError(f"{count} events whole, {found} in windows by {windows} (None is an error)")
    return "error" if count is None else "events"


class TooManyWindowsError(Exception):
    """A silence of millions of windows, which is no fault of the file."""


def checked(events: Events) -> Events:
    """The same events, which were trusted."""
    return Events(events.x, events.y, events.t, events.p, events.sensor_size)


def counted(parts: Callable[[], Iterable[Events]]) -> int | None:
    """The number of events; None for an `EventFileError`."""
    try:
        return sum(len(part) for part in parts())
    except EventFileError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        if "windows of" in error.reason:
            raise TooManyWindowsError from None
        return None


def limit_memory(file_bytes: int) -> None:
    """Let this process take no more than the file warrants from now on."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = taken + MOST_BYTES + MOST_BYTES_A_BYTE * file_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def read_damaged(name: str, seed: int, stop: int, folder: Path, valid: list[bytes], number: Any, results: Any) -> None:
    """Read the files from `number` on, telling each result."""
    warnings.simplefilter("error")
    path = folder / f"damaged{ENCODINGS[name].suffixes[0]}"
    while number.value < stop:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number.value])
        data = damaged(valid[rng.integers(len(valid))], rng)
        path.unlink(missing_ok=True)  # writing over an old file makes some file systems wait for the disk
        path.write_bytes(data)
        limit_memory(len(data))
        try:
            results.put((number.value, outcome(path, name, SIZE if rng.random() < 0.5 else None)))
        except Exception as error:
            results.put((number.value, f"{type(error).__name__}: {error}"))
        number.value += 1


def fuzz(name: str, seed: int, first: int, files: int) -> Counter[str]:
    """Read so many damaged files of an encoding; how often each outcome was, failures being printed."""
    context = multiprocessing.get_context("fork")
    number, counts = context.Value(c_int64, first), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        valid = undamaged(name, Path(folder))
        while valid and number.value < first + files:
            results = context.SimpleQueue()
            arguments = (name, seed, first + files, Path(folder), valid, number, results)
            child = context.Process(target=read_damaged, args=arguments)
            child.start()
            died = watch(child, number, results, name, seed, counts)
            if died:
                report(name, seed, number.value, died, counts)
                number.value += 1
    return counts


def watch(child: Any, number: Any, results: Any, name: str, seed: int, counts: Counter[str]) -> str:
    """Collect results until the child ends; how, if not well."""
    since, at = time.monotonic(), number.value
    while True:
        alive = child.is_alive()
        while not results.empty():
            which, result = results.get()
            if result in ("events", "error"):
                counts[result] += 1
            else:
                report(name, seed, which, result, counts)
        if not alive:
            return "" if child.exitcode == 0 else f"the process dies with exit code {child.exitcode}"
        if number.value != at:
            since, at = time.monotonic(), number.value
        if time.monotonic() - since > HANG_S:
            child.kill()
            child.join()
            return f"takes more than {HANG_S} s"
        child.join(0.05)


def report(name: str, seed: int, number: int, what: str, counts: Counter[str]) -> None:
    """Print a failure."""
    counts["failure"] += 1
    print(f"{name}: file {number} (--encodings {name} --seed {seed} --first {number} --files 1): {what}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="of each encoding")
    parser.add_argument("--encodings", nargs="+", choices=ENCODINGS, default=list(ENCODINGS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    args = parser.parse_args(arguments)
    failures = 0
    print("| encoding | files | events | EventFileError | failures | s |\n|---|---|---|---|---|---|", flush=True)
    for name in args.encodings:
        start = time.monotonic()
        try:
            counts = fuzz(name, args.seed, args.first, args.files)
        except ImportError as error:
            print(f"| {name} | skipped: {error} |", flush=True)
            continue
        failures += counts["failure"]
        numbers = (counts.total(), counts["events"], counts["error"], counts["failure"], round(time.monotonic() - start))
        skipped = f"| {name} | skipped: it is only read, and there is no real recording (EVENTZOO_REALDATA) |"
        print(f"| {name} | {' | '.join(f'{n:,}' for n in numbers)} |" if counts else skipped, flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
