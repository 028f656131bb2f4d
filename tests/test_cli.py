import contextlib
import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

import eventzoo

REPOSITORY = Path(__file__).parents[1]
SMALL = (
    *("--config", REPOSITORY / "configs" / "aegnn_shapes.yaml", "--data.dataset.init_args.size", 20, "--data.batch_size", 5),
    *("--model.backbone.channels", "[4, 8, 8, 8, 8, 8, 8]", "--trainer.enable_progress_bar", "false"),
)
DETECTION = ("--config", REPOSITORY / "configs" / "aegnn_shapes_detection.yaml", "--trainer.fast_dev_run", "true")


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_misspelt_transform_names_near_misses(command_line, in_folder):
    with pytest.raises(SystemExit, match=r"there is no transform named 'HotPixel'. Did you mean HotPixels\? There are BackgroundNoise, "):
        command_line("fit", *SMALL, "--data.train_transforms", '[{"class_path": "HotPixel"}]')


def test_transforms_that_change_the_sensor(command_line, in_folder):
    half = '[{"class_path": "Resize", "init_args": {"sensor_size": [32, 32]}}]'
    with pytest.raises(SystemExit, match=r"MovingShapes after its transforms has \(32, 32\)"):
        command_line("fit", *SMALL, "--data.eval_transforms", half)
    both = ("--data.train_transforms", half, "--data.eval_transforms", half)
    command_line("fit", *SMALL, *both, "--model.backbone.sensor_size", "[32, 32]", "--trainer.fast_dev_run", "true")


def test_fit_test_predict_save_load(command_line, in_folder, capsys):
    command_line("fit", *SMALL, "--trainer.max_epochs", 2)
    printed = capsys.readouterr().out
    run = in_folder / "runs" / "aegnn_shapes" / "version_0"
    assert re.search(r"epoch 1/2 +train/loss \d", printed)
    assert "held-out recordings" in printed
    assert (run / "predictions.png").stat().st_size > 10_000
    assert (run / "fit.yaml").is_file()
    assert not torch.serialization.get_safe_globals()  # of which torch-geometric has one that unpickles any file

    best = run / "checkpoints" / "best.ckpt"
    command_line("validate", *SMALL, "--ckpt_path", best)
    command_line("test", *SMALL, "--ckpt_path", best)
    (report,) = (in_folder / "runs").rglob("metrics.json")
    assert json.loads(report.read_text())["checkpoint"] == str(best)
    command_line("predict", *SMALL, "--ckpt_path", best, "--data.dataset.init_args.split", "test")
    with next((in_folder / "runs").rglob("predictions.csv")).open() as file:
        predictions = list(csv.DictReader(file))
    model = eventzoo.load(f"local-dir:{run / 'model'}")
    dataset = eventzoo.datasets.MovingShapes("test", size=20)
    assert [row["key"] for row in predictions] == [dataset[i].key for i in range(20)]
    for row, sample in zip(predictions, map(dataset.__getitem__, range(20)), strict=True):
        result = model.predict(sample.events)
        assert row["label"] == result.label
        assert float(row[result.label]) == pytest.approx(result.probabilities.max(), rel=1e-3)


def test_the_saved_configuration_trains_the_same_again(command_line, in_folder, scalars):
    command_line("fit", *SMALL, "--trainer.max_epochs", 1)
    command_line("fit", "--config", in_folder / "runs" / "aegnn_shapes" / "version_0" / "fit.yaml")
    first, second = (scalars(in_folder / "runs" / "aegnn_shapes" / f"version_{n}") for n in (0, 1))
    first, second = ({name: values for name, values in logged.items() if not name.endswith("_per_s")} for logged in (first, second))
    assert first == second
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(first)


def test_a_fast_run_through_leaves_nothing_behind(command_line, in_folder, capsys):
    command_line("fit", *SMALL, "--trainer.fast_dev_run", "true")
    assert "no checkpoint was written, so no model is saved" in capsys.readouterr().out
    assert not [path for path in in_folder.rglob("*") if path.suffix in (".ckpt", ".safetensors", ".png")]


class StopsInEpoch(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *args) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_interrupted_and_resumed_equals_undisturbed(command_line, in_folder, capsys, monkeypatch, scalars):
    settings = (*SMALL, "--trainer.max_epochs", 3)
    command_line("fit", *settings)
    undisturbed = scalars(in_folder / "runs" / "aegnn_shapes" / "version_0")
    with monkeypatch.context() as patched:
        patched.setattr("eventzoo.commands.train.EpochLine", lambda: StopsInEpoch(1))
        patched.setattr("signal.signal", lambda *args: None)  # Lightning would ignore Ctrl-C from here on
        with pytest.raises(SystemExit) as stopped:
            command_line("fit", *settings)
    assert stopped.value.code == 1
    hint = re.search(r"stopped in epoch 1; go on with the same command and --ckpt_path (\S+)", capsys.readouterr().err)
    command_line("fit", *settings, "--ckpt_path", hint[1])
    resumed = scalars(in_folder / "runs" / "aegnn_shapes" / "version_2")
    for name in ("train/loss", "val/loss", "val/accuracy"):
        assert len(resumed[name]) == 2
        assert resumed[name].items() <= undisturbed[name].items()


def test_the_last_epoch_is_kept_whether_it_is_the_best_or_not(command_line, in_folder, capsys):
    settings = (*SMALL, "--trainer.max_epochs", 4, "--checkpoint.monitor", "epoch", "--checkpoint.mode", "min")
    command_line("fit", *settings)
    checkpoints = in_folder / "runs" / "aegnn_shapes" / "version_0" / "checkpoints"
    best, last = (torch.load(checkpoints / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 3)
    capsys.readouterr()
    command_line("fit", *settings, "--ckpt_path", checkpoints / "last.ckpt")  # nothing is left to do
    assert not re.search("^epoch", capsys.readouterr().out, re.MULTILINE)
    assert torch.load(checkpoints / "best.ckpt", weights_only=True)["epoch"] == 0


def test_a_schedule_with_an_end_is_not_prolonged(command_line, in_folder):
    command_line("fit", *SMALL, "--trainer.max_epochs", 1)
    last = in_folder / "runs" / "aegnn_shapes" / "version_0" / "checkpoints" / "last.ckpt"
    with pytest.raises(SystemExit, match=r"one-cycle schedule ends after 4 steps, and this training has 8: resume with the max_epochs"):
        command_line("fit", *SMALL, "--trainer.max_epochs", 2, "--ckpt_path", last)


@pytest.mark.slow
@pytest.mark.parametrize("store", [False, True])
def test_killed_and_resumed_equals_undisturbed(command_line, in_folder, store, scalars):
    """SIGKILL with worker processes, after the first epoch and in the midst of the second: the same losses, bit for bit."""
    settings = [*map(str, SMALL), "--trainer.max_epochs", "6", "--data.num_workers", "2", "--data.build_store", str(store).lower()]

    def losses(version):
        logged = scalars(in_folder / "runs" / "aegnn_shapes" / f"version_{version}")
        return {(name, step): value for name in ("train/loss", "val/loss") for step, value in logged[name].items()}

    command_line("fit", *SMALL, "--trainer.max_epochs", 6)
    undisturbed = losses(0)
    assert len(undisturbed) == 12
    resumed = []
    for version, seconds in ((1, 0.0), (2, 0.3)):
        log = in_folder / f"{version}.log"
        with log.open("w") as output:
            process = subprocess.Popen([sys.executable, "-m", "eventzoo", "fit", *settings, *resumed], stdout=output, stderr=output)
        while not re.search("^epoch", log.read_text(), re.MULTILINE):
            assert process.poll() is None, log.read_text()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        process.wait()
        last = in_folder / "runs" / "aegnn_shapes" / f"version_{version}" / "checkpoints" / "last.ckpt"
        resumed = ["--ckpt_path", str(last)] if last.is_file() else resumed
    command_line("fit", *settings, *resumed)
    finished = losses(3)
    assert finished
    assert finished.items() <= undisturbed.items()
    assert max(finished) == max(undisturbed)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fit", *SMALL, "--data.dataset", "MovingShaps"], "data.dataset: no dataset named 'MovingShaps'. Did you mean MovingShapes?"),
        (["fit", *SMALL, "--model.backbone", "AEGN"], "backbone: no backbone named 'AEGN'. Did you mean AEGNN"),
        (["fit", *SMALL, "--model", "Detektion"], "model: there is no task named 'Detektion'. Did you mean Detection?"),
        (["fit", *DETECTION, "--model.head", "YOLOXHed"], "head: there is no head named 'YOLOXHed'. Did you mean YOLOXHead or YOLOHead?"),
        (["fit", *DETECTION, "--model.head.nms_iou", "3"], "error: YOLOXHead: score_threshold and nms_iou are 0 to 1"),
        (
            ["fit", *SMALL, "--data.representation", "Graph"],
            "data.representation: no representation named 'Graph'. Did you mean EventGraph?",
        ),
        (["fit", *SMALL, "--data.batch_size", "many"], 'Parser key "data.batch_size":\n  Expected a int. Got value: many'),
        (["fit", *SMALL, "--model.backbone.kernel_size", "1"], "AEGNN: kernel_size is at least 2"),
        (["fit", *SMALL, "--data.batchsize", "3"], "Did you mean batch_size (of EventDataModule)?"),
        (["fit", *SMALL, "--model.backbone.sensor_size", "[30, 30]"], "made for a sensor of (30, 30), but MovingShapes has (64, 64)"),
        (
            ["fit", *SMALL, "--data.representation", "Histogram"],
            "AEGNN takes a representation of kind 'graph', but Histogram yields 'image'",
        ),
        (["fit", *SMALL, "--data.dataset", "NMNIST"], "NMNIST: no train recordings under"),
        (
            ["fit", "--config", "no_such.yaml"],
            "there is no config no_such.yaml; recipes that are installed: aegnn_",
        ),
        (["fit", *SMALL, "--ckpt_path", "no_such.ckpt"], "there is no checkpoint "),
        (["test", *SMALL], "test needs a trained network: give --ckpt_path"),
        (["fti"], "no command named 'fti'. Did you mean fit?"),
        (["info", "Histogramm"], "no representation named 'Histogramm'. Did you mean Histogram?"),
        (["info", "zzzz"], "no part and no model is named 'zzzz'; `eventzoo list` shows what there is"),
    ],
)
def test_mistakes_are_answered_in_words(command_line, in_folder, args, message):
    with pytest.raises(SystemExit) as refused:
        command_line(*args)
    assert str(refused.value).startswith("eventzoo: error: ")
    assert message in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_mistakes_in_a_file_name_the_file(command_line, in_folder):
    (in_folder / "broken.yaml").write_text("data: [")
    with pytest.raises(SystemExit, match=r"broken.yaml is not YAML: .*(?s:.*)line 1"):
        command_line("fit", "--config", "broken.yaml")
    (in_folder / "typo.yaml").write_text(
        "model: {class_path: Classification, init_args: {backbone: {class_path: AEGNN, init_args: {chanels: 3}}}}"
    )
    with pytest.raises(SystemExit, match=r"Option 'chanels' is not accepted. Did you mean channels \(of .*AEGNN, GraphWen, SpikingCNN\)"):
        command_line("fit", "--config", "typo.yaml")


def test_a_broken_recording_is_named_from_a_worker_process_too(command_line, in_folder, real_layouts):
    broken = in_folder / "N-MNIST" / "Train" / "1" / "00010.bin"
    broken.write_bytes(broken.read_bytes()[:-2])
    args = ("fit", "--config", REPOSITORY / "configs" / "aegnn_nmnist.yaml")
    for workers in (0, 1):
        with pytest.raises(SystemExit) as refused:
            command_line(*args, "--data.num_workers", workers, "--trainer.enable_progress_bar", "false")
        assert str(broken) in str(refused.value)
        assert "byte 395" in str(refused.value)
        assert "Traceback" not in str(refused.value)


def test_list_and_info(command_line, capsys):
    command_line("list")
    listed = capsys.readouterr().out
    assert re.search(r"^  AEGNN +eventzoo \d", listed, re.MULTILINE)
    assert "  aegnn-nmnist" in listed
    assert "  configs/aegnn_shapes.yaml" in listed
    command_line("info", "AEGNN")
    described = capsys.readouterr().out
    assert described.startswith("AEGNN — backbone of eventzoo ")
    assert "  kernel_size: int = 2" in described
    command_line("info", "NMNIST")
    assert "  root: str | None = None\n  split: Split = 'train'" in capsys.readouterr().out  # inherited
    command_line("info", "Histogram")
    assert "Signature:\n  none" in capsys.readouterr().out
    command_line("info", "aegnn-nmnist")
    assert "eventzoo fit --config configs/aegnn_nmnist.yaml" in capsys.readouterr().out
    command_line()
    assert capsys.readouterr().out.startswith("usage: eventzoo COMMAND")
    command_line("--version")
    assert capsys.readouterr().out == f"eventzoo {eventzoo.__version__}\n"


def test_list_into_a_closed_pipe_is_quiet():
    done = subprocess.run(f"{sys.executable} -m eventzoo list | true", shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""


@pytest.fixture
def real_layouts(in_folder, make_events, monkeypatch):
    """A few random recordings in the layout of N-MNIST."""
    for split in ("Train", "Test"):
        for digit in range(10):
            folder = in_folder / "N-MNIST" / split / str(digit)
            folder.mkdir(parents=True)
            for number in (4 + digit, 5 + 5 * digit):
                eventzoo.write(folder / f"{number:05}.bin", make_events(80, (34, 34), number))
    monkeypatch.setenv("EVENTZOO_DATA", str(in_folder))


def test_saved_configs_are_json_of_stable_names(command_line, in_folder):
    command_line("fit", *SMALL, "--trainer.max_epochs", 1, "--trainer.limit_train_batches", 2)
    config = json.loads((in_folder / "runs" / "aegnn_shapes" / "version_0" / "model" / "config.json").read_text())
    assert config["backbone"]["class_path"] == "eventzoo.backbones.AEGNN"
    assert config["representation"]["class_path"] == "eventzoo.representations.EventGraph"
    assert config["transforms"] == [{"class_path": "eventzoo.data.transforms.EveryKth", "init_args": {"k": 3}}]
