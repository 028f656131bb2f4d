"""Where the files that ship beside code are: model cards, their weights and training recipes, eventzoo's own and those of plugins.

A package brings its own by naming itself in the group `eventzoo.zoo` of its entry points:

    [project.entry-points."eventzoo.zoo"]
    my-package = "my_package"

Cards are then `my_package/zoo/*.yaml`, recipes `my_package/configs/*.yaml`. Nothing is imported to find them.
"""

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from typing import Literal

from eventzoo.errors import PluginError

Kind = Literal["configs", "zoo"]

_PACKAGE = Path(__file__).parent
_IN_WHEEL = {"configs": _PACKAGE / "configs", "zoo": _PACKAGE / "zoo" / "cards"}


@cache
def folders(kind: Kind) -> dict[str, Path]:
    """The folders of YAML files by the entry points that name them, `eventzoo` first.

    eventzoo's own lies inside the package where it was installed from a wheel, beside it in a source checkout.
    """
    own = _IN_WHEEL[kind] if _IN_WHEEL[kind].is_dir() else _PACKAGE.parent / kind
    found = {"eventzoo": own}
    for point in sorted(importlib.metadata.entry_points(group="eventzoo.zoo")):
        module = importlib.util.find_spec(point.module.split(".")[0])
        for location in module.submodule_search_locations or [] if module else []:
            found[f"{point.name} = {point.value}"] = Path(location, *point.module.split(".")[1:], kind)
    return {brought: folder for brought, folder in found.items() if folder.is_dir()}


def files(kind: Kind) -> dict[str, list[Path]]:
    """The shipped files by their names without suffix, sorted; more than one where several packages ship this name."""
    found: dict[str, list[Path]] = {}
    for folder in folders(kind).values():
        for path in folder.glob("*.yaml"):
            found.setdefault(path.stem, []).append(path)
    return dict(sorted(found.items()))


def find(kind: Kind, name: str) -> Path | None:
    """The one shipped file of a name, without suffix; None if there is none.

    Raises:
        PluginError: Several packages ship one.
    """
    found = files(kind).get(name, [])
    if len(found) > 1:
        paths = " and ".join(map(str, found))
        raise PluginError(f"{name}.yaml is shipped by several packages: {paths}; uninstall one of them")
    return found[0] if found else None
