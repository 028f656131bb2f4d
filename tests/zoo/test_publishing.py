"""Exported and pushed models: the files, the page about them, and what is refused."""

import json
import re
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import eventzoo
from eventzoo import EventZooError
from eventzoo.asynchronous import AsyncModel
from eventzoo.model import EventModel
from eventzoo.zoo.cards import read_card
from eventzoo.zoo.page import checksums
from eventzoo.zoo.publishing import export, push

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")  # huggingface-hub's upload, of httpx2


@pytest.fixture
def card(saved, tmp_path):
    """The file of a card of the saved model, with numbers that are only for tests."""
    entries = {
        "format": 1,
        "summary": "A network for tests.",
        "task": "classification",
        "dataset": "NMNIST",
        "config": "configs/aegnn_nmnist.yaml",
        "paper": "Somebody, 2020",
        "weights": {"seed": 3, "command": "eventzoo fit --seed_everything 3", "licence": "MIT", "sha256": checksums(saved)},
        "measured": [
            {"dataset": "NMNIST", "split": "test", "name": "accuracy", "value": 0.75, "protocol": "all of it.", "seeds": {3: 0.75, 4: 0.5}}
        ],
        "reported": [{"dataset": "NCars", "name": "accuracy", "value": 0.875, "source": "table 1"}],
    }
    return write_card(tmp_path, entries)


def write_card(folder, entries):
    path = folder / "net.yaml"
    path.write_text(yaml.safe_dump(entries))
    read_card.cache_clear()
    return path


def read_page(folder):
    """What the Hub indexes, and what people read."""
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def test_a_model_that_nothing_is_known_of(saved, tmp_path):
    folder = export(f"local-dir:{saved}", tmp_path / "new" / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (saved / name).read_bytes()
    eventzoo.load(f"local-dir:{folder}")
    front, text = read_page(folder)
    assert front == {
        "library_name": "eventzoo",
        "pipeline_tag": "video-classification",
        "tags": ["event-camera", "neuromorphic", "classification", "AEGNN"],
    }
    assert "Nothing was measured with these weights." in text
    assert "# out\n\nAEGNN on EventGraph, for classification" in text
    for checksum in checksums(folder).values():
        assert checksum in text
    described = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    config = json.loads((folder / "config.json").read_text())
    assert described.items() <= config.items()
    assert not {"Reported", "Training", "Licence"} & set(re.findall(r"\w+", text))


def test_what_the_card_knows_is_on_the_page(saved, card, tmp_path):
    front, text = read_page(export(f"local-dir:{saved}", tmp_path / "out", card=card))
    assert (front["license"], front["datasets"], front["metrics"]) == ("mit", ["NMNIST"], ["accuracy"])
    (indexed,) = front["model-index"]
    assert indexed["name"] == "net"
    (result,) = indexed["results"]
    assert result["dataset"] == {"type": "NMNIST", "name": "NMNIST", "split": "test"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("accuracy", 0.75)]
    for told in (
        *("A network for tests.", "Paper: Somebody, 2020", "with seed 3", "eventzoo fit --seed_everything 3", "weights: MIT"),
        *("accuracy **0.75** on NMNIST, split test: all of it.", "0.75 (seed 3), 0.5 (seed 4)"),
    ):
        assert told in text
    assert re.search(r"## Reported by publications\n\nNot with these weights:\n\n- accuracy 0.875 on NCars \(table 1\)", text)
    assert "0.875" not in yaml.safe_dump(front)


def test_half_precision(saved, card, tmp_path, make_events):
    folder = export(f"local-dir:{saved}", tmp_path / "out", half=True, card=card)
    exact, rounded = eventzoo.load(f"local-dir:{saved}"), eventzoo.load(f"local-dir:{folder}")
    stored = load_file(folder / "model.safetensors")
    sizes = {name: tensor.dtype.itemsize for name, tensor in stored.items() if tensor.is_floating_point()}
    matrices = {name for name, parameter in exact.named_parameters() if parameter.dim() >= 2}
    assert {name for name, size in sizes.items() if size == 2} == matrices
    for name, tensor in exact.state_dict().items():
        loaded = rounded.state_dict()[name]
        assert loaded.dtype == tensor.dtype
        assert torch.equal(loaded, tensor.half().float() if name in matrices else tensor)
    events = make_events(300)
    np.testing.assert_allclose(rounded.predict(events).logits, exact.predict(events).logits, atol=0.02)
    front, text = read_page(folder)
    assert "model-index" not in front
    assert "Before the weights were rounded to half precision:\n\n- accuracy **0.75**" in text


def test_weights_beyond_half_precision(saved, tmp_path):
    model = eventzoo.load(f"local-dir:{saved}")
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.dim() >= 2)[0, 0] = 1e5
    with pytest.raises(EventZooError, match=r"cannot be stored in half precision: backbone.* has weights beyond ±65,504"):
        model.save(tmp_path / "out", half=True)
    assert not list(tmp_path.iterdir())


def test_packages_are_to_be_installed(saved, tmp_path):
    model = eventzoo.load(f"local-dir:{saved}").save(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "packages": {"tiny-events": "0.2"}}))
    _, text = read_page(export(f"local-dir:{model}", tmp_path / "out"))
    assert "pip install eventzoo tiny-events\n" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda entries: entries["weights"]["sha256"].update({"config.json": "0" * 64}),
            r"config.json is not the file that .*net.yaml means",
        ),
        (lambda entries: entries.update(task="detection"), "net.yaml is the card of a model for detection, but local-dir:"),
        (lambda entries: entries.update(extra=1), "net.yaml: unknown entry: extra"),
    ],
)
def test_another_models_card_is_refused(saved, card, tmp_path, change, message):
    entries = yaml.safe_load(card.read_text())
    change(entries)
    with pytest.raises(EventZooError, match=message):
        export(f"local-dir:{saved}", tmp_path / "out", card=write_card(tmp_path, entries))
    assert not (tmp_path / "out").exists()


def test_a_model_of_the_zoo_has_its_card(card, tmp_path):
    with pytest.raises(EventZooError, match=r"asynet-nmnist has its card in the zoo; leave out .*net\.yaml"):
        export("asynet-nmnist", tmp_path / "out", card=card)


def test_an_export_is_whole_or_not_at_all(saved, tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    with pytest.raises(EventZooError, match="taken exists already"):
        export(f"local-dir:{saved}", tmp_path / "taken")
    with pytest.raises(EventZooError, match="is not a saved model"):
        export(f"local-dir:{tmp_path}", tmp_path / "out")

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export(f"local-dir:{saved}", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_pushed_and_loaded_from_the_printed_line(hub, saved, card, make_events, command_line, capsys):
    command_line("push", f"local-dir:{saved}", "us/net", "--card", card, "--message", "First weights")
    line, printed = capsys.readouterr().out.split("\n\nfor a model card:\n\n")
    repository = hub.repositories["us/net"]
    commit = repository.refs["main"]
    assert line == f'eventzoo.load("hf-hub:us/net@{commit}")'
    assert yaml.safe_load(printed) == {
        "weights": {
            "seed": 3,
            "command": "eventzoo fit --seed_everything 3",
            "licence": "MIT",
            "sha256": checksums(saved),
            "hub": {"repo_id": "us/net", "revision": commit},
        }
    }
    write_card(card.parent, {**yaml.safe_load(card.read_text()), **yaml.safe_load(printed)})
    read_card(card)
    assert len(repository.commits) == 2  # that which is there from the beginning, and ours
    assert not repository.private
    assert sorted(repository.commits[commit]) == ["README.md", "config.json", "model.safetensors"]
    assert b'eventzoo.load("hf-hub:us/net")' in repository.commits[commit]["README.md"]
    assert str(saved).encode() not in b"".join(repository.commits[commit].values())
    events = make_events(100)
    loaded = eventzoo.load(f"hf-hub:us/net@{commit}")
    assert (loaded.predict(events).logits == eventzoo.load(f"local-dir:{saved}").predict(events).logits).all()


def test_settings_of_the_data_stay_with_the_weights(hub, saved, card):
    entries = yaml.safe_load(card.read_text())
    write_card(card.parent, {**entries, "weights": {**entries["weights"], "data": {"first": 600}}})
    assert push(f"local-dir:{saved}", "us/net", card=card)["data"] == {"first": 600}


def test_a_private_branch(hub, saved):
    first = push(f"local-dir:{saved}", "us/net", private=True)
    second = push(f"local-dir:{saved}", "us/net", "halves", private=True, half=True)
    repository = hub.repositories["us/net"]
    assert repository.private
    assert repository.refs == {"main": first["hub"]["revision"], "halves": second["hub"]["revision"]}
    assert first["sha256"] == checksums(saved) != second["sha256"]
    eventzoo.load("hf-hub:us/net@halves")


def test_what_must_stay_private_is_not_made_public(hub, saved):
    hub.add("us/net", saved)
    with pytest.raises(
        EventZooError, match=r"us/net is there already, and public; make it private on http://127.0.0.1:\d+/us/net/settings"
    ):
        push(f"local-dir:{saved}", "us/net", private=True)
    assert len(hub.repositories["us/net"].commits) == 2


@pytest.mark.parametrize(
    ("route", "status", "message"),
    [
        ("create", 403, r"refuses to publish us/net, with status 403.*; log in with `hf auth login`, with a token that may write there"),
        ("create", 401, "log in with `hf auth login`"),
        ("commit", 500, "refuses to publish us/net, with status 500"),
        ("commit", 409, r"with status 409 \(somebody else was faster\)"),
        ("upload", 403, "refuses to publish us/net, with status 403"),
    ],
)
def test_nothing_is_half_published(hub, saved, route, status, message):
    hub.refuse(route, status, message="somebody else was faster")
    with pytest.raises(EventZooError, match=message):
        push(f"local-dir:{saved}", "us/net")
    assert all(not tree for repository in hub.repositories.values() for tree in repository.commits.values())


def test_a_page_that_the_hub_does_not_take(hub, saved):
    hub.faults["validate"] = lambda handler: handler.answer(400, {"errors": [{"message": '"license" must be one of …'}], "warnings": []})
    with pytest.raises(EventZooError, match=r'refuses to publish us/net, with status 400 \("license" must be one of …\)'):
        push(f"local-dir:{saved}", "us/net")
    assert list(hub.repositories["us/net"].commits) == ["0" * 40]


def test_a_push_that_cannot_be(hub, saved, monkeypatch):
    for name in ("net", "a/b/c", "../net", "us/n t"):
        with pytest.raises(EventZooError, match="is no repository of the Hugging Face Hub: write ORGANISATION/NAME"):
            push(f"local-dir:{saved}", name)
    hub.stop()
    with pytest.raises(EventZooError, match=r"us/net cannot be published on http://127.0.0.1:\d+: ConnectError"):
        push(f"local-dir:{saved}", "us/net")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(saved / "no_token"))
    with pytest.raises(EventZooError, match=r"publishing needs a token .*: log in with `hf auth login`, or set HF_TOKEN"):
        push(f"local-dir:{saved}", "us/net")


def test_export_on_the_command_line(saved, tmp_path, command_line, capsys):
    command_line("export", f"local-dir:{saved}", tmp_path / "out", "--half")
    printed = capsys.readouterr().out
    assert f"eventzoo.load('local-dir:{tmp_path / 'out'}')" in printed
    assert re.search(r"model\.safetensors +[\d,]+ bytes", printed)


def test_what_the_page_shows_runs(saved, tmp_path, make_events, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = export(f"local-dir:{saved}", tmp_path / "FOLDER")
    eventzoo.write(tmp_path / "recording.bin", make_events(250))
    pushed, printed = [], []
    stream = create_autospec(AsyncModel, instance=True)  # a network need not be compiled for this
    stream.push.side_effect = pushed.append
    monkeypatch.setattr(EventModel, "asynchronous", create_autospec(EventModel.asynchronous, return_value=stream))
    exec(re.search(r"```python\n(.*?)```", read_page(folder)[1], re.DOTALL)[1], {"print": printed.append})
    assert printed[0].label in "abc"
    assert [len(events) for events in pushed] == [100, 100, 50]
