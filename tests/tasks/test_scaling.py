"""Several processes, several batches a step and fewer bits train what one process trains on whole batches in float32."""

import os
import subprocess
import sys

import pytest
import torch

FROZEN = {"class_path": "scaling_parts.FrozenBatchNorm"}
AVERAGE = {"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.5}}
TWO = ("--trainer.devices", "2", "--trainer.strategy", "ddp", "--data.batch_size", "5")


def in_two_processes(trainings, *args):
    """What `eventzoo` prints with two processes, checked to end well."""
    command = [sys.executable, "-m", "eventzoo", *map(str, args), *TWO]
    done = subprocess.run(
        command, cwd=trainings.folder, env=os.environ | trainings.environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout + done.stderr
    assert "Warning" not in printed, printed
    return printed


def assert_equal_weights(found, wanted):
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5, msg=name)


def assert_equal_scalars(found, wanted):
    """Speeds apart, and a detector's held-out loss, which is a mean over the cells of a batch and so depends on its size."""
    of_detector = any("/loss_" in name for name in wanted)

    def compared(name):
        return not name.endswith("_per_s") and not (of_detector and name.startswith(("val/loss", "test/loss")))

    names, found_names = ({name for name in given if compared(name)} for given in (wanted, found))
    assert names == found_names
    for name in names:
        assert found[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("task", ["Classification", "Detection"])
def test_two_processes_train_as_one_with_the_doubled_batch(trainings, scalars, task):
    """Of 21 held-out recordings one process has three batches and the other two, and there are buffers to be kept alike."""
    printed = in_two_processes(trainings, "fit", *trainings.recipe("two", task, [FROZEN, AVERAGE], batch_norm=True))
    for once in ("parameters, on 21 recordings", "epoch 1/2", "epoch 2/2", "best epoch", "model: ", "picture: "):
        assert printed.count(once) == 1, printed
    assert sorted(path.name for path in (trainings.folder / "runs" / "two").iterdir()) == ["version_0"]

    trainings.command_line("fit", *trainings.recipe("one", task, [FROZEN, AVERAGE], batch_norm=True))
    one, two = trainings.lines("one"), [trainings.lines("two", rank) for rank in range(2)]
    steps = [[line for line in lines if "step" in line] for lines in (one, *two)]
    assert len(steps[0]) == 4
    for whole, *halves in zip(*steps, strict=True):
        assert sorted(halves[0]["keys"] + halves[1]["keys"]) == whole["keys"]
        assert sum(half["loss"] for half in halves) / 2 == pytest.approx(whole["loss"], rel=1e-4)
    evaluated = [key for lines in two for line in lines if line["epoch"] == 1 for key in line.get("validated", [])]
    assert sorted(evaluated) == [f"val/{number:06}" for number in range(21)]
    assert [sum("validated" in line for line in lines) for lines in two] == [6, 4]

    for rank in range(2):
        assert_equal_weights(trainings.weights("two", rank), trainings.weights("one"))
    assert_equal_scalars(scalars(trainings.run("two")), scalars(trainings.run("one")))


@pytest.mark.slow
@pytest.mark.parametrize(("task", "command"), [("Classification", "predict"), ("Detection", "test")])
def test_two_processes_answer_as_one(trainings, scalars, task, command):
    recipe = trainings.recipe("one", task)
    long = ("--trainer.max_epochs", 40, "--trainer.check_val_every_n_epoch", 40, "--model.optimizer", "Adam", "--model.optimizer.lr", 0.01)
    trainings.command_line("fit", *recipe, *long)
    last = trainings.run("one") / "checkpoints" / "last.ckpt"
    trainings.command_line(command, *recipe, "--ckpt_path", last)
    printed = in_two_processes(trainings, command, *trainings.recipe("two", task), "--ckpt_path", last)
    assert printed.count("settings of the model come from") == 1, printed
    if command == "predict":
        one, two = (next((trainings.folder / "runs" / name).rglob("predictions.csv")).read_text() for name in ("one", "two"))
        assert len(one.splitlines()) == 22
        assert one == two
    else:
        one, two = scalars(trainings.run("one", 1)), scalars(trainings.run("two"))
        assert 0 < one["test/AP50"][0] < 1
        assert_equal_scalars(two, one)


def test_batches_accumulate_to_larger_ones(trainings):
    whole, parts = trainings.recipe("whole"), trainings.recipe("parts")
    trainings.command_line("fit", *whole)
    trainings.command_line(
        *("fit", *parts, "--data.batch_size", 5, "--trainer.accumulate_grad_batches", 2, "--trainer.limit_train_batches", 4)
    )
    assert [line["step"] for line in trainings.lines("parts") if "step" in line] == [0, 1, 1, 2, 2, 3, 3, 4]
    assert_equal_weights(trainings.weights("parts"), trainings.weights("whole"))
    schedules = [trainings.checkpoint(name)["lr_schedulers"][0] for name in ("whole", "parts")]
    assert schedules[0]["total_steps"] == 4
    assert schedules[0]["_last_lr"] == schedules[1]["_last_lr"]


@pytest.mark.parametrize("task", ["Classification", pytest.param("Detection", marks=pytest.mark.slow)])
def test_in_mixed_precision_losses_are_near_those_of_float32(trainings, scalars, task):
    trainings.command_line("fit", *trainings.recipe("full", task))
    trainings.command_line("fit", *trainings.recipe("mixed", task), "--trainer.precision", "bf16-mixed")
    full, mixed = (scalars(trainings.run(name))["train/loss"] for name in ("full", "mixed"))
    assert mixed == pytest.approx(full, rel=0.05)
    assert mixed != full
    assert all(weight.dtype != torch.bfloat16 for weight in trainings.weights("mixed").values())
