"""Trains the two checkpoints from nothing: `python -m training.pretrain all`.

Each phase is a sub-command that resumes from training/.cache and stops when its time budget is spent:
sprites, vision, language, features, stage1, stage2, export, scenes, evaluate, curves. `all` runs them in order.
"""

from __future__ import annotations

import argparse
import os
import subprocess

import torch

from training.data.vocab import CACHE, FOLDER

# seconds on two cores; a larger budget goes on from the last snapshot
BUDGETS = {"vision": 3800, "language": 5300, "stage1": 960, "stage2": 3300}
ROWS = 56_000  # pictures whose features are kept: 75 KB each
PHASES = ("sprites", "vision", "language", "features", "stage1", "stage2", "export", "evaluate", "curves")


def frozen_vision():
    """The image encoder of phase *vision*, or of the exported checkpoint when no cache is there."""
    from training.export import checkpoints as export
    from training.phases import vision

    model = vision.build()
    if (CACHE / "vision.pt").exists():
        model.load_state_dict(torch.load(CACHE / "vision.pt", weights_only=True)["model"])
    else:
        model.load_state_dict(export.load("generate").vision_model.state_dict())
    return model.requires_grad_(False).eval().bfloat16()


def run(phase: str, arguments: argparse.Namespace) -> None:
    """Runs one phase."""
    budget = arguments.seconds or BUDGETS.get(phase, 0)
    if phase == "sprites":
        if not (CACHE / "sprites" / "fluent-emoji-flat" / "house.png").exists():
            subprocess.run(["node", str(FOLDER / "data" / "sprites.mjs"), *([arguments.packages] if arguments.packages else [])], check=True)
    elif phase == "vision":
        from training.phases import vision

        vision.train(budget, arguments.from_exported)
    elif phase == "language":
        from training.phases import language

        language.train(budget, arguments.from_exported)
    elif phase == "features":
        from training.phases import features

        features.compute(frozen_vision(), arguments.rows)
    elif phase == "stage1":
        from training.phases import stage1

        stage1.train(budget, arguments.from_exported)
    elif phase == "stage2":
        from training.phases import stage2

        stage2.train(budget, arguments.from_exported)
    elif phase == "export":
        from training.export import checkpoints as export

        export.export()
    elif phase == "scenes":
        from training.data import make_test_scenes as testscenes

        testscenes.write()
    elif phase == "evaluate":
        from training.phases import evaluate
        from training.export import checkpoints as export

        export.export(evaluate.evaluate())
    elif phase == "curves":
        from training.phases import curves

        curves.draw_all()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pretrain", description=__doc__)
    parser.add_argument("phase", nargs="?", default="all", choices=["all", "scenes", *PHASES])
    parser.add_argument("--seconds", type=float, help="time budget of the phase, over all runs")
    parser.add_argument("--rows", type=int, default=ROWS, help="pictures whose features are computed")
    parser.add_argument("--from-exported", action="store_true", help="phases without a snapshot go on from the checkpoints")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--packages", help="folder whose node_modules hold sharp and the icon sets")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for phase in PHASES if arguments.phase == "all" else [arguments.phase]:
        run(phase, arguments)


if __name__ == "__main__":
    main()
