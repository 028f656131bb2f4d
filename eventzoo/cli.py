"""The `eventzoo` command. What answers at once is here; the rest is in `commands`, imported when it is asked for."""

import difflib
import itertools
import sys
from collections.abc import Sequence
from importlib import import_module

from eventzoo import __version__, registry, shipped
from eventzoo.errors import EventZooError

TRAINER_COMMANDS = {
    "fit": "train a model from a YAML recipe",
    "validate": "evaluate a checkpoint on the validation split",
    "test": "evaluate a checkpoint on the test split, or a model: eventzoo test --model NAME",
    "predict": "write a checkpoint's predictions to a CSV file",
}
COMMANDS = {
    **TRAINER_COMMANDS,
    "thresholds": "choose a detector's score threshold and NMS by the validation split",
    "anytime": "accuracy after the first 100, 200, 400, … events of recordings",
    "prepare": "build a recipe's samples once, for faster training",
    "data": "verify | stats | clean: recordings and prepared samples",
    "inspect": "describe a recording: eventzoo inspect FILE",
    "convert": "convert a recording: eventzoo convert IN OUT",
    "streams": "draw what an EventStream makes of a recording: eventzoo streams FILE",
    "stream": "run a recording through a model event by event, live",
    "flops": "operations an event, beside a synchronous forward",
    "latency": "microseconds an event, beside a synchronous forward",
    "models": "the models of the zoo, as a table",
    "import-checkpoint": "make a model of weights that aegnn's, asynet's or event2vec's own code trained",
    "export": "write a model to a folder, with a page about it",
    "push": "publish a model on the Hugging Face Hub",
    "list": "list the registered parts, the models and the recipes",
    "info": "describe a part or a model: eventzoo info NAME",
}
_MODULES = {
    **{name: name for name in ("thresholds", "anytime", "prepare", "inspect", "convert", "streams")},
    **{name: f"streaming.{name}" for name in ("stream", "flops", "latency")},
    "data": "stores",
    "import-checkpoint": "zoo.import_checkpoint",
    **{name: f"zoo.{name}" for name in ("models", "export", "push")},
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; `args` default to those of the process."""
    given = list(sys.argv[1:] if args is None else args)
    try:
        _run(given)
    except EventZooError as error:
        sys.exit(f"eventzoo: error: {_without_traceback(str(error))}")
    except KeyboardInterrupt:
        print("\neventzoo: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()


def _run(args: list[str]) -> None:
    command, rest = (args[0], args[1:]) if args else ("--help", [])
    if command == "test" and _names_a_model(rest):
        from eventzoo.commands.zoo import evaluate

        evaluate.run(rest)
    elif command in TRAINER_COMMANDS:
        from eventzoo.commands import train

        train.run([command, *rest])
    elif command in _MODULES:
        import_module(f"eventzoo.commands.{_MODULES[command]}").run(rest)
    elif command == "list" and not rest:
        print(overview())
    elif command == "info" and len(rest) == 1 and not rest[0].startswith("-"):
        from eventzoo.zoo import info

        print(info(rest[0]))
    elif command in ("-h", "--help", "list", "info"):
        print(usage())
    elif command == "--version":
        print(f"eventzoo {__version__}")
    else:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise EventZooError(f"no command named {command!r}.{hint} Commands: {', '.join(COMMANDS)}")


def _names_a_model(args: list[str]) -> bool:
    """Whether arguments say `--model` with what `eventzoo.load` takes, or is spelt like it, and not with a task's class."""
    values = [value for flag, value in itertools.pairwise(args) if flag == "--model"]
    values += [arg.removeprefix("--model=") for arg in args if arg.startswith("--model=")]
    return any(
        value in shipped.files("zoo") or (value.islower() and "." not in value) or not value.replace(".", "").isidentifier()
        for value in values
    )


def _without_traceback(message: str) -> str:
    """The last line of what a DataLoader's worker process reports, which puts its traceback into the message."""
    return message.strip().splitlines()[-1] if message.startswith("Caught ") else message


def usage() -> str:
    """The help text of the command itself."""
    commands = "\n".join(f"  {name:<19}{meaning}" for name, meaning in COMMANDS.items())
    return (
        "usage: eventzoo COMMAND [ARGUMENTS]\n\n"
        f"{commands}\n\n"
        "examples:\n"
        "  eventzoo fit --config configs/aegnn_shapes.yaml\n"
        "  eventzoo fit --config configs/aegnn_nmnist.yaml --trainer.max_epochs 5\n"
        "  eventzoo stream --model aegnn-nmnist --input recording.bin\n"
        "  eventzoo fit --help                        all settings of fit\n"
        "  eventzoo fit --model.backbone.help AEGNN   the settings of one part\n"
        "  eventzoo info AEGNN                        what a part is and takes\n\n"
        f"eventzoo {__version__}"
    )


def overview() -> str:
    """Everything that can be named: parts by group with the package that brings them, models, recipes."""
    lines = []
    for group in registry.GROUPS:
        lines.append(group.replace("_", " "))
        for name, claims in registry.entries(group).items():
            packages = " and ".join(f"{entry.package} {entry.version}" for entry in claims)
            lines.append(f"  {name:<20}{packages}{'   (ambiguous: two packages claim this name)' if len(claims) > 1 else ''}")
        if not registry.entries(group):
            lines.append("  none")
    lines += ["models", *(f"  {name}" for name in shipped.files("zoo"))]
    lines += ["recipes", *(f"  configs/{name}.yaml" for name in shipped.files("configs"))]
    return "\n".join(lines)
