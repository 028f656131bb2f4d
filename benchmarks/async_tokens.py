"""Causal Event2Vec event by event on one core: how many events a second, how exact after each of them, and what a long stream costs.

    EVENTZOO_REALDATA=<folder> python benchmarks/async_tokens.py  # five minutes, of which most is compiling

Networks of the sizes for ASL-DVS and DVS Gesture, with random weights, on the first 20,000 events of a recording of N-Caltech101, for
gestures of its middle 128×128 pixels; and that of configs/event2vec_nmnist_causal.yaml on ten recordings of N-MNIST, every event of them.
"""

from async_streams import long_stream, report  # isort: skip  # pins the threads

import os
from pathlib import Path

import numpy as np
import torch

import eventzoo
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import CentreCrop
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.nn.tokens.batch import HalveTokens
from eventzoo.tasks.heads import ClassificationHead

EVENTS = 20_000
ASL = {"sensor_size": (240, 180), "time_scale": 100, "gaps": "log"}
GESTURE = {"sensor_size": (128, 128), "dim": 128, "feedforward": 256, "heads": 4, "inner": 64, "layers": (1,) * 7, "halving": "before"}
NMNIST = {"sensor_size": (34, 34), "time_scale": 100, "gaps": "log"}


def model(network: dict) -> EventModel:
    torch.manual_seed(0)
    backbone = eventzoo.backbones.Event2Vec(causal=True, **network)
    for parameter in backbone.parameters():
        if parameter.ndim < 2:  # normalisations are not trivial after training
            parameter.data += 0.3 * torch.randn_like(parameter)
    head = ClassificationHead().connect(backbone, 10)
    representation = eventzoo.representations.EventTokens()
    return EventModel(representation, backbone, head, [str(i) for i in range(10)], network["sensor_size"])


@torch.inference_mode()
def after_each(made: EventModel, events: Events) -> np.ndarray:
    """What the synchronous network says after each event: as it is causal, one forward has the tokens of all prefixes."""
    backbone, batch = made.backbone, made.representation.collate([made.representation(events)])
    x, start = backbone.spatial(batch) + backbone.temporal(batch), batch.start
    for stage in backbone.stages:
        x, start = stage(x, start)
    share = 2 ** sum(isinstance(module, HalveTokens) for module in backbone.modules())  # events of a token
    sums = torch.cat([x.new_zeros(1, x.shape[1]).double(), x.double().cumsum(0)])
    tokens = (torch.arange(len(events)) + 1) // share
    return made.head((sums[tokens] / tokens.clamp(min=1)[:, None]).float()).numpy()


def compare(made: EventModel, recordings: list[Events]) -> None:
    stream, worst, wrong = made.asynchronous(strict=True), 0.0, 0.0
    for events in recordings:
        stream.reset()
        expected = after_each(made, events)
        worst = max(worst, float((np.abs(stream.push_each(events) - expected).max(1) / np.abs(expected).max(1)).max()))
        wrong = max(wrong, float(np.abs(expected[-1] - made.output(events)).max() / np.abs(expected[-1]).max()))
    print(f"after every event: largest difference {worst:.2g} of the largest output (of the reference at the end: {wrong:.2g})")


def main() -> None:
    torch.set_num_threads(1)
    root = os.environ.get("EVENTZOO_REALDATA")
    if not root:
        raise SystemExit("set EVENTZOO_REALDATA to the folder that holds N-MNIST/Train and N-Caltech101/Caltech101")
    whole = eventzoo.read(next(Path(root, "N-Caltech101").glob("Caltech101/*/*.bin")), sensor_size=(240, 180))
    middle = CentreCrop((128, 128))(Sample(whole, 0, "whole"), np.random.default_rng(0)).events
    paths = [sorted(Path(root, "N-MNIST", "Train", str(digit)).glob("*.bin"))[0] for digit in range(10)]
    digits = [eventzoo.read(path, sensor_size=(34, 34)) for path in paths]
    for title, network, recordings in (
        ("ASL-DVS", ASL, [whole[:EVENTS]]),
        ("DVS Gesture", GESTURE | {"time_scale": 100, "gaps": "log"}, [middle[:EVENTS]]),
        ("N-MNIST", NMNIST, digits),
    ):
        made = model(network)
        report(title, made, recordings)
        compare(made, recordings)
        if title == "N-MNIST":
            long_stream(made, recordings)


if __name__ == "__main__":
    main()
