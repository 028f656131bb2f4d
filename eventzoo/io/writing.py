"""Write a recording, so that no half-written file ever has its name."""

import os
import uuid
from pathlib import Path

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.formats import format_of


def write(path: str | os.PathLike[str], events: Events) -> None:
    """Write a recording in the format that the suffix names: `.bin`, `.dat` or `.npz`. A file of this name is replaced.

    The file appears complete or not at all. `.dat` and `.npz` keep the sensor size, `.bin` cannot.

    Args:
        path: The file; its folder must exist.
        events: What to write; `read` gives back the same.

    Raises:
        EventFileError: The suffix names no format, the format cannot hold one of the events, or the system refuses.
    """
    path = Path(path)
    file_format = format_of(path)
    if path.is_dir():
        raise EventFileError(path, "is a folder; give the name of a file")
    part = path.with_name(f".{uuid.uuid4().hex}.part")  # in the same folder: only within a file system is a move atomic
    try:
        with part.open("xb") as file:
            file_format.write(path, file, events)
        os.replace(part, path)
    except OSError as error:
        reason = f"the folder {path.parent} does not exist" if not path.parent.is_dir() else error.strerror or str(error)
        raise EventFileError(path, f"cannot be written: {reason}") from error
    finally:
        part.unlink(missing_ok=True)
