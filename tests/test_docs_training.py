"""The YAML of docs/training.md, laid over a recipe as the page says."""

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HERE = [block for block in BLOCKS if "gpu" not in block and "Wandb" not in block]


@pytest.fixture
def over_a_recipe(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(block, *args):
        (tmp_path / "mine.yaml").write_text(block)
        command_line("fit", "--config", REPOSITORY / "configs" / "aegnn_shapes.yaml", "--config", "mine.yaml", *args)

    return run


def test_there_is_yaml():
    assert len(BLOCKS) == 7
    assert len(HERE) == 5


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=map(str, range(len(BLOCKS))))
def test_blocks_are_accepted_over_a_recipe(over_a_recipe, capsys, block):
    with pytest.raises(SystemExit) as ended:
        over_a_recipe(block, "--print_config=skip_default")
    assert ended.value.code in (0, None)
    resolved, given = yaml.safe_load(capsys.readouterr().out), yaml.safe_load(block)
    for section, settings in given.items():
        for name, value in settings.items():
            if isinstance(value, (int, str)):
                assert resolved[section][name] == value
    if "callbacks" in given.get("trainer", {}):
        assert len(resolved["trainer"]["callbacks"]) == len(given["trainer"]["callbacks"])


@pytest.mark.slow
@pytest.mark.parametrize("block", HERE, ids=map(str, range(len(HERE))))
def test_blocks_run_over_a_recipe(over_a_recipe, capsys, block):
    small = ("--data.dataset.init_args.size", 8, "--data.batch_size", 2, "--model.backbone.channels", "[4, 4, 4, 4, 4, 4, 4]")
    over_a_recipe(block, *small, "--trainer.max_epochs", 2, "--trainer.enable_progress_bar", "false")
    assert "eventzoo.load(" in capsys.readouterr().out
