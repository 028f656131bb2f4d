"""Where the files that ship beside the code are: training recipes and model cards."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent
_IN_WHEEL = {"configs": _PACKAGE / "configs", "zoo": _PACKAGE / "zoo" / "cards"}


def shipped(kind: Literal["configs", "zoo"]) -> Path:
    """The folder of YAML files: inside the package where it was installed from a wheel, beside it in a source checkout."""
    in_wheel = _IN_WHEEL[kind]
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / kind


def names(kind: Literal["configs", "zoo"]) -> list[str]:
    """Names of the shipped files, without their suffix."""
    return sorted(path.stem for path in shipped(kind).glob("*.yaml"))
