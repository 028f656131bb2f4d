"""The text at the beginning of AEDAT 2.0 and 3.1 files, and the cameras that it names.

Lines begin with `#` and end with a line feed, as a rule after a carriage return; the first one is `#!AER-DAT` and the version. Those of
the form `# key: value` tell, among much else, the camera. One is ours: `# sensor size: 34x34` keeps the size of what `write` was given.

Source: "AEDAT File Formats", iniVation's documentation.
"""

import re
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from eventzoo.errors import EventFileError

_LONGEST_LINE = 1 << 16  # bytes: a file that is no AEDAT may never end a line
_LONGEST_HEADER = 1 << 24  # jAER puts all its preferences there, 175 kB in the smallest of recordings
_TEXT = re.compile(rb"#[^\x00-\x08\x0a-\x1f]*(?:\r?\n)?")
_FIELD = re.compile(rb"#\s*([A-Za-z][A-Za-z0-9 ]*?)\s*:\s*(.*?)\s*")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_LARGEST_SIDE = 1 << 15

# Sensor sizes of the cameras by a part of their names; those of one family address their pixels alike. From small to large.
SENSORS: Mapping[str, tuple[int, int]] = {"DVS128": (128, 128), "DAVIS240": (240, 180), "DAVIS346": (346, 260), "DAVIS640": (640, 480)}


class Header(NamedTuple):
    """What a header says.

    Attributes:
        fields: The values of its lines `# key: value` by their keys in lower case.
        ended: Whether it ended with the line that marks its end.
    """

    fields: Mapping[str, str]
    ended: bool

    def sensor_size(self, path: Path) -> tuple[int, int] | None:
        """`(width, height)` by our own line, None without one.

        Raises:
            EventFileError: The line does not give two numbers of pixels.
        """
        text = self.fields.get("sensor size")
        if text is None:
            return None
        size = _SIZE.fullmatch(text)
        if not size or not all(0 < int(side) <= _LARGEST_SIDE for side in size.groups()):
            raise EventFileError(path, f"the header's sensor size is {text!r}, not such as 34x34; pass sensor_size=(width, height)")
        return int(size[1]), int(size[2])


def read_header(path: Path, file: BufferedReader, version: str, end: bytes) -> Header:
    """Read lines up to the one that is `end`, or, where there is none, up to the first that is no text after a `#`.

    Raises:
        EventFileError: The first line does not name the version, or a line does not end.
    """
    begin = f"#!AER-DAT{version}".encode()
    fields: dict[str, str] = {}
    offset = 0
    while True:
        line = file.readline(_LONGEST_LINE)
        if not offset and line.rstrip(b"\r\n") != begin:
            raise EventFileError(path, f"the first line is not {begin.decode()}: no AEDAT {version} file", 0)
        if not _TEXT.fullmatch(line):
            file.seek(offset)
            return Header(fields, ended=False)
        if not line.endswith(b"\n"):
            raise EventFileError(path, "the header's line that begins here does not end: truncated, or no AEDAT file", offset)
        offset += len(line)
        if offset > _LONGEST_HEADER:
            raise EventFileError(path, f"the header is longer than {_LONGEST_HEADER:,} bytes: no AEDAT file", offset)
        if line.rstrip(b"\r\n") == end:
            return Header(fields, ended=True)
        if field := _FIELD.fullmatch(line):
            fields[field[1].decode().lower()] = field[2].decode("latin-1")


def sensor_named(text: str) -> str | None:
    """The key in `SENSORS` of the camera that a text names, such as `eu.seebetter.ini.chips.davis.DAVIS240C`; None if it is none."""
    return next((name for name in SENSORS if name in text.upper()), None)


def smallest_sensor(size: tuple[int, int]) -> str | None:
    """The key in `SENSORS` of the smallest camera with room for `(width, height)`; None if it is larger than all."""
    return next((name for name, (width, height) in SENSORS.items() if size[0] <= width and size[1] <= height), None)
