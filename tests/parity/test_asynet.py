"""SparseVGG against upstream's sparse VGG12 on SparseConvNet."""

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.testing import synchronous_output
from eventzoo.zoo.checkpoints.asynet import import_asynet


def close(found, expected):
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.fixture(scope="module")
def answers(fixtures):
    return np.load(fixtures / "asynet_vgg12_ncars.npz")


def published(answers, sensor_size):
    """The model with upstream's weights, for a sensor of any size that is brought to the size of the map, and all events."""
    state = {key[6:]: torch.from_numpy(answers[key]) for key in answers.files if key.startswith("state.")}
    model = import_asynet(state, classes=[str(i) for i in range(len(answers["logits"][0]))], sensor_size=sensor_size).model
    model.transforms.clear()
    return model


def histograms(answers):
    """Upstream's inputs, `[B, channels, height, width]`."""
    samples = sum(key.startswith("input.") for key in answers.files)
    images = torch.stack([torch.from_numpy(answers[f"input.{sample}.histogram"]).float() for sample in range(samples)])
    return images.permute(0, 3, 1, 2)


def test_features_and_logits(answers):
    images = histograms(answers)
    model = published(answers, (images.shape[3], images.shape[2]))
    with torch.no_grad():
        features = model.backbone(images)
        close(features, answers["sparse_features"])
        close(model.head(features), answers["logits"])


@pytest.mark.slow
def test_logits_event_by_event(answers):
    """The events of which upstream's histograms are made, in any order."""
    images = histograms(answers)
    size = (images.shape[3], images.shape[2])
    stream = published(answers, size).asynchronous(strict=True)
    for image, expected in zip(images.numpy(), answers["logits"], strict=True):
        p, y, x = np.nonzero(image)
        order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(p)), image[p, y, x].astype(int)))
        stream.reset()
        stream.push(Events(x[order], y[order], np.arange(len(order)), p[order] == 1, size))
        close(torch.from_numpy(stream.head_output()), expected)


@pytest.mark.slow
@pytest.mark.parametrize("window", [Window(), Window(events=1_000), Window(microseconds=20_000)], ids=str)
def test_a_real_recording_event_by_event(answers, realdata, window):
    """Upstream's weights on a recording of the dataset that they are for; every 20th answer is compared."""
    events = eventzoo.read(realdata / "N-Cars" / "obj_004397_td.dat", sensor_size=(120, 100))
    model = published(answers, (120, 100))
    outputs = model.asynchronous(window, strict=True).push_each(events)
    for count in [*range(1, len(events), 20), len(events)]:
        expected = synchronous_output(model, events[:count], window)
        np.testing.assert_allclose(outputs[count - 1], expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=f"event {count}")
