"""What asynet's four ways to process events cost networks of its sizes on recordings, in MFLOP.

    python benchmarks/processing_modes.py --ncars obj_004397_td.dat --ncaltech101 Caltech101/Faces_easy/image_0001.bin

Weights are random, which matters to counted work alone: there, a row that comes out the same is not passed on. The protocol is that of
`eventzoo flops --mode all`, with its defaults.
"""

import argparse
from pathlib import Path

import numpy as np
from async_sparse import VGG13, model
from asynchronous import table

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.commands.streaming import modes
from eventzoo.evaluation.processing_modes import MODES

NETWORKS = {
    "ncars": ("VGG12, N-Cars", {"sensor_size": (120, 100), "classes": 2}),
    "ncaltech101": ("VGG13, N-Caltech101", {"sensor_size": (240, 180), "classes": 101, "stages": VGG13, "out_channels": 256}),
}


def totals(samples: list[modes.Work]) -> list[str]:
    """Mean and standard deviation of each mode, all layers together."""
    found = [[sum(flops for (_, of), (flops, _) in sample.items() if of == mode) / 1e6 for sample in samples] for mode in MODES]
    return [f"{np.mean(flops):,.1f} ± {np.std(flops):,.1f}" for flops in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in NETWORKS:
        parser.add_argument(f"--{option}", type=Path, metavar="FILE")
    given, rows = vars(parser.parse_args()), []
    for option, (name, settings) in NETWORKS.items():
        if given[option] is None:
            continue
        forms = modes.both_forms(model("SparseVGG", **settings))
        events = eventzoo.read(given[option], sensor_size=settings["sensor_size"])
        length = min(modes.WINDOW, len(events) - modes.STEP)
        last = len(events) - length - modes.STEP
        starts = [int(first) for first in np.linspace(0, last, min(modes.SAMPLES, last + 1))]
        streams = [form.asynchronous(Window(length), strict=True) for form in forms]
        label = f"{name}, {len(starts)} × {length:,} events"
        rows.append((label, "formulas", *totals([modes.by_formulas(forms[0], events, start, length, modes.STEP) for start in starts])))
        rows.append((label, "work", *totals(modes.by_work(streams, events, starts, length, modes.STEP))))
    table("MFLOP", ("counted by", *MODES), *rows)


if __name__ == "__main__":
    main()
