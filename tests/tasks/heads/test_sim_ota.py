import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.tasks.box_ops import around, cells, paired_iou
from eventzoo.tasks.heads.sim_ota import Targets, sim_ota

WIDTH, HEIGHT = 6, 5
CELL = torch.tensor([10.0, 8.0], dtype=torch.float64)
CENTRES = (cells(WIDTH, HEIGHT, torch.device("cpu")) + 0.5) * CELL


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_the_definition(targets, class_ids, boxes, objectness, class_logits):
    """Cell by cell and target by target."""
    claims = {}  # cell: [(cost, target)]
    for g, (target, class_id) in enumerate(zip(targets, class_ids, strict=True)):
        left, top, right, bottom = target.tolist()
        x, y = (left + right) / 2, (top + bottom) / 2
        steps = [((cx - x) / CELL[0]) ** 2 + ((cy - y) / CELL[1]) ** 2 for cx, cy in CENTRES.tolist()]
        costs, overlaps = [], []
        for a, (cx, cy) in enumerate(CENTRES.tolist()):
            inside = left < cx < right and top < cy < bottom
            central = abs(cx - x) < 2.5 * CELL[0] and abs(cy - y) < 2.5 * CELL[1]
            if not (inside or central or steps[a] == min(steps)):
                continue
            overlap = float(paired_iou(target, boxes[a]))
            scores = [math.sqrt(sigmoid(logit) * sigmoid(objectness[a])) for logit in class_logits[a].tolist()]
            cost = -sum(math.log(score) if c == class_id else math.log(1 - score) for c, score in enumerate(scores))
            cost += -3 * math.log(overlap + 1e-8) + (0 if inside and central else 1e5)
            costs.append((cost, a))
            overlaps.append(overlap)
        wanted = max(1, int(sum(sorted(overlaps, reverse=True)[:10])))
        for cost, a in sorted(costs)[:wanted]:
            claims.setdefault(a, []).append((cost, g))
    return [min(claims[a])[1] if a in claims else -1 for a in range(len(CENTRES))]


def random_boxes(rng, count, spread):
    centre = rng.uniform(-5, [65, 45], (count, 2))
    return np.concatenate([centre - (size := rng.uniform(0, spread, (count, 2))) / 2, centre + size / 2], 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4), min_size=1, max_size=3), st.sampled_from([5, 20, 100]))
def test_cells_are_given_to_targets(seed, counts, spread):
    rng = np.random.default_rng(seed)
    samples = [random_boxes(rng, count, spread) for count in counts]
    for sample in samples:
        sample[: int(rng.integers(2))] = [30, 20, 30, 20]  # a box without a size
    class_ids = [rng.integers(0, 3, count) for count in counts]
    targets = Targets.of([Boxes(b, c, np.zeros(len(c))) for b, c in zip(samples, class_ids, strict=True)], torch.device("cpu"))
    targets = targets._replace(boxes=targets.boxes.double())
    size = torch.tensor(rng.uniform(0.3, 5, (len(counts), len(CENTRES), 2)))
    boxes = around(CENTRES + torch.tensor(rng.normal(0, 5, size.shape)), size * CELL)
    for k, count in enumerate(counts):  # half of the cells find one of the targets, more or less
        for a in range(0, len(CENTRES) if count else 0, 2):
            boxes[k, a] = targets.boxes[k, int(rng.integers(count))] + torch.tensor(rng.normal(0, 2, 4))
    objectness = torch.tensor(rng.normal(0, 2, size.shape[:2]))
    class_logits = torch.tensor(rng.normal(0, 2, (*size.shape[:2], 3)))
    found = sim_ota(targets, CENTRES, CELL, boxes, objectness, class_logits)
    for k, count in enumerate(counts):
        expected = by_the_definition(targets.boxes[k, :count], class_ids[k], boxes[k], objectness[k], class_logits[k])
        assert found[k].tolist() == expected


def assigned(boxes_of_targets, found, objectness=None, class_logits=None):
    rows = np.array(boxes_of_targets, np.float32).reshape(-1, 4)
    targets = Targets.of([Boxes(rows, np.zeros(len(rows)), np.zeros(len(rows)))], torch.device("cpu"))
    still = torch.zeros(1, len(CENTRES))
    return sim_ota(
        targets,
        CENTRES.float(),
        CELL.float(),
        found,
        still if objectness is None else objectness,
        still[..., None] if class_logits is None else class_logits,
    )[0]


def test_a_target_gets_as_many_cells_as_find_it():
    target = [5.0, 4.0, 45.0, 36.0]
    found = torch.zeros(1, len(CENTRES), 4)
    found[0, [8, 9, 14, 15]] = torch.tensor(target)
    found[0, 20] = torch.tensor([5.0, 4.0, 45.0, 12.0])  # a quarter of it
    assert (assigned([target], found) == 0).nonzero()[:, 0].tolist() == [8, 9, 14, 15]


def test_a_target_far_from_all_cells_gets_the_nearest():
    found = torch.zeros(1, len(CENTRES), 4)
    assert (assigned([[200.0, 20.0, 210.0, 20.0]], found) == 0).nonzero()[:, 0].tolist() == [2 * WIDTH + WIDTH - 1]


def test_ties_go_to_the_lower_index():
    """The same target twice: both want the same cell, which finds neither better, as no other does."""
    found = torch.zeros(1, len(CENTRES), 4)
    target = [10.0, 8.0, 30.0, 24.0]
    assert (assigned([target, target], found)[[7, 8, 13, 14]]).tolist() == [0, -1, -1, -1]


def test_without_targets_all_is_background():
    found = torch.zeros(1, len(CENTRES), 4)
    assert (assigned([], found) == -1).all()


def test_extreme_logits_cost_finitely():
    """A cell that is sure of all that is wrong is taken nevertheless, where there is no other."""
    found, sure = torch.zeros(1, len(CENTRES), 4), torch.full((1, len(CENTRES)), 1e4)
    for sign in (1, -1):
        assert (assigned([[10, 8, 30, 24]], found, sign * sure, sign * sure[..., None]) == 0).sum() == 1
