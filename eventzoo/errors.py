"""The errors that eventzoo raises on purpose. Their messages are written for people: what, where, what to do."""

from pathlib import Path


class EventZooError(Exception):
    """Something that the user can mend. The command line prints its message without a traceback."""


class EventFileError(EventZooError):
    """A file does not hold what its format promises.

    Args:
        path: The file.
        reason: What is wrong, and what to do.
        offset: Byte offset of the first bad byte, where one is known.
    """

    def __init__(self, path: str | Path, reason: str = "", offset: int | None = None) -> None:
        where = "" if offset is None else f", byte {offset:,}"
        # without a reason it is torch that re-raises a worker process's error, with the whole message as its one argument
        super().__init__(f"{path}{where}: {reason}" if reason else str(path))
        self.path = Path(path)
        self.reason = reason
        self.offset = offset

    def __reduce__(self) -> tuple[type, tuple[Path, str, int | None]]:
        return type(self), (self.path, self.reason, self.offset)  # survives the way back from a worker process


class DatasetNotFoundError(EventZooError):
    """A dataset's files are not where they were looked for; the message says how to get them."""


class UnknownPartError(EventZooError):
    """A name that no installed package has registered."""


class PluginError(EventZooError):
    """A registered part that cannot be used: its import fails, or two packages claim its name."""


class PluginWarning(UserWarning):
    """A plugin that is broken or ambiguous; all others go on working."""
