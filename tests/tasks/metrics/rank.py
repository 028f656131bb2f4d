"""One of two processes that share the images of each case: `python rank.py FOLDER RANK`. Writes what the metrics say on this rank."""

import os
import pickle
import sys
import warnings
from pathlib import Path

os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # the processes meet on 127.0.0.1 only

import torch.distributed

from eventzoo.tasks.metrics import COCOAveragePrecision, MeanPerImageAveragePrecision, VOCAveragePrecision

CLASSES = ["car", "pedestrian", "bicycle"]


def measured(detections, boxes):
    """All numbers of all metrics, computed twice, half-way and at the end, as evaluation may go on after a result."""
    values = {}
    for metric in (COCOAveragePrecision(CLASSES), VOCAveragePrecision(CLASSES), MeanPerImageAveragePrecision()):
        if detections:
            metric.update(detections[:1], boxes[:1])
        metric.compute()
        metric.update(detections[1:], boxes[1:])
        result = metric.compute()
        result = result if isinstance(result, dict) else {"value": result}
        values |= {(type(metric).__name__, name): value.item() for name, value in result.items()}
        if isinstance(metric, COCOAveragePrecision):
            values |= {(name, key): value for name, row in metric.per_class().items() for key, value in row.items()}
    return values


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    warnings.filterwarnings("ignore", message="The ``compute`` method of metric .* was called before")  # a rank without images
    cases = pickle.loads((folder / "cases").read_bytes())
    if rank == 0:
        (folder / "alone").write_bytes(pickle.dumps(measured(*cases[0][:2])))
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2)
    together = []
    for detections, boxes, split in cases:
        mine = slice(split) if rank == 0 else slice(split, None)
        together.append(measured(detections[mine], boxes[mine]))
    (folder / f"together{rank}").write_bytes(pickle.dumps(together))
    torch.distributed.destroy_process_group()
