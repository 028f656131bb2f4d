import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EvenSubsample, EventTransform, RandomApply, RandomChoice, RandomHorizontalFlip, RandomPolarityFlip
from eventzoo.specs import build


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(50), 1, "a")


FLIP, NEGATE = RandomHorizontalFlip(1), RandomPolarityFlip(1)


def test_all_or_none_are_applied_with_the_probability(sample):
    both, count = NEGATE(FLIP(sample, None), None).events, 0
    for seed in range(1000):
        events = RandomApply([FLIP, NEGATE], 0.3)(sample, np.random.default_rng(seed)).events
        assert events in (both, sample.events)
        count += events == both
    assert abs(count - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)


def test_each_choice_is_equally_likely(sample):
    choices = [FLIP, NEGATE, EvenSubsample(9)]
    answers = [choice(sample, None).events for choice in choices]
    drawn = [answers.index(RandomChoice(choices)(sample, np.random.default_rng(seed)).events) for seed in range(900)]
    assert abs(np.bincount(drawn) - 300).max() < 5 * np.sqrt(900 * 2 / 9)


def test_compositions_nest_in_a_specification(sample):
    flip = {"class_path": "RandomHorizontalFlip", "init_args": {"probability": 1.0}}
    inner = {"class_path": "RandomApply", "init_args": {"transforms": [flip], "probability": 1.0}}
    outer = build({"class_path": "RandomChoice", "init_args": {"transforms": [inner]}}, EventTransform)
    assert outer(sample, np.random.default_rng(0)).events == FLIP(sample, None).events
