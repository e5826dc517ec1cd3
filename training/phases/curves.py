"""Phase *curves*: draws training/metrics/<phase>.png from the metrics of each phase."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from training.paths import METRICS

_PHASES = ("vision", "language", "stage1", "stage2")
_NOT_DRAWN = ("step", "seconds", "images", "images_per_s", "temperature", "returned", "rate")
_ACCURACIES = (
    "object", "exact", "all", "itm_accuracy", "itc_found", "caption", "count", "presence",
    "category", "color", "what", "what-relation", "is-relation", "list", "where", "which", "relate", "chat",
    "near_miss", "is-color", "which-category", "where-is", "small-talk",
)  # fmt: skip


def is_accuracy(key: str, line: dict[str, float]) -> bool:
    """Whether the value at `key` of a line of metrics is an accuracy; beside the patch loss, `color` is a loss too."""
    return (key in _ACCURACIES and "cover" not in line) or key.startswith(("object, ", "color, "))


def draw(phase: str) -> None:
    """Losses on the left, accuracies on the right, over the seconds of the phase."""
    path = METRICS / f"{phase}.jsonl"
    if not path.exists():
        return
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for axis, wanted in ((left, False), (right, True)):
        for key in dict.fromkeys(k for line in lines for k in line if k not in _NOT_DRAWN):
            points = [
                (line["seconds"], line[key]) for line in lines if key in line and is_accuracy(key, line) == wanted
            ]
            if points:
                axis.plot(*zip(*points, strict=True), label=key, linewidth=1)
    left.set_yscale("log")
    for axis, title in ((left, "loss"), (right, "accuracy")):
        axis.set_title(f"{phase}: {title}", fontsize=9)
        axis.set_xlabel("seconds", fontsize=8)
        if axis.lines:
            axis.legend(fontsize=6)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(METRICS / f"{phase}.png", dpi=90)
    plt.close(figure)


def draw_all() -> None:
    """The curves of every phase that has metrics."""
    for phase in _PHASES:
        draw(phase)
