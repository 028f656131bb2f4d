import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.model import EventModel
from eventzoo.nn.tokens.batch import HalveTokens
from eventzoo.tasks.heads import ClassificationHead

SIZE = (13, 10)


@pytest.fixture(scope="session")
def event2vec():
    """Makes small Event2Vec models of five classes; what is compiled depends on stages, layers, halving, kind of `temporal` and window."""

    def made(seed=0, causal=True, time_scale=100, representation=None, transforms=(), decay_bias=None, **settings):
        torch.manual_seed(seed)
        settings = {"sensor_size": SIZE, "dim": 16, "feedforward": 24, "heads": 2, "inner": 8, "layers": (1,), **settings}
        network = eventzoo.backbones.Event2Vec(causal=causal, time_scale=time_scale, **settings)
        head = ClassificationHead().connect(network, 5)
        for name, tensor in [*network.named_parameters(), *head.named_parameters()]:
            if tensor.ndim == 1:  # normalisations and biases do something, as after training
                tensor.data += 0.3 * torch.randn_like(tensor)
            if name.endswith("decay.1.bias") and decay_bias is not None:
                tensor.data[:] = decay_bias + torch.linspace(-0.5, 0.5, len(tensor))  # not a common factor
        representation = representation or eventzoo.representations.EventTokens()
        return EventModel(representation, network, head, list("abcde"), network.sensor_size, transforms)

    return made


@pytest.fixture(scope="session")
def after_each():
    """What the head says after every event of a stream: as the network is causal, one forward has the tokens of all prefixes."""

    @torch.inference_mode()
    def said(model, events, window=None):
        backbone, batch = model.backbone, model.representation.collate([model.representation(events)])
        x, start = backbone.spatial(batch) + backbone.temporal(batch), batch.start
        for stage in backbone.stages:
            x, start = stage(x, start)
        share = 2 ** sum(isinstance(module, HalveTokens) for module in backbone.modules())  # events of a token
        count = np.arange(1, len(events) + 1)
        oldest = np.zeros(len(events), np.int64)
        if window is not None and window.events is not None:
            oldest = np.maximum(count - window.events, 0)
        elif window is not None and window.microseconds is not None:
            oldest = np.searchsorted(events.t, events.t - window.microseconds, "right")
        sums = torch.cat([x.new_zeros(1, x.shape[1]).double(), x.double().cumsum(0)])
        first, last = oldest // share, count // share  # a token counts if its last event is in the window
        means = (sums[last] - sums[first]) / torch.from_numpy(np.maximum(last - first, 1))[:, None]
        return model.head(means.float()).numpy()

    return said


@pytest.fixture(scope="session")
def joined():
    """Joins recordings, one after the other."""

    def made(*parts):
        return eventzoo.Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in "xytp"), parts[0].sensor_size)

    return made


@pytest.fixture(scope="session")
def close():
    """Compares outputs, of which the largest difference may be `tolerance` of the largest of each event's."""

    def compared(found, expected, tolerance=1e-5):
        found, expected = np.atleast_2d(found), np.atleast_2d(expected)
        assert found.shape == expected.shape
        worst = np.abs(found - expected).max(1) / np.abs(expected).max(1)
        at = int(worst.argmax())
        assert worst[at] <= tolerance, (
            f"after event {at + 1:,} of {len(worst):,}: {found[at]} differs from {expected[at]} by {worst[at]:.2g}"
        )

    return compared
