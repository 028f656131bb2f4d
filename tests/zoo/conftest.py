"""A Hub on this computer, and a model to publish there."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

import eventzoo
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A small saved model."""
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(sensor_size=(34, 34), channels=(4, 8, 8, 8, 8, 8, 8), pool_size=(5, 5))
    model = EventModel(
        eventzoo.representations.EventGraph(), backbone, ClassificationHead().connect(backbone, 3), ("a", "b", "c"), (34, 34)
    )
    return model.save(tmp_path_factory.mktemp("saved") / "net")


@pytest.fixture
def hub_client(tmp_path, monkeypatch):
    """Sets where Hugging Face's client looks, as it reads its environment only once: `hub_client(endpoint)`. Returns its cache."""
    import huggingface_hub
    from huggingface_hub import constants

    def set_up(endpoint):
        cache = tmp_path / "cache"
        settings = {
            "ENDPOINT": endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_URL_HOSTS": frozenset({"127.0.0.1"}),
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value, raising=False)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: pytest.fail("waits"))
        huggingface_hub.close_session()
        return cache

    yield set_up
    huggingface_hub.close_session()


@pytest.fixture
def hub(hub_client, monkeypatch):
    """A Hub, which `eventzoo` asks while the test runs."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    server = import_module("hub_server").Hub()
    server.cache = hub_client(server.endpoint)
    yield server
    server.stop()
