"""eventzoo stream: run a recording through a model event by event."""

import argparse
import json
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TextIO

import numpy as np

from eventzoo.commands import tables
from eventzoo.commands.streaming import answers, inputs
from eventzoo.commands.streaming.display import Display
from eventzoo.commands.streaming.tally import Tally
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.zoo import load

_CHUNK_US = 1000
_BLOCK = 1 << 14  # events, the most that a push takes in real time


def run(args: list[str]) -> None:
    """Run a recording through a model, and show how it goes.

    Raises:
        EventZooError: The output is there already, or cannot be written.
    """
    given = _parser().parse_args(args)
    if given.output is not None and given.output.exists() and not given.overwrite:
        raise EventZooError(f"{given.output} exists; give --overwrite to replace it")
    tables.check_outputs(given.output, None)
    model = load(given.model)
    recorded = inputs.Recorded.of(given, model.sensor_size)
    with nullcontext() if given.output is None else closing(_Output(given.output)) as output:
        stream = inputs.compiled(model, inputs.window_of(given))
        tally = Tally(stream, speed=given.real_time)
        try:
            with Display(tally, inputs.subject(stream, given.input)) as display:
                for events in _parts(recorded, given, tally, display):
                    seconds = tally.push(events)
                    if output is not None:
                        output.write(**_entry(tally, events, seconds))
                    display.update()
        finally:  # after Ctrl-C, or an error in the middle of the file, too
            tally.end()
            if tally.events:
                print("\n".join(tally.summary()))
    if tally.events == 0:
        raise recorded.empty()


def _entry(tally: Tally, events: Events, seconds: float) -> dict[str, object]:
    """What the output says of a push."""
    return {
        "t_us": int(events.t[-1]),
        "events": tally.events,
        **answers.entry(tally.result),
        "push_us": round(seconds * 1e6, 1),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "eventzoo stream",
        description="Run a recording through a model event by event: as fast as it goes, or in real time, as if it came from a camera. "
        "Shows rate, latency and the current answer (the classes' probabilities, or the boxes that were found), and says at the end if "
        "the model kept up. Ctrl-C ends it.",
        epilog="example: eventzoo stream --model local-dir:runs/aegnn_shapes/version_0/model --input recording.dat --window-us 100000 "
        "--real-time --output answers.jsonl",
    )
    inputs.add_arguments(parser)
    pace = parser.add_argument_group(
        "pace", "a push brings the answer up to date; what it holds is taken together, which costs less for each event"
    ).add_mutually_exclusive_group()
    pace.add_argument("--chunk-us", type=inputs.positive, metavar="T", help=f"a push for every T microseconds, default {_CHUNK_US:,}")
    pace.add_argument("--chunk-events", type=inputs.positive, metavar="N", help="a push for every N events; 1: an answer to each")
    pace.add_argument(
        "--real-time",
        type=_speed,
        nargs="?",
        const=1.0,
        metavar="SPEED",
        help="push events when their time has come, all that are due together; SPEED 2: twice as fast as they were recorded",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="JSON lines, one a push: t_us (time of its last event), events (pushed so far), the answer, push_us (how long it took). The "
        "answer is label, class_id, probabilities of a classifier, and boxes ([left, top, right, bottom] in pixels, the best first), "
        "scores, class_ids, labels of a detector",
    )
    output.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    return parser


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return speed


def _parts(recorded: inputs.Recorded, given: argparse.Namespace, tally: Tally, display: Display) -> Iterator[Events]:
    """The recording in the parts that are to be pushed, each when it is time for it."""
    if given.real_time is not None:
        return _due(_clocked(recorded.chunks(count=_BLOCK), tally), tally, display)
    if given.chunk_events is not None:
        return _clocked(recorded.chunks(count=given.chunk_events), tally)
    return _clocked(recorded.chunks(duration=given.chunk_us or _CHUNK_US), tally)


def _clocked(chunks: Iterator[Events], tally: Tally) -> Iterator[Events]:
    """The same chunks. The clock starts when the first is there: to get it may take the time to load what reads the format."""
    for number, chunk in enumerate(chunks):
        if number == 0:
            tally.begin(int(chunk.t[0]))
        yield chunk


def _due(chunks: Iterator[Events], tally: Tally, display: Display) -> Iterator[Events]:
    """What is due when it is asked for; waits for the next event if nothing is."""
    for chunk in chunks:
        done = 0
        while done < len(chunk):
            due = int(np.searchsorted(chunk.t, tally.due(), side="right"))
            if due > done:
                yield chunk[done:due]
                done = due
            else:
                display.update()
                tally.wait(int(chunk.t[done]))


class _Output:
    """A file of JSON lines, each written at once: a process that is killed leaves whole lines.

    Args:
        path: The file; it is made, or replaced, with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, **entry: object) -> None:
        """Write a line.

        Raises:
            EventZooError: It cannot be written.
        """
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise EventZooError(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):  # `write` has reported it
                self._file.close()
