import numpy as np
import pytest

from eventzoo.data.boxes import Boxes
from eventzoo.nn.backbone import Backbone


class Given(Backbone):
    """Its features are its input."""

    accepts = "image"

    def __init__(self, sensor_size=(100, 60), out_channels=4, out_size=(5, 4)):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = sensor_size, out_channels, out_size

    def forward(self, batch):
        return batch


@pytest.fixture(scope="session")
def given():
    """Makes a backbone that returns what it is given, for heads to be connected to."""
    return Given


@pytest.fixture(scope="session")
def boxes_of():
    """Makes the boxes of a sample from rows of left, top, right, bottom and class."""

    def made(*rows):
        table = np.array(rows, np.float32).reshape(-1, 5)
        return Boxes(table[:, :4], table[:, 4], np.zeros(len(table)))

    return made
