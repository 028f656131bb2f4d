"""Files <-> Events: whole, in windows, and back. Nothing here knows of torch."""

from eventzoo.io.encodings import ENCODINGS
from eventzoo.io.reading import read
from eventzoo.io.windows import read_windows
from eventzoo.io.writing import write

__all__ = ["ENCODINGS", "read", "read_windows", "write"]
