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
    raise UnknownPartError(" ".join(hints) or f"no part and no model is named {name!r}; `eventzoo list` shows what there is")


def _describe(entry: Entry) -> PartInfo:
    try:
        spec = importlib.util.find_spec(entry.module)
        source = Path(spec.origin or "").read_text(encoding="utf-8") if spec else ""
    except (ImportError, OSError, ValueError) as error:
        raise EventZooError(f"{entry} cannot be found: {error}") from error
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == entry.name:
            return PartInfo(entry, inspect.cleandoc(ast.get_docstring(node) or "Not documented."), _arguments(node))
    return PartInfo(entry, "Defined elsewhere; its module holds no class of this name.", ())


def _arguments(node: ast.ClassDef) -> tuple[str, ...]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            given = [*item.args.args[1:], *item.args.kwonlyargs]
            first_default = len(item.args.args) - 1 - len(item.args.defaults)
            defaults = [None] * first_default + [*item.args.defaults, *item.args.kw_defaults]
            return tuple(
                ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")
                for argument, default in zip(given, defaults, strict=True)
            )
    return ()
