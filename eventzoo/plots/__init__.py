"""Pictures. They need matplotlib, which comes with the extra `viz`."""

from eventzoo.plots.events import event_image
from eventzoo.plots.recordings import draw_cost, draw_inspection
from eventzoo.plots.samples import draw_predictions, draw_sample, draw_samples
from eventzoo.plots.scores import draw_by_events, draw_confusion, draw_precision_recall

__all__ = [
    "draw_by_events",
    "draw_confusion",
    "draw_cost",
    "draw_inspection",
    "draw_precision_recall",
    "draw_predictions",
    "draw_sample",
    "draw_samples",
    "event_image",
]
