"""What the training phases share: the clock of a budget, lines of metrics, resumable snapshots."""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from training.machine import Machine
from training.optim.optimizers import Optimizers
from training.paths import CACHE, METRICS


@dataclass
class PhaseLog:
    """One phase's progress: seconds spent (over all runs), steps, and where its snapshot and metrics lie.

    A phase resumes, then repeats a step and `tick` until the log `is_over`, with a `save_training` whenever it
    `is_time_to_save`. `clock` returns seconds. Weights in half precision and the metrics go to `out` too, if there is
    one: a folder that is kept when the machine is not.
    """

    name: str
    budget_s: float
    cache: Path = CACHE
    metrics: Path = METRICS
    clock: Callable[[], float] = time.monotonic
    out: Path | None = None
    save_every_s: float = 120
    log_every_s: float = 10
    spent_s: float = field(default=0.0, init=False)
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._recent: dict[str, list[torch.Tensor | float]] = defaultdict(list)
        self._images = 0
        self.begin()

    def begin(self) -> None:
        """The budget's time starts to run now: what was prepared before does not count."""
        self._last = self.clock()
        self._logged_s = self._saved_s = self.spent_s

    @property
    def snapshot(self) -> Path:
        """File of the snapshot."""
        return self.cache / f"{self.name}.pt"

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self.spent_s >= self.budget_s

    @property
    def is_time_to_save(self) -> bool:
        """Whether the last snapshot is old."""
        return self.spent_s - self._saved_s >= self.save_every_s

    def tick(self, images: int = 0, **values: torch.Tensor | float) -> None:
        """Counts one step, the time it took, and its images; every few seconds a line has the means of the values.

        Values may be tensors on the device: they are not waited for until then.
        """
        now = self.clock()
        self.spent_s += now - self._last
        self._last = now
        self.step += 1
        self._images += images
        for key, value in values.items():
            self._recent[key].append(value.detach() if isinstance(value, torch.Tensor) else value)
        since = self.spent_s - self._logged_s
        if since >= self.log_every_s and self._recent:
            means = {
                k: float(torch.stack([torch.as_tensor(v).float() for v in vs]).mean()) for k, vs in self._recent.items()
            }
            self.log(images_per_s=self._images / since, **means)
            self._recent.clear()
            self._images, self._logged_s = 0, self.spent_s

    def log(self, **values: float) -> None:
        """Appends one line to training/metrics/<phase>.jsonl, and prints it."""
        self.metrics.mkdir(parents=True, exist_ok=True)
        line = {"step": self.step, "seconds": round(self.spent_s, 1)}
        line |= {k: round(float(v), 4) for k, v in values.items()}
        with (self.metrics / f"{self.name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{self.name} {line}", flush=True)

    def save(self, state: dict) -> None:
        """Writes the snapshot atomically, with the clock and the step."""
        self._saved_s = self.spent_s
        state = state | {"step": self.step, "spent_s": self.spent_s}
        _write(state, self.snapshot)
        if self.out is not None:
            kept = {k: _halved(v) for k, v in state.items() if k != "optimizers"}
            _write(kept, self.out / f"{self.name}.pt")
            keep_metrics(self.out, self.metrics)

    def load(self) -> dict | None:
        """The snapshot of an earlier run, if there is one; goes on from its clock and step."""
        if not self.snapshot.exists():
            return None
        state = torch.load(self.snapshot, weights_only=True, map_location="cpu")
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.begin()
        return state

    def save_training(self, model: nn.Module, optimizers: Optimizers, heads: nn.Module | None = None) -> None:
        """A snapshot of all that a phase needs to go on."""
        state = {"model": model.state_dict(), "optimizers": optimizers.state_dict()}
        self.save(state | ({"heads": heads.state_dict()} if heads else {}))

    def resume(self, model: nn.Module, optimizers: Optimizers, heads: nn.Module | None = None) -> bool:
        """Goes on from the snapshot, if there is one; else begins its metrics anew.

        A snapshot that came from another machine has no momenta.
        """
        state = self.load()
        if state is None:
            (self.metrics / f"{self.name}.jsonl").unlink(missing_ok=True)
            return False
        model.load_state_dict(state["model"])
        if heads is not None and "heads" in state:
            heads.load_state_dict(state["heads"])
        if "optimizers" in state:
            optimizers.load_state_dict(state["optimizers"])
        return True


def open_phase(name: str, budget_s: float, machine: Machine) -> PhaseLog:
    """The log of a phase on a machine: more often written in a smoke test, and saved where time is short."""
    return PhaseLog(
        name,
        budget_s,
        out=machine.out,
        save_every_s=machine.pick(30, 120, 1),
        log_every_s=2 if machine.smoke else 10,
    )


def keep_metrics(out: Path, metrics: Path = METRICS) -> None:
    """Writes all metrics to the archive `out/metrics.tar`, atomically: several phases may do so at once."""
    out.mkdir(parents=True, exist_ok=True)
    part = out / f"metrics.{os.getpid()}.part"
    with tarfile.open(part, "w") as archive:
        for file in sorted(metrics.glob("*.json*")):
            archive.add(file, file.name)
    os.replace(part, out / "metrics.tar")


def _write(state: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def _halved(value: object) -> object:
    """Tensors of a state, or of a dictionary of states, in fp16; anything else as it is."""
    if isinstance(value, dict):
        return {k: _halved(v) for k, v in value.items()}
    if isinstance(value, torch.Tensor):
        return value.half() if value.is_floating_point() else value
    return value
