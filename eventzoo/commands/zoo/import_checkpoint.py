"""eventzoo import-checkpoint: another project's trained weights as a model of ours."""

import argparse
import inspect
from functools import partial
from importlib import import_module
from pathlib import Path

from jsonargparse.typing import PositiveInt

from eventzoo.errors import EventZooError
from eventzoo.specs import spec_of

_UPSTREAMS = ("aegnn", "asynet", "event2vec")

_USAGE = "eventzoo import-checkpoint FILE --from NAME --output FOLDER [settings]"
_DESCRIPTION = (
    "Make a saved model of a checkpoint that the authors' own code trained. Nothing in the file is executed. Sizes are told by the "
    "weights; where they are those of a published network, so are dataset and settings. What is left out is said."
)


def run(args: list[str]) -> None:
    """Import a checkpoint, and say what was made of it.

    Raises:
        EventZooError: The checkpoint cannot be imported, a setting is none of its kind's, or the output is there already.
    """
    given = vars(_parser().parse_args(args))
    upstream, file, output = given.pop("upstream"), given.pop("file"), given.pop("output")
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None}
    importer = getattr(import_module(f"eventzoo.zoo.checkpoints.{upstream}"), f"import_{upstream}")
    strange = [f"--{name.replace('_', '-')}" for name in settings if name not in inspect.signature(importer).parameters]
    if strange:
        raise EventZooError(f"{', '.join(strange)}: no setting of {upstream}'s; eventzoo import-checkpoint --help says which are")
    model, network, notes = importer(file, **settings)
    model.save(output)

    print(f"{upstream}: {network}")
    for kind, part in (("representation", model.representation), ("backbone", model.backbone), ("head", model.head)):
        spec = spec_of(part)
        init_args = ", ".join(f"{name}={value}" for name, value in spec.get("init_args", {}).items())
        print(f"  {kind:<15}{spec['class_path'].rpartition('.')[2]}({init_args})")
    print(f"  {'parameters':<15}{sum(parameter.numel() for parameter in model.parameters()):,}")
    print(f"  {'sensor':<15}{'×'.join(map(str, model.sensor_size))}")
    print(f"  {'classes':<15}{len(model.classes)}: {', '.join(model.classes[:5])}{', …' * (len(model.classes) > 5)}")
    for note in notes:
        print(f"- {note}")
    print(f"saved: {output}")
    print("next:")
    print(f"  eventzoo test --model local-dir:{output} --config RECIPE")
    print(f"  eventzoo stream --model local-dir:{output} --input RECORDING")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("eventzoo import-checkpoint", _USAGE, _DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE", help="of torch.save: a state_dict, or a training's checkpoint with one")
    parser.add_argument(
        "--from", dest="upstream", metavar="NAME", choices=_UPSTREAMS, required=True, help="whose code wrote it: " + ", ".join(_UPSTREAMS)
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", required=True, help="where the model is saved; must not exist yet")
    settings = parser.add_argument_group("settings that replace the published ones")
    add_size = partial(settings.add_argument, type=PositiveInt, nargs=2, metavar=("WIDTH", "HEIGHT"))
    settings.add_argument("--classes", nargs="+", metavar="NAME", help="names of the answers in the order of the network's")
    add_size("--sensor-size", help="pixels of the recordings that it was trained on")
    settings.add_argument("--dataset", metavar="NAME", help="aegnn, asynet: the dataset whose published settings hold")
    settings.add_argument("--radius", type=float, metavar="PIXELS", help="aegnn: largest distance of neighbours")
    settings.add_argument(
        "--time-scale", type=_number, metavar="SCALE", help="aegnn: pixels a microsecond; event2vec, v1: microseconds that count as 1"
    )
    add_size("--pool-size", help="aegnn: pixels of a voxel of the coarse graph")
    settings.add_argument("--coarse-scale", type=float, metavar="PIXELS", help="aegnn: offset of coarse nodes at the kernel's end")
    settings.add_argument("--max-neighbors", type=PositiveInt, metavar="N", help="aegnn: most earlier neighbours of an event; default: all")
    settings.add_argument(
        "--count", type=PositiveInt, metavar="N", help="asynet: the model looks at the last N events; event2vec: at N, evenly drawn"
    )
    add_size("--map-size", help="asynet: pixels of the image that the network works on")
    settings.add_argument("--heads", type=PositiveInt, metavar="N", help="event2vec, v1: heads of a layer")
    settings.add_argument("--dilation", type=PositiveInt, metavar="CELLS", help="event2vec, v1: from one neighbour to the next")
    return parser


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)
