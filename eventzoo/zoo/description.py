"""What a part is and takes, read from its source without importing it."""

import ast
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path

from eventzoo import registry
from eventzoo.errors import EventZooError, UnknownPartError
from eventzoo.registry import Entry
from eventzoo.zoo.cards import ModelCard, card, list_models


@dataclass(frozen=True)
class PartInfo:
    """A part as its source describes it.

    Attributes:
        entry: Where it is registered.
        documentation: Its docstring.
        arguments: Its constructor's arguments, each as written: `"kernel_size: int = 2"`.
    """

    entry: Entry
    documentation: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        kind = self.entry.group.removesuffix("s").replace("_", " ")
        arguments = "\n".join(f"  {argument}" for argument in self.arguments) or "  none"
        return (
            f"{self.entry.name} — {kind} of {self.entry.package} {self.entry.version} ({self.entry.module})\n\n"
            f"{self.documentation}\n\nSignature:\n{arguments}"
        )


def info(name: str) -> "PartInfo | ModelCard":
    """What is known of a registered part or a model of the zoo; `print` shows it.

    Raises:
        EventZooError: Nothing has this name, or more than one package claims it.
    """
    if name in list_models():
        return card(name)
    for group in registry.GROUPS:
        if name in registry.entries(group):
            return _describe(registry.find(group, name))
    reasons = [registry.unknown(group, name) for group in registry.GROUPS]
    hints = [reason.split("?")[0] + "?" for reason in reasons if "Did you mean" in reason]
    nothing = f"no part and no model is named {name!r}; `eventzoo list` shows what there is"
    raise UnknownPartError(" ".join(hints) or f"{nothing}, and `eventzoo fit --data.train_transforms.help NAME` a transform's settings")


def _describe(entry: Entry) -> PartInfo:
    try:
        found = _definition(entry.module, entry.name)
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        raise EventZooError(f"{entry} cannot be read: {error}") from error
    if found is None:
        return PartInfo(entry, "Defined elsewhere; its module holds no class of this name.", ())
    documentation = inspect.cleandoc(ast.get_docstring(found[1]) or "Not documented.")
    return PartInfo(entry, documentation, _arguments(*found))


def _definition(module: str, name: str) -> tuple[ast.Module, ast.ClassDef] | None:
    """A module's source and the class of a name in it."""
    spec = importlib.util.find_spec(module)
    tree = ast.parse(Path(spec.origin or "").read_text(encoding="utf-8")) if spec else ast.Module([], [])
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return next(((tree, node) for node in classes), None)


def _arguments(tree: ast.Module, node: ast.ClassDef) -> tuple[str, ...]:
    """The constructor's arguments, its own or those that it inherits from a class of eventzoo."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature(item.args)
    imported = {
        alias.asname or alias.name: (statement.module, alias.name)
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom) and statement.module and statement.module.startswith("eventzoo.")
        for alias in statement.names
    }
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in imported:
            found = _definition(*imported[base.id])
            return _arguments(*found) if found else ()
    return ()


def _signature(arguments: ast.arguments) -> tuple[str, ...]:
    given = [*arguments.args[1:], *arguments.kwonlyargs]
    without_default = len(arguments.args) - 1 - len(arguments.defaults)
    defaults = [None] * without_default + [*arguments.defaults, *arguments.kw_defaults]
    return tuple(
        ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "") for argument, default in zip(given, defaults, strict=True)
    )
