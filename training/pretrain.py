"""Trains the two checkpoints from nothing: `python -m training.pretrain all`.

Each phase is a sub-command; those that train resume from training/.cache and stop when their time budget is spent:
sprites, vision, language, stage1, stage2, export, evaluate, outside, curves. `all` runs them in this order.
`scenes` and `foreign` write the committed test images, `restore` takes over what a run on another machine left,
`ablations` trains variants of vision.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from training.machine import Machine
from training.paths import CACHE, CHECKPOINTS, METRICS, REPOSITORY, TRAINING

# seconds; a larger budget goes on from the last snapshot
BUDGETS_S = {
    "cpu": {"vision": 7200, "language": 9000, "stage1": 1800, "stage2": 7200},
    "cuda": {"vision": 200, "language": 250, "stage1": 200, "stage2": 150},
    "smoke": {"vision": 8, "language": 12, "stage1": 6, "stage2": 8},
}
ABLATION_S = {"cpu": 1800, "cuda": 40, "smoke": 2}  # of each variant
TRAINED = ("vision", "language", "stage1", "stage2")
OVERHEAD_S = 90  # of `all`, beside the budgets: imports, sprites, scenes, export and evaluation on a GPU
EXAMINED = {"cpu": 120, "cuda": 160, "smoke": 3}  # scenes of each artist
OUTSIDE = {"cpu": 80, "cuda": 80, "smoke": 4}  # scenes of each artist


def machine_of(arguments: argparse.Namespace) -> Machine:
    """The device and the workers of the command line."""
    workers = arguments.workers or (7 if arguments.device == "cuda" else 1)
    return Machine(arguments.device, workers, arguments.smoke, arguments.out)


def kind_of(arguments: argparse.Namespace) -> str:
    """Which table of budgets holds."""
    return "smoke" if arguments.smoke else arguments.device


def budget(arguments: argparse.Namespace, phase: str) -> float:
    """Seconds of a phase; with `--within` its share of the whole time."""
    budgets = BUDGETS_S[kind_of(arguments)]
    if given := arguments.seconds or getattr(arguments, phase):
        return given
    if arguments.within is None:
        return budgets[phase]
    in_turn = sum(budgets[p] for p in TRAINED if not (arguments.beside and p == "language"))
    return budgets[phase] * max(1.0, arguments.within - OVERHEAD_S) / in_turn


def prepare_sprites(arguments: argparse.Namespace) -> None:
    """Runs sprites.mjs and packs what it made, unless the pack is there."""
    from training.data import sprite_pack

    if sprite_pack.PACK.exists():
        return
    subprocess.run(["node", str(TRAINING / "data" / "sprites.mjs")], check=True)
    print(f"{sprite_pack.write_pack()} sprites packed")


def train_vision(arguments: argparse.Namespace) -> None:
    """The image encoder."""
    from training.phases import vision

    vision.train(machine_of(arguments), budget(arguments, "vision"), arguments.from_exported)


def train_language(arguments: argparse.Namespace) -> None:
    """The language model."""
    from training.phases import language

    language.train(machine_of(arguments), budget(arguments, "language"), arguments.from_exported)


def train_stage1(arguments: argparse.Namespace) -> None:
    """The Q-Former of *retrieve*."""
    from training.phases import stage1

    stage1.train(machine_of(arguments), budget(arguments, "stage1"), arguments.from_exported)


def train_stage2(arguments: argparse.Namespace) -> None:
    """The Q-Former and projection of *generate*."""
    from training.phases import stage2

    stage2.train(machine_of(arguments), budget(arguments, "stage2"), arguments.from_exported)


def export_checkpoints(_: argparse.Namespace) -> None:
    """Both checkpoints, from the snapshots."""
    from training.export import checkpoints

    checkpoints.export()


def evaluate_checkpoints(arguments: argparse.Namespace) -> None:
    """Accuracies on the test scenes and by artist, into the metrics and the model cards."""
    from training.export import checkpoints
    from training.phases import evaluate

    limit = 12 if arguments.smoke else arguments.limit
    per_artist = arguments.per_artist or EXAMINED[kind_of(arguments)]
    folder = arguments.checkpoints or CHECKPOINTS
    results = evaluate.evaluate(machine_of(arguments), limit, per_artist, folder)
    if folder == CHECKPOINTS and not limit:
        (METRICS / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        checkpoints.export(results)
    elif arguments.results:
        arguments.results.write_text(json.dumps(results, indent=2) + "\n")


def draw_curves(_: argparse.Namespace) -> None:
    """The metrics as images."""
    from training.phases import curves

    curves.draw_all()


def write_test_scenes(_: argparse.Namespace) -> None:
    """The committed test images."""
    from training.data import make_test_scenes

    make_test_scenes.write_all()


def describe_training(arguments: argparse.Namespace) -> None:
    """The classifier by which *generate* notices images that are no scenes; needs a folder of such images."""
    from training.paths import FOREIGN_IMAGES
    from training.phases import outside

    others = arguments.foreign or FOREIGN_IMAGES
    if arguments.foreign is None:
        print("without --foreign, from the committed images alone: photographs will be noticed less often")
    outside.write(machine_of(arguments), OUTSIDE[kind_of(arguments)], others)


def write_foreign_images(_: argparse.Namespace) -> None:
    """The committed images that are no scenes."""
    from training.data import make_foreign_images

    make_foreign_images.write_all()


def restore(arguments: argparse.Namespace) -> None:
    """Takes what another machine left in the folder `--out` as snapshots and metrics, exports it, draws the curves."""
    from training.export import checkpoints
    from training.phases import curves

    CACHE.mkdir(parents=True, exist_ok=True)
    for phase in TRAINED:
        if (arguments.out / f"{phase}.pt").exists():
            shutil.copy(arguments.out / f"{phase}.pt", CACHE / f"{phase}.pt")
    with tarfile.open(arguments.out / "metrics.tar") as archive:
        archive.extractall(METRICS, filter="data")
    results = json.loads((METRICS / "results.json").read_text())
    checkpoints.export(results if "artists" in results else None)  # else it was stopped before it was measured
    curves.draw_all()


def run_ablations(arguments: argparse.Namespace) -> None:
    """Variants of vision, `--seconds` each, into the metrics or the folder `--out`; prints them as a table."""
    from training.phases import ablations

    results = arguments.out / ablations.RESULTS.name if arguments.out else ablations.RESULTS
    ablations.run(machine_of(arguments), arguments.seconds or ABLATION_S[kind_of(arguments)], results)
    print(ablations.table(ablations.read(results)))


PHASES: dict[str, Callable[[argparse.Namespace], None]] = {
    "sprites": prepare_sprites,
    "vision": train_vision,
    "language": train_language,
    "stage1": train_stage1,
    "stage2": train_stage2,
    "export": export_checkpoints,
    "evaluate": evaluate_checkpoints,
    "outside": describe_training,
    "curves": draw_curves,
}
OTHERS = {"scenes": write_test_scenes, "foreign": write_foreign_images, "restore": restore, "ablations": run_ablations}


def run_all(arguments: argparse.Namespace) -> None:
    """All phases; with `--beside` language runs in a process of its own until stage2 needs it."""
    from training.phases.phase_log import keep_metrics

    begun = time.monotonic()
    beside = None
    if arguments.fresh:
        for name in TRAINED:
            (CACHE / f"{name}.pt").unlink(missing_ok=True)
    for name, phase in PHASES.items():
        if name == "language" and arguments.beside:
            continue
        if name == "vision" and arguments.beside:
            beside = subprocess.Popen([sys.executable, *sys.orig_argv[1:], "--only", "language"], cwd=REPOSITORY)
        if name == "stage2" and beside is not None and beside.wait() != 0:
            sys.exit("language failed: its messages are above")
        print(f"-- {name} begins after {time.monotonic() - begun:.0f} s", flush=True)
        phase(arguments)
        if arguments.out is not None:
            keep_metrics(arguments.out)
    print(f"-- ended after {time.monotonic() - begun:.0f} s", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phase", nargs="?", default="all", choices=["all", *OTHERS, *PHASES])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--smoke", action="store_true", help="a few steps of each phase; on a CPU tiny ones")
    parser.add_argument("--fresh", action="store_true", help="`all` begins anew: snapshots are removed first")
    parser.add_argument("--beside", action="store_true", help="`all` trains language beside vision and stage1")
    parser.add_argument("--seconds", type=float, help="time budget of the phase, over all runs")
    for phase in TRAINED:
        parser.add_argument(f"--{phase}", type=float, metavar="SECONDS", help=f"time budget of {phase} within `all`")
    parser.add_argument(
        "--within", type=float, metavar="SECONDS", help="time of `all` as a whole, shared by its phases"
    )
    parser.add_argument("--out", type=Path, help="folder that gets the weights in fp16 and the metrics as phases go on")
    parser.add_argument(
        "--from-exported", action="store_true", help="phases without snapshot start from the checkpoints"
    )
    parser.add_argument("--workers", type=int, help="processes that draw scenes, for each phase")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=int, help="committed test scenes that `evaluate` measures")
    parser.add_argument("--per-artist", type=int, help="drawn scenes of each artist that `evaluate` measures")
    parser.add_argument("--checkpoints", type=Path, help="folder of other checkpoints for `evaluate` to measure")
    parser.add_argument("--results", type=Path, help="file for what `evaluate` measured of others, or of some scenes")
    parser.add_argument("--foreign", type=Path, help="folder of images that are no scenes, for `outside`")
    parser.add_argument("--only", choices=TRAINED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.benchmark = True
    if arguments.only:
        PHASES[arguments.only](arguments)
    elif arguments.phase == "all":
        run_all(arguments)
    else:
        (PHASES | OTHERS)[arguments.phase](arguments)


if __name__ == "__main__":
    main()
