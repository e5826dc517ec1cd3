"""Phase *curves*: draws training/metrics/<phase>.png from the metrics of each phase."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from training.data.vocab import VALIDATION_ARTISTS
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


def draw_artists() -> None:
    """Captions and answers of each artist, by the checkpoints of before.json and by those of results.json."""
    files = [METRICS / name for name in ("before.json", "results.json")]
    if not all(f.exists() for f in files):
        return
    before, after = (json.loads(f.read_text()).get("artists", {}) for f in files)
    artists = [a for a in after if a in before]
    if not artists:
        return
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    for axis, name in zip(axes, ("captions", "answers"), strict=True):
        for shift, table, label in ((-0.2, before, "before"), (0.2, after, "after")):
            bars = axis.barh([i + shift for i in range(len(artists))], [table[a][name] for a in artists], 0.4)
            bars.set_label(label)
        axis.set_title(f"{name}, exact", fontsize=9)
        axis.set_xlim(0, 1)
        axis.tick_params(labelsize=7)
    seen = [f"{a} (never seen)" if a in VALIDATION_ARTISTS else a for a in artists]
    axes[0].set_yticks(range(len(artists)), seen)
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(METRICS / "artists.png", dpi=90)
    plt.close(figure)


def draw_all() -> None:
    """The curves of every phase that has metrics, and the artists."""
    for phase in _PHASES:
        draw(phase)
    draw_artists()
