"""Model cards: what is read, what is refused, and how the zoo is searched."""

import importlib.util
from pathlib import Path

import pytest
import yaml

import eventzoo
from eventzoo import EventZooError, shipped
from eventzoo.errors import PluginWarning
from eventzoo.zoo.cards import Measured, list_models, read_card

DOCS = Path(__file__).parents[2] / "docs"
CARD = {
    "format": 1,
    "summary": "A network.",
    "task": "classification",
    "dataset": "NMNIST",
    "config": "configs/aegnn_nmnist.yaml",
    "paper": "Somebody, 2020",
    "weights": {
        "seed": 3,
        "command": "eventzoo fit --config configs/aegnn_nmnist.yaml --seed_everything 3",
        "licence": "MIT",
        "sha256": {"config.json": "0" * 64, "model.safetensors": "1" * 64},
    },
    "measured": [
        {"dataset": "NMNIST", "split": "val", "name": "accuracy", "value": 1, "protocol": "all of it", "seeds": {3: 1, 4: 0.5}},
    ],
    "reported": [{"dataset": "NMNIST", "name": "accuracy", "value": 0.9, "source": "table 1"}],
}


def read(folder, **changes):
    path = folder / "net.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**CARD, **changes}.items() if value != "absent"}))
    read_card.cache_clear()
    return read_card(path)


def test_a_card_is_read(tmp_path):
    card = read(tmp_path)
    assert card.name == "net"
    assert card.weights.seed == 3
    assert card.weights.hub is None
    assert card.folder == tmp_path / "weights" / "net"
    assert card.measured == (Measured("NMNIST", "val", "accuracy", 1.0, "all of it", {3: 1.0, 4: 0.5}),)
    text = str(card)
    for told in ("net", "A network.", "accuracy 1 on NMNIST, split val", "0.5 (seed 4)", "accuracy 0.9 on NMNIST (table 1)", "MIT"):
        assert told in text


def test_a_card_without_weights_says_how_to_train_them(tmp_path):
    assert "none are published; train them: eventzoo fit --config configs/aegnn_nmnist.yaml" in str(read(tmp_path, weights=None))


def test_where_weights_on_the_hub_are_is_told(tmp_path):
    hub = {"repo_id": "us/net", "revision": "a" * 40}
    assert f"hf-hub:us/net@{'a' * 40}" in str(read(tmp_path, weights={**CARD["weights"], "hub": hub}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "absent"}, "is not a model card: it names no format"),
        ({"format": True}, "is not a model card: it names no format"),
        ({"format": 0}, "format must be 1 or more, not 0"),
        ({"format": 2}, "is a model card of a newer version; upgrade eventzoo, which reads format 1"),
        ({"summary": "absent", "task": "absent"}, "missing: summary, task"),
        ({"extra": 1}, "unknown entry: extra"),
        ({"name": "other"}, "a card's name is its file's"),
        ({"summary": 3}, "summary must be str, not 3"),
        ({"task": "segmentation"}, "task must be classification or detection, not 'segmentation'"),
        ({"config": "/etc/recipe.yaml"}, "config must be configs/NAME.yaml"),
        ({"measured": 3}, "measured must be a list, not 3"),
        ({"measured": [{**CARD["measured"][0], "value": "high"}]}, r"measured\[0\]: value must be a number, not 'high'"),
        ({"measured": [{**CARD["measured"][0], "value": float("nan")}]}, r"measured\[0\]: value must be a number, not nan"),
        ({"measured": [{**CARD["measured"][0], "seeds": {3: float("inf")}}]}, "seeds.3 must be a number, not inf"),
        ({"measured": [{**CARD["measured"][0], "value": True}]}, r"measured\[0\]: value must be a number, not True"),
        ({"measured": [{**CARD["measured"][0], "note": "n"}]}, r"measured\[0\]: unknown entry: note"),
        ({"measured": [{**CARD["measured"][0], "seeds": {"a": 1}}]}, "seeds must be int, not 'a'"),
        ({"weights": {**CARD["weights"], "seed": True}}, "seed must be int, not True"),
        ({"weights": {**CARD["weights"], "sha256": {"config.json": "0" * 64}}}, "must have the SHA-256 of config.json and of model"),
        ({"weights": {**CARD["weights"], "sha256": {"config.json": "0" * 64, "model.safetensors": "1" * 63}}}, "must have the SHA-256"),
        ({"weights": {**CARD["weights"], "hub": {"repo_id": "us/net", "revision": "main"}}}, "must be a full commit"),
        ({"weights": {**CARD["weights"], "hub": {"repo_id": "us/net", "revision": "a" * 41}}}, "must be a full commit"),
        ({"weights": ["x"]}, "weights must be a mapping"),
    ],
)
def test_bad_cards_are_refused(tmp_path, changes, message):
    with pytest.raises(EventZooError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    "text", ["[1]", "{", "3", "a: !!python/object/apply:os.system [ls]", "[" * 400 + "]" * 400, "format: 1\nformat: 1"]
)
def test_what_is_no_card_is_refused(tmp_path, text):
    (tmp_path / "no.yaml").write_text(text)
    with pytest.raises(EventZooError, match=r"no\.yaml (is not a model card|cannot be read)"):
        read_card(tmp_path / "no.yaml")


def test_an_entry_that_is_there_twice_is_named(tmp_path):
    (tmp_path / "no.yaml").write_text("format: 1\nreported:\n- {name: accuracy, value: 0.9, name: mAP}\n")
    with pytest.raises(EventZooError, match="name is there twice"):
        read_card(tmp_path / "no.yaml")


def test_what_would_fill_memory_when_written_out_is_refused_in_a_line(tmp_path):
    minimal = ("task", "dataset", "config", "paper")
    entries = "\n".join(f"{name}: x" for name in minimal)
    references = "\n".join(f"- &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(30))
    (tmp_path / "no.yaml").write_text(f"format: 1\n{entries}\nsummary:\n- &a0 [x]\n{references}\n")
    with pytest.raises(EventZooError, match="summary must be str, not ") as error:
        read_card(tmp_path / "no.yaml")
    assert len(str(error.value)) < 1_000


@pytest.fixture
def with_damaged_cards(tmp_path, monkeypatch):
    """Beside ours, a package whose cards do not read, and one that has a card of a name of ours."""
    own = shipped.folders("zoo")["eventzoo"]
    for package, name in (("broken", "broken"), ("another", "aegnn-gen1")):
        (tmp_path / package).mkdir()
        (tmp_path / package / f"{name}.yaml").write_text("format: 1\n")
    (tmp_path / "broken" / "folder.yaml").mkdir()
    monkeypatch.setattr(shipped, "folders", lambda _: {"eventzoo": own, "broken": tmp_path / "broken", "another": tmp_path / "another"})


def test_damaged_cards_of_a_package_do_not_hide_the_others(with_damaged_cards, command_line, capsys):
    assert eventzoo.info("aegnn-nmnist").task == "classification"
    assert {"broken", "aegnn-nmnist"} <= set(list_models())
    with pytest.warns(
        PluginWarning, match=r"the model (broken|folder|aegnn-gen1) is left out: .*(missing|cannot be read|several)"
    ) as warned:
        found = list_models(task="detection")
    assert len(warned) == 3
    assert "aegnn-shapes-detection" in found
    assert not {"broken", "folder", "aegnn-gen1"} & set(found)
    command_line("models", "--task", "detection")
    printed = capsys.readouterr()
    assert "aegnn-shapes-detection" in printed.out
    assert [line.split(":")[:2] for line in printed.err.splitlines()] == [
        ["warning", f" the model {name} is left out"] for name in ("aegnn-gen1", "broken", "folder")
    ]
    command_line("list")
    with pytest.raises(EventZooError, match=r"broken\.yaml: missing: summary"):
        eventzoo.load("broken")


def test_the_zoo_is_searched():
    everything = list_models()
    assert "aegnn-nmnist" in everything
    assert set(list_models("aegnn*")) == {name for name in everything if name.startswith("aegnn")}
    assert "aegnn-shapes-detection" in list_models(task="detection")
    assert "aegnn-nmnist" not in list_models(task="detection")
    assert "aegnn-nmnist" in list_models("*", dataset="nmnist")
    assert not set(list_models(dataset="MovingShapes")) & set(list_models(dataset="NMNIST"))
    assert sorted([*list_models(pretrained=True), *list_models(pretrained=False)]) == everything


def test_a_network_with_random_weights_is_had_for_the_asking():
    model = eventzoo.load("asynet-nmnist", pretrained=False)
    assert model.classes == eventzoo.datasets.NMNIST.classes
    assert [type(transform).__name__ for transform in model.transforms] == ["WindowByCount"]


def test_a_network_has_the_classes_of_its_task():
    model = eventzoo.load("asynet-ncaltech101-detection", pretrained=False)
    assert len(model.classes) == 100
    assert "BACKGROUND_Google" not in model.classes


def test_every_card_names_a_recipe_that_trains_it():
    """Its dataset and its task are the recipe's, and no recipe has two cards."""
    cards = [eventzoo.info(name) for name in list_models()]
    recipes = {path.stem: yaml.safe_load(path.read_text()) for paths in shipped.files("configs").values() for path in paths}
    described = {Path(card.config).stem: card for card in cards}
    assert set(described) == {name for name, recipe in recipes.items() if recipe["model"]["class_path"] in ("Classification", "Detection")}
    assert len(described) == len(cards)
    for name, card in described.items():
        dataset = recipes[name]["data"]["dataset"]
        assert card.dataset == (dataset if isinstance(dataset, str) else dataset["class_path"])
        assert card.task == recipes[name]["model"]["class_path"].lower()


@pytest.mark.parametrize(("file", "write"), [("zoo.md", "page"), ("results.csv", "results")])
def test_the_pages_are_those_of_the_cards(file, write):
    """If not: `python docs/make_zoo.py`."""
    spec = importlib.util.spec_from_file_location("make_zoo", DOCS / "make_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / file).read_text(encoding="utf-8") == getattr(module, write)(module.own_cards())
