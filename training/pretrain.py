"""Trains the two checkpoints from nothing: `python -m training.pretrain all`.

Each phase is a sub-command; those that train resume from training/.cache and stop when their time budget is spent:
sprites, vision, language, features, stage1, stage2, export, evaluate, curves. `all` runs them in this order.
`scenes` writes the committed test images and is not part of `all`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable

import torch

from training.paths import CACHE, TRAINING

# seconds on two cores; a larger budget goes on from the last snapshot
BUDGETS_S = {"vision": 3800, "language": 5300, "stage1": 960, "stage2": 3300}
FEATURE_ROWS = 56_000  # images whose features are stored: 75 KB each


def rasterize_sprites(arguments: argparse.Namespace) -> None:
    """Runs sprites.mjs unless its last sprite is there."""
    if (CACHE / "sprites" / "fluent-emoji-flat" / "house.png").exists():
        return
    packages = [arguments.packages] if arguments.packages else []
    subprocess.run(["node", str(TRAINING / "data" / "sprites.mjs"), *packages], check=True)


def train_vision(arguments: argparse.Namespace) -> None:
    """The image encoder."""
    from training.phases import vision

    vision.train(arguments.seconds or BUDGETS_S["vision"], arguments.from_exported)


def train_language(arguments: argparse.Namespace) -> None:
    """The language model."""
    from training.phases import language

    language.train(arguments.seconds or BUDGETS_S["language"], arguments.from_exported)


def compute_features(arguments: argparse.Namespace) -> None:
    """The frozen image encoder's output for the training images."""
    from training.phases import features, vision

    features.compute(vision.frozen_encoder(), arguments.rows)


def train_stage1(arguments: argparse.Namespace) -> None:
    """The Q-Former of *retrieve*."""
    from training.phases import stage1

    stage1.train(arguments.seconds or BUDGETS_S["stage1"], arguments.from_exported)


def train_stage2(arguments: argparse.Namespace) -> None:
    """The Q-Former and projection of *generate*."""
    from training.phases import stage2

    stage2.train(arguments.seconds or BUDGETS_S["stage2"], arguments.from_exported)


def export_checkpoints(_: argparse.Namespace) -> None:
    """Both checkpoints, from the snapshots."""
    from training.export import checkpoints

    checkpoints.export()


def evaluate_checkpoints(_: argparse.Namespace) -> None:
    """Accuracies on the test scenes, into the metrics and the model cards."""
    from training.export import checkpoints
    from training.phases import evaluate

    checkpoints.export(evaluate.evaluate())


def draw_curves(_: argparse.Namespace) -> None:
    """The metrics as images."""
    from training.phases import curves

    curves.draw_all()


def write_test_scenes(_: argparse.Namespace) -> None:
    """The committed test images."""
    from training.data import make_test_scenes

    make_test_scenes.write()


PHASES: dict[str, Callable[[argparse.Namespace], None]] = {
    "sprites": rasterize_sprites,
    "vision": train_vision,
    "language": train_language,
    "features": compute_features,
    "stage1": train_stage1,
    "stage2": train_stage2,
    "export": export_checkpoints,
    "evaluate": evaluate_checkpoints,
    "curves": draw_curves,
}
OTHERS = {"scenes": write_test_scenes}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phase", nargs="?", default="all", choices=["all", *OTHERS, *PHASES])
    parser.add_argument("--seconds", type=float, help="time budget of the phase, over all runs")
    parser.add_argument("--rows", type=int, default=FEATURE_ROWS, help="images whose features are computed")
    parser.add_argument(
        "--from-exported", action="store_true", help="phases without a snapshot start from the checkpoints"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--packages", help="folder whose node_modules hold sharp and the icon sets")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for phase in PHASES if arguments.phase == "all" else [arguments.phase]:
        (PHASES | OTHERS)[phase](arguments)


if __name__ == "__main__":
    main()
