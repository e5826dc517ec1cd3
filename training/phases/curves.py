"""Draws training/metrics/<phase>.png from the metrics of each phase."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from training.data.vocab import METRICS

_RATES = ("object", "exact", "all", "itm_accuracy", "itc_found", "caption", "count", "presence",
          "category", "color", "what", "what-relation", "is-relation", "list", "where")  # fmt: skip


def draw(phase: str) -> None:
    """Losses on the left, rates of right answers on the right, over the phase's seconds."""
    path = METRICS / f"{phase}.jsonl"
    if not path.exists():
        return
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    keys = dict.fromkeys(k for line in lines for k in line if k not in ("step", "seconds", "images", "temperature"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for key in keys:
        points = [(line["seconds"], line[key]) for line in lines if key in line]
        is_rate = key in _RATES and not (phase == "vision" and key == "color" and "cover" in keys)
        (right if is_rate else left).plot(*zip(*points, strict=True), label=key, linewidth=1)
    left.set_yscale("log")
    for axis, title in ((left, "loss"), (right, "right")):
        axis.set_title(f"{phase}: {title}", fontsize=9)
        axis.set_xlabel("seconds", fontsize=8)
        if axis.lines:
            axis.legend(fontsize=6)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(METRICS / f"{phase}.png", dpi=90)
    plt.close(figure)


def draw_all() -> None:
    for phase in ("vision", "language", "stage1", "stage2"):
        draw(phase)
