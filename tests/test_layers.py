"""Imports point downwards only, and nothing but the registry reaches the built-in parts."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "eventzoo"
LAYERS = [
    {"errors", "events", "registry", "specs", "shipped", *("datasets", "representations", "backbones", "async_converters")},
    {"io"},
    {"kernels"},
    {"nn"},
    {"data"},
    {"tasks"},
    {"asynchronous"},
    {"model", "plots", "evaluation"},
    {"zoo"},
    {"testing"},
    {"cli", "commands", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(path):
    """Names of the layers that a module imports, imports for type checkers apart."""
    tree = ast.parse(path.read_text())
    for_types = {
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "eventzoo":
            modules = [f"eventzoo.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module]
        for module in modules:
            package, _, rest = module.partition(".")
            if package == "eventzoo" and rest:
                yield rest.split(".")[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the public face names everything, and imports it when it is asked for
    found = set(imports(path))
    if own == "plugins":
        assert not found & {"plugins", "cli", "commands"}, "a part uses the layers as a third party's does"
    else:
        assert {name for name in found if LEVEL.get(name, 99) > LEVEL[own]} <= {"__version__"}
