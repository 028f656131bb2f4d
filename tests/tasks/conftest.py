import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

PARTS = Path(__file__).parent


class Trainings:
    """Trainings from the command line, on 64×64 pixels and a network of a few convolutions, each in a folder of its own.

    Attributes:
        folder: The working folder.
        environment: Of processes that are to find the parts.
    """

    def __init__(self, folder: Path, command_line: Callable[..., None]) -> None:
        self.folder, self.command_line = folder, command_line
        self.environment = {"PYTHONPATH": str(PARTS), "OMP_NUM_THREADS": "1"}

    def recipe(self, name: str, task: str = "Classification", callbacks: list | None = None, **backbone: object) -> list[str]:
        """A recipe's arguments, to which those that differ are added."""
        diary = {"class_path": "scaling_parts.Diary", "init_args": {"folder": str(self.diary(name))}}
        dataset = {"size": 21, "task": task.lower()}
        recipe = {
            "seed_everything": 0,
            "data": {
                "dataset": {"class_path": "MovingShapes", "init_args": dataset},
                "representation": "Histogram",
                "train_transforms": [{"class_path": "RandomShift", "init_args": {"pixels": 3}}],
                "batch_size": 10,
            },
            "model": {
                "class_path": task,
                "init_args": {
                    "backbone": {"class_path": "scaling_parts.SmallBackbone", "init_args": backbone},
                    "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.05, "momentum": 0.9}},
                },
            },
            "trainer": {
                "max_epochs": 2,
                "limit_train_batches": 2,
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "num_sanity_val_steps": 0,
                "logger": {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "runs", "name": name}},
                "callbacks": [*(callbacks or []), diary],
            },
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
        return ["--config", str(self.folder / f"{name}.yaml")]

    def diary(self, name: str) -> Path:
        """Where the processes of a training write what they see."""
        folder = self.folder / "diaries" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def lines(self, name: str, rank: int = 0) -> list[dict]:
        """What one process saw."""
        return list(map(json.loads, (self.diary(name) / f"{rank}.jsonl").read_text().splitlines()))

    def weights(self, name: str, rank: int = 0) -> dict[str, torch.Tensor]:
        """The state of one process's network after its last training step."""
        return torch.load(self.diary(name) / f"{rank}.pt", weights_only=True)

    def run(self, name: str, version: int = 0) -> Path:
        """The folder of a run."""
        return self.folder / "runs" / name / f"version_{version}"

    def checkpoint(self, name: str, which: str = "last", version: int = 0) -> dict:
        """The checkpoint of a run."""
        return torch.load(self.run(name, version) / "checkpoints" / f"{which}.ckpt", weights_only=True)


@pytest.fixture
def trainings(tmp_path, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PARTS))
    return Trainings(tmp_path, command_line)
