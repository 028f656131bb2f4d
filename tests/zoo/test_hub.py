"""Models from a Hub: what is fetched, kept, checked and refused. The client is Hugging Face's, the server is on this computer."""

import hashlib
import json
import os
import shutil

import pytest
import torch
from huggingface_hub import constants, scan_cache_dir

import eventzoo
from eventzoo import EventZooError
from eventzoo.zoo.cards import HubFolder, Weights, card
from eventzoo.zoo.hub import fetch
from eventzoo.zoo.loading import published


def checksums(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("config.json", "model.safetensors")}


@pytest.fixture
def other(saved, tmp_path):
    """The same network with other weights."""
    model = eventzoo.load(f"local-dir:{saved}")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    return model.save(tmp_path / "other")


def test_pull_pin_and_offline(hub, saved, other, make_events, monkeypatch):
    first = hub.add("us/net", saved, **{"README.md": b"a page", "setup.py": b"raise SystemExit"})
    events = make_events(200)
    expected = eventzoo.load(f"local-dir:{saved}").predict(events).logits
    assert (eventzoo.load("hf-hub:us/net").predict(events).logits == expected).all()
    assert sorted(os.listdir(fetch("us/net"))) == ["config.json", "model.safetensors"]
    assert all(path.endswith(("/config.json", "/model.safetensors")) for _, path, _ in hub.requests)

    hub.requests.clear()
    eventzoo.load("hf-hub:us/net")
    assert [(method, path) for method, path, _ in hub.requests] == [("HEAD", "/us/net/resolve/main/config.json")]
    second = hub.add("us/net", other)
    hub.requests.clear()
    eventzoo.load(f"hf-hub:us/net@{first}")
    assert hub.requests == []
    assert checksums(fetch("us/net", first)) == checksums(saved)
    assert checksums(fetch("us/net")) == checksums(other)
    hub.repositories["us/net"].refs["v1"] = first
    assert fetch("us/net", "v1").name == first

    hub.stop()
    for name, commit in (("", second), ("v1", first), (first, first)):
        assert fetch("us/net", name).name == commit
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    eventzoo.load("hf-hub:us/net")
    with pytest.raises(EventZooError, match="HF_HUB_OFFLINE forbids to fetch it; unset that"):
        eventzoo.load("hf-hub:us/other")


def test_both_files_are_of_one_commit(hub, saved, other):
    first = hub.add("us/net", saved)
    resolve = hub.server.RequestHandlerClass.resolve

    def pushed_meanwhile(handler, repo, revision, file):
        resolve(handler, repo, revision, file)
        if handler.command == "GET" and file == "config.json":
            hub.add("us/net", other)

    hub.faults["resolve"] = pushed_meanwhile
    assert fetch("us/net").name == first
    assert checksums(fetch("us/net", first)) == checksums(saved)
    hub.faults.clear()
    assert fetch("us/net").name == hub.repositories["us/net"].refs["main"] != first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("us/nett", r"http://127.0.0.1:\d+ has no model repository us/nett, or it is private: check the name"),
        ("us/net@v2", "us/net has no branch, tag or commit 'v2'; see http"),
        (f"us/net@{'a' * 40}", "us/net has no branch, tag or commit 'aaa"),
        ("us/notes", r"hf-hub:us/notes@main has no config.json: it is not a model that eventzoo saved"),
        ("a/b/c", r"'a/b/c' is no repository of the Hugging Face Hub: write hf-hub:ORGANISATION/NAME"),
        ("@main", "'' is no repository"),
        ("us/ net", "is no repository"),
        ("../../etc", "is no repository"),
    ],
)
def test_what_is_not_there_is_named(hub, saved, tmp_path, name, message):
    (tmp_path / "notes").mkdir()
    hub.add("us/net", saved)
    hub.add("us/notes", tmp_path / "notes", **{"notes.txt": b"nothing"})
    with pytest.raises(EventZooError, match=message):
        eventzoo.load(f"hf-hub:{name}")


def test_a_repository_without_weights(hub, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    hub.add("us/net", tmp_path / "half")
    with pytest.raises(EventZooError, match=r"has no model.safetensors: it is not a model that eventzoo saved"):
        eventzoo.load("hf-hub:us/net")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "GatedRepo", r"only for those who asked for access, at http://127.0.0.1:\d+/us/net; log in with `hf auth login`"),
        (401, "RepoNotFound", "or it is private: check the name; for a private one, log in with `hf auth login`"),
        (403, "", "refuses hf-hub:us/net@main: check the name, and log in with `hf auth login`, with a token that may read it"),
        (503, "", "answered 503 when asked for config.json of hf-hub:us/net@main; try again later"),
        (200, "", "config.json of hf-hub:us/net@main cannot be fetched from .*Check the network and HF_ENDPOINT"),
    ],
)
def test_refusals_are_told(hub, saved, status, code, message):
    hub.add("us/net", saved)
    hub.refuse("resolve", status, code)
    with pytest.raises(EventZooError, match=message):
        eventzoo.load("hf-hub:us/net")


def test_without_network_and_with_nothing_fetched_the_error_comes_at_once(hub):
    hub.stop()
    with pytest.raises(EventZooError, match=r"cannot be fetched from http://127.0.0.1.*ConnectError.*Check the network and HF_ENDPOINT"):
        eventzoo.load("hf-hub:us/net")


def test_what_was_fetched_in_part_is_told_offline(hub, saved):
    commit = hub.add("us/net", saved)
    (fetch("us/net") / "model.safetensors").unlink()
    hub.stop()
    with pytest.raises(EventZooError, match=rf"model.safetensors of hf-hub:us/net@{commit} cannot be fetched"):
        eventzoo.load("hf-hub:us/net")


def test_a_token_stays_with_the_hub(hub, saved):
    hub.cdn = f"http://localhost:{hub.port}"
    hub.add("us/net", saved)
    eventzoo.load("hf-hub:us/net")
    tokens = {path.startswith("/cdn/"): token for _, path, token in hub.requests}
    assert tokens == {False: "Bearer hf_secret", True: None}


def test_a_download_that_was_cut_short(hub, saved):
    hub.cdn = f"http://localhost:{hub.port}"
    hub.add("us/net", saved)
    hub.faults["cdn"] = lambda handler, etag: handler.answer(200, (saved / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(EventZooError, match=r"did not arrive whole: Consistency check failed: .* Load it again"):
        eventzoo.load("hf-hub:us/net")
    del hub.faults["cdn"]
    eventzoo.load("hf-hub:us/net")


def test_swapped_weights_are_refused_and_can_be_had_anew(hub, saved):
    commit = hub.add("us/net", saved)
    hub.cdn = f"http://localhost:{hub.port}"
    good = (saved / "model.safetensors").read_bytes()
    hub.faults["cdn"] = lambda handler, etag: handler.answer(200, good[:-8] + b"\x01\x02\x03\x04" * 2)
    cure = r"if they are damaged, `hf cache rm model/us/net` removes them, and the next load fetches them anew"
    for _ in range(2):  # the second time from the cache
        with pytest.raises(EventZooError, match=rf"(?s)model.safetensors is truncated, damaged or another model's.*{cure}"):
            eventzoo.load("hf-hub:us/net")
    del hub.faults["cdn"]
    scan_cache_dir(hub.cache).delete_revisions(commit).execute()  # what that command does
    eventzoo.load("hf-hub:us/net")


def test_a_card_pins_both_files(hub, saved, other):
    known = card("aegnn-nmnist")
    good, bad = hub.add("us/net", saved), hub.add("us/net", other)
    described = {"seed": 0, "command": "eventzoo fit", "licence": "MIT", "sha256": checksums(saved)}
    published(known, Weights(**described, hub=HubFolder("us/net", good)))
    with pytest.raises(EventZooError, match=r"config.json is not the file that the card of aegnn-nmnist means.*hf cache rm model/us/net"):
        published(known, Weights(**described, hub=HubFolder("us/net", bad)))


def test_nothing_of_a_malicious_repository_is_run(hub, saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'hacked'}",)

    evil = shutil.copytree(saved, tmp_path / "evil")
    config = json.loads((saved / "config.json").read_text())

    def publish(**changes):
        (evil / "config.json").write_text(json.dumps({**config, **changes}))
        hub.add("us/evil", evil, **{"modeling.py": f"open({str(tmp_path / 'hacked')!r}, 'w')".encode()})

    bomb = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path / 'hacked'}"}}
    publish(backbone=bomb)
    with pytest.raises(EventZooError, match=r"backbone: refusing to import 'os\.system'"):
        eventzoo.load("hf-hub:us/evil")
    publish(transforms=[{"class_path": "eventzoo.data.transforms.EveryKth", "init_args": {"k": bomb}}])
    with pytest.raises(EventZooError, match=r"refusing to import 'os\.system'"):
        eventzoo.load("hf-hub:us/evil")
    publish(packages={"pip; touch hacked": "1"})
    with pytest.raises(EventZooError, match="is damaged; look at: packages"):
        eventzoo.load("hf-hub:us/evil")
    torch.save(Bomb(), evil / "model.safetensors")
    publish(sha256=checksums(evil)["model.safetensors"])
    with pytest.raises(EventZooError, match="does not hold the weights"):
        eventzoo.load("hf-hub:us/evil")
    assert not (tmp_path / "hacked").exists()


def test_a_cache_that_cannot_be_written(hub, saved, tmp_path, monkeypatch):
    hub.add("us/net", saved)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EventZooError, match=r"cannot be kept in .*cache: Not a directory; HF_HOME names another place"):
        eventzoo.load("hf-hub:us/net")
