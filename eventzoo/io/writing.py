"""Write a recording, so that no half-written file ever has its name."""

import os
import uuid
from pathlib import Path

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.encodings import encoding_to_write, file_format


def write(path: str | os.PathLike[str], events: Events, *, encoding: str | None = None) -> None:
    """Write a recording. A file of this name is replaced; the new one appears complete or not at all.

    Args:
        path: The file; its folder must exist.
        events: What to write; `read` gives back the same. Some encodings cannot keep the sensor size.
        encoding: One of `eventzoo.io.ENCODINGS`. Default: the first one of the path's suffix.

    Raises:
        EventFileError: The suffix names no format, the format is only read, it cannot hold one of the events, or the system refuses.
    """
    path = Path(path)
    encoding = encoding_to_write(path, encoding)
    writes = file_format(encoding).write
    if writes is None:
        raise EventFileError(path, f"the encoding {encoding} is only read, not written; choose another, such as .npz")
    if path.is_dir():
        raise EventFileError(path, "is a folder; give the name of a file")
    part = path.with_name(f".{uuid.uuid4().hex}.part")  # in the same folder: only within a file system is a move atomic
    try:
        with part.open("xb") as file:
            writes(path, file, events)
        os.replace(part, path)
    except OSError as error:
        reason = f"the folder {path.parent} does not exist" if not path.parent.is_dir() else error.strerror or str(error)
        raise EventFileError(path, f"cannot be written: {reason}") from error
    finally:
        part.unlink(missing_ok=True)
