"""What the training phases share: the clock of a budget, lines of metrics, resumable snapshots."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from training.paths import CACHE, METRICS


@dataclass
class PhaseLog:
    """One phase's progress: seconds spent (over all runs), steps, and where its snapshot and metrics lie.

    A phase loads its snapshot, then repeats a step and `tick` until the log `is_over`, with a `save` every few minutes.
    `clock` returns seconds.
    """

    name: str
    budget_s: float
    cache: Path = CACHE
    metrics: Path = METRICS
    clock: Callable[[], float] = time.monotonic
    spent_s: float = field(default=0.0, init=False)
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()
        self._bar = tqdm(total=int(self.budget_s), desc=self.name, unit="s", mininterval=5)

    @property
    def snapshot(self) -> Path:
        """File of the snapshot."""
        return self.cache / f"{self.name}.pt"

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self.spent_s >= self.budget_s

    def tick(self, **shown: float) -> None:
        """Counts one step and the time it took; the values appear in the progress bar."""
        now = self.clock()
        self.spent_s += now - self._last
        self._last = now
        self.step += 1
        self._bar.n = min(int(self.spent_s), int(self.budget_s))
        self._bar.set_postfix({k: f"{v:.3f}" for k, v in shown.items()}, refresh=False)
        self._bar.update(0)

    def log(self, **values: float) -> None:
        """Appends one line to training/metrics/<phase>.jsonl."""
        self.metrics.mkdir(parents=True, exist_ok=True)
        line = {"step": self.step, "seconds": round(self.spent_s, 1)}
        line |= {k: round(float(v), 4) for k, v in values.items()}
        with (self.metrics / f"{self.name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        tqdm.write(f"{self.name} {line}")

    def save(self, state: dict) -> None:
        """Writes the snapshot atomically, with the clock and the step."""
        self.cache.mkdir(parents=True, exist_ok=True)
        part = self.snapshot.with_suffix(".part")
        torch.save(state | {"step": self.step, "spent_s": self.spent_s}, part)
        os.replace(part, self.snapshot)

    def load(self) -> dict | None:
        """The snapshot of an earlier run, if there is one; goes on from its clock and step."""
        if not self.snapshot.exists():
            return None
        state = torch.load(self.snapshot, weights_only=True)
        self.step, self.spent_s = state["step"], state["spent_s"]
        return state
