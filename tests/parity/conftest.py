from types import SimpleNamespace

import numpy as np
import pytest

import eventzoo
from eventzoo.zoo.checkpoints.aegnn import import_aegnn


@pytest.fixture(scope="session")
def checkpoint(realdata):
    """The file of the network that was trained with upstream's code on N-Cars."""
    path = realdata / "checkpoints" / "aegnn_ncars_recognition.ckpt"
    if not path.is_file():
        pytest.skip("no trained checkpoint here")
    return path


@pytest.fixture(scope="session")
def trained(fixtures, realdata, checkpoint):
    """That network, the recording of which its answers are known, and those answers."""
    answers = np.load(fixtures / "aegnn_ncars_checkpoint.npz")
    width, height, radius, coarse_scale, *pool_size = answers["meta"].tolist()
    size, voxel = (int(width), int(height)), (int(pool_size[0]), int(pool_size[1]))
    model = import_aegnn(checkpoint, sensor_size=size, radius=radius, pool_size=voxel, coarse_scale=coarse_scale).model
    events = eventzoo.read(realdata / "N-Cars" / "obj_004397_td.dat", sensor_size=(120, 100))
    return SimpleNamespace(model=model, events=events, answers=answers)
