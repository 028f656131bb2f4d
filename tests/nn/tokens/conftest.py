import numpy as np
import pytest
import torch

from eventzoo.nn.tokens.batch import TokenBatch


@pytest.fixture(scope="session")
def make_tokens():
    """Makes a batch of random recordings of given lengths; a recording depends on its length, the sensor and the seed alone."""

    def made(*lengths, sensor_size=(10, 8), seed=0, duration=50_000):
        columns = []
        for length in lengths:
            rng = np.random.default_rng((seed, length))
            x, y = (rng.integers(0, size, length, dtype=np.int16) for size in sensor_size)
            t = np.sort(rng.integers(0, duration, length))
            columns.append((x, y, rng.random(length) < 0.5, t - t[:1]))
        x, y, p, t = (torch.from_numpy(np.concatenate(column)) for column in zip(*columns, strict=True))
        return TokenBatch(x, y, p, t, torch.tensor([0, *lengths]).cumsum(0))

    return made
