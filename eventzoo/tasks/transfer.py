"""Beginning a training with the weights of a model that was trained before."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone

_WEIGHTS, _PREFIX = "model.safetensors", "backbone."  # as EventModel.save writes them


def save_backbone(backbone: Backbone, folder: Path) -> Path:
    """Write a backbone's weights and statistics alone to a new folder, from which `take_backbone` takes them; the folder."""
    folder.mkdir(parents=True)
    save_file({f"{_PREFIX}{name}": tensor.contiguous() for name, tensor in backbone.state_dict().items()}, folder / _WEIGHTS)
    return folder


def take_backbone(backbone: Backbone, folder: str) -> str:
    """Give a backbone the weights and statistics of a saved model's, as far as they agree in name and shape.

    Returns:
        What was taken and what was not, in one line.

    Raises:
        EventZooError: The folder is no saved model, or nothing in it agrees.
    """
    path = Path(folder) / _WEIGHTS
    if not path.is_file():
        raise EventZooError(
            f"pretrained: {path.parent.absolute()} is no saved model: it has no {_WEIGHTS}; give the folder that a training calls model"
        )
    try:
        saved = {name.removeprefix(_PREFIX): tensor for name, tensor in load_file(path).items() if name.startswith(_PREFIX)}
    except (OSError, SafetensorError) as error:
        raise EventZooError(f"pretrained: {path} cannot be read: {error}") from error
    own = backbone.state_dict()
    taken = {name: tensor for name, tensor in saved.items() if name in own and tensor.shape == own[name].shape}
    weights = [name for name, _ in backbone.named_parameters()]
    if taken.keys().isdisjoint(weights):
        raise EventZooError(
            f"pretrained: no weight of the backbone in {folder} has the name and the shape of one of this {type(backbone).__name__}'s; "
            "give a model of the same kind of backbone"
        )
    backbone.load_state_dict(taken, strict=False)
    reshaped = [name for name in weights if name in saved and name not in taken]
    new = [name for name in weights if name not in saved]
    left = [f"of another shape there: {', '.join(reshaped)}"] * bool(reshaped) + [f"not there: {', '.join(new)}"] * bool(new)
    return "; ".join([f"{len(taken.keys() & set(weights))} of {len(weights)} weights of the backbone are those of {folder}", *left])
