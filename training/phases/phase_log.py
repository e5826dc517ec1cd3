"""What every training phase shares: the clock of its budget, metrics lines, resumable snapshots."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from training.data.vocab import CACHE, METRICS


@dataclass
class Phase:
    """One phase's progress: seconds spent (over all runs), steps, and where its snapshot lies."""

    name: str
    budget_s: float
    spent_s: float = 0.0
    step: int = 0
    _last: float = field(default_factory=time.monotonic)
    _bar: tqdm | None = None

    def __post_init__(self) -> None:
        self._bar = tqdm(total=int(self.budget_s), desc=self.name, unit="s", mininterval=5)

    @property
    def snapshot(self) -> Path:
        return CACHE / f"{self.name}.pt"

    def tick(self, **shown: float) -> None:
        """Counts one step and the time it took."""
        now = time.monotonic()
        self.spent_s += now - self._last
        self._last = now
        self.step += 1
        if self._bar is not None:
            self._bar.n = min(int(self.spent_s), int(self.budget_s))
            self._bar.set_postfix({k: f"{v:.3f}" for k, v in shown.items()}, refresh=False)
            self._bar.update(0)

    @property
    def over(self) -> bool:
        return self.spent_s >= self.budget_s

    def log(self, **values: float) -> None:
        """Appends one line to training/metrics/<phase>.jsonl."""
        METRICS.mkdir(exist_ok=True)
        line = {"step": self.step, "seconds": round(self.spent_s, 1)}
        line |= {k: round(float(v), 4) for k, v in values.items()}
        with (METRICS / f"{self.name}.jsonl").open("a") as f:
            f.write(json.dumps(line) + "\n")
        tqdm.write(f"{self.name} {line}")

    def save(self, state: dict) -> None:
        """Writes the snapshot atomically."""
        CACHE.mkdir(exist_ok=True)
        part = self.snapshot.with_suffix(".part")
        torch.save(state | {"step": self.step, "spent_s": self.spent_s}, part)
        os.replace(part, self.snapshot)

    def load(self) -> dict | None:
        """The snapshot of an earlier run, if any; takes over its clock."""
        if not self.snapshot.exists():
            return None
        state = torch.load(self.snapshot, weights_only=True)
        self.step, self.spent_s = state["step"], state["spent_s"]
        return state
