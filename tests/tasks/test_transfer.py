"""A training that begins with the backbone of a saved model."""

import shutil

import pytest
import torch

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.tasks.detection import Detection
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.tasks.transfer import take_backbone

TRUNK = ((4, 4), (5, 5), (6, 6), (7, 7), (8, 8))  # asynet's detectors, less wide
VGG13 = {"stages": (*TRUNK, (9,)), "out_channels": 8}
VGG12 = {"stages": (*TRUNK[:-1], (8,)), "out_channels": 4}


def saved(folder, sensor_size=(64, 64), **settings):
    """A classifier of random weights, and the folder that it is saved to."""
    torch.manual_seed(0)
    backbone = eventzoo.backbones.SparseVGG(sensor_size, **settings)
    for name, buffer in backbone.named_buffers():
        if not name.endswith("num_batches_tracked"):
            buffer.uniform_(0.5, 2)
    head = ClassificationHead().connect(backbone, 3)
    model = EventModel(eventzoo.representations.Histogram(), backbone, head, ["a", "b", "c"], sensor_size)
    return backbone, str(model.save(folder / "classifier"))


def detector(sensor_size=(64, 64), **settings):
    torch.manual_seed(1)
    return eventzoo.backbones.SparseVGG(sensor_size, **{"stages": TRUNK, "out_channels": 8, **settings})


def test_a_detector_takes_the_stages_of_vgg13(tmp_path):
    """As there, of its convolutions and their norms all but the last, whose input is another."""
    classifier, folder = saved(tmp_path, sensor_size=(240, 180), **VGG13)
    backbone = detector(sensor_size=(304, 240), map_size=(287, 223))
    before = backbone.reduce[0].weight.clone()
    said = take_backbone(backbone, folder)
    assert said == f"32 of 33 weights of the backbone are those of {folder}; of another shape there: reduce.0.weight"
    taken = classifier.state_dict()
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, before if name == "reduce.0.weight" else taken[name])


def test_a_detector_takes_what_it_has_in_common_with_vgg12(tmp_path):
    classifier, folder = saved(tmp_path, sensor_size=(120, 100), **VGG12)
    backbone = detector()
    said = take_backbone(backbone, folder)
    assert said.startswith("27 of 33 weights of the backbone are those of ")
    assert "; of another shape there: reduce.0.weight, reduce.1.module.weight, reduce.1.module.bias; not there: stages.4.4.weight, " in said
    for ours, theirs in zip(backbone.stages[:4].state_dict().values(), classifier.stages[:4].state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(backbone.stages[4][1].weight, classifier.stages[4][1].weight)


def test_the_whole_of_its_like(tmp_path):
    classifier, folder = saved(tmp_path, stages=TRUNK, out_channels=8)
    backbone = detector()
    assert take_backbone(backbone, folder) == f"33 of 33 weights of the backbone are those of {folder}"
    assert all(map(torch.equal, backbone.state_dict().values(), classifier.state_dict().values()))


def damaged(folder):
    _, saved_to = saved(folder, stages=((4,),))
    (folder / "classifier" / "model.safetensors").write_bytes(b"no weights")
    return saved_to


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        (lambda path: str(path / "nowhere"), "nowhere is no saved model: it has no model.safetensors"),
        (lambda path: str(path), "is no saved model"),
        (damaged, "model.safetensors cannot be read"),
        (
            lambda path: saved(path, stages=((3, 3),), out_channels=9)[1],
            "no weight of the backbone in .*classifier has the name and the shape",
        ),
    ],
)
def test_what_cannot_be_taken(tmp_path, folder, said):
    with pytest.raises(EventZooError, match=f"pretrained: .*{said}"):
        take_backbone(detector(), folder(tmp_path))


@pytest.mark.filterwarnings("ignore:Attribute '(backbone|head)'")
def test_a_checkpoint_outweighs_it(tmp_path):
    """Which `Trainer.fit` restores before training begins, and from Python `load_from_checkpoint`."""
    task = Detection(detector(), 3, pretrained=str(tmp_path / "gone"))
    with pytest.raises(EventZooError, match="gone is no saved model"):
        task.on_fit_start()
    task.on_load_checkpoint({})
    task.on_fit_start()


@pytest.mark.slow
def test_from_the_command_line(tmp_path, monkeypatch, command_line, capsys):
    """After the training began, nobody needs the folder any more."""
    monkeypatch.chdir(tmp_path)
    settings = {"stages": ((4,), (5, 5)), "out_channels": 6}
    classifier, folder = saved(tmp_path, **settings)
    backbone = "--model.backbone.init_args"
    recipe = ["--data.dataset", "MovingShapes", "--data.dataset.init_args.size", 8, "--data.dataset.init_args.task", "detection"]
    recipe += ["--data.representation", "Histogram", "--data.batch_size", 4, "--trainer.enable_progress_bar", "false"]
    recipe += ["--trainer.accelerator", "cpu", "--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "runs"]
    model = ["--model", "Detection", "--model.backbone", "SparseVGG", f"{backbone}.sensor_size", "[64,64]"]
    model += [f"{backbone}.stages", "[[4],[5,5]]", f"{backbone}.out_channels", 7, "--model.head", "YOLOHead", "--model.pretrained", folder]
    model += ["--model.optimizer", "SGD", "--model.optimizer.lr", 0.0, "--model.schedule", "constant"]

    command_line("fit", *recipe, *model, "--trainer.max_epochs", 1)
    printed = capsys.readouterr().out
    assert printed.count(f"9 of 12 weights of the backbone are those of {folder}; of another shape there: reduce.0.weight, ") == 1
    (last,) = tmp_path.rglob("last.ckpt")
    state = torch.load(last, weights_only=True)["state_dict"]
    for name, tensor in classifier.stages.named_parameters():
        assert torch.equal(state[f"backbone.stages.{name}"], tensor)

    shutil.rmtree(folder)
    command_line("fit", *recipe, *model, "--trainer.max_epochs", 2, "--ckpt_path", last)
    command_line("test", *recipe, *model, "--ckpt_path", last)
    printed = capsys.readouterr().out
    assert "epoch 2/2" in printed
    assert "weights of the backbone" not in printed
    with pytest.raises(SystemExit, match="classifier is no saved model"):
        command_line("fit", *recipe, *model, "--trainer.max_epochs", 1)
