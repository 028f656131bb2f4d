"""Heads: what turns a backbone's features into a task's answer."""

from eventzoo.tasks.heads.base import DetectionHead, Head
from eventzoo.tasks.heads.classification import ClassificationHead
from eventzoo.tasks.heads.yolo import YOLOHead
from eventzoo.tasks.heads.yolox import YOLOXHead

__all__ = ["ClassificationHead", "DetectionHead", "Head", "YOLOHead", "YOLOXHead"]

for _name in __all__:
    globals()[_name].__module__ = __name__  # configs and saved models name a head by this path, whichever file it lives in
