"""How well detectors do: COCO's and Pascal VOC's average precision, and the per-image measure that AEGNN was published with."""

from eventzoo.tasks.metrics.coco import Backend, COCOAveragePrecision
from eventzoo.tasks.metrics.per_image import MeanPerImageAveragePrecision
from eventzoo.tasks.metrics.voc import VOCAveragePrecision

__all__ = ["Backend", "COCOAveragePrecision", "MeanPerImageAveragePrecision", "VOCAveragePrecision"]
