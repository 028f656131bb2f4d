"""What is wrong with other packages, told on the command line."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from eventzoo.errors import PluginWarning


@contextmanager
def warnings_told() -> Iterator[None]:
    """Print what is warned of meanwhile as lines of words, each once, and not as Python's warnings."""
    with warnings.catch_warnings(record=True) as broken:
        warnings.simplefilter("always", PluginWarning)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in broken):
        print(f"warning: {message}", file=sys.stderr)
