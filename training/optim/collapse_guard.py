"""Watches a run for collapse: Muon's steps have one size whatever the gradient, so one bad batch can undo minutes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from torch import nn

from training.optim.optimizers import Optimizers

WARMUP_CHECKS = 50  # until the smoothed loss means anything


@dataclass
class CollapseGuard:
    """Restores the last good state, with smaller steps from there, when the smoothed loss rises far above its best.

    `max_rise`: the smoothed loss may reach this many times its best; `save_every`: steps between copies of good states;
    `slowdown`: what a restore multiplies `lr_scale` by. The caller multiplies its learning rates by `lr_scale`.
    """

    model: nn.Module
    optimizers: Optimizers
    max_rise: float = 1.5
    save_every: int = 100
    slowdown: float = 0.6
    lr_scale: float = field(default=1.0, init=False)
    smoothed: float | None = field(default=None, init=False)
    best: float = field(default=float("inf"), init=False)
    checks: int = field(default=0, init=False)
    _good: tuple[dict, list[dict]] | None = field(default=None, init=False, repr=False)

    def check(self, loss: float) -> bool:
        """Notes the loss of a step; true if it made the guard restore the last good state."""
        self.checks += 1
        self.smoothed = loss if self.smoothed is None else 0.96 * self.smoothed + 0.04 * loss
        if self.checks < WARMUP_CHECKS:
            return False
        if self.smoothed > self.max_rise * self.best and self._good is not None:
            self.model.load_state_dict(self._good[0])
            self.optimizers.load_state_dict(self._good[1])
            self.lr_scale *= self.slowdown
            self.smoothed, self.checks = None, 0
            return True
        self.best = min(self.best, self.smoothed)
        if self.checks % self.save_every == 0 and self.is_healthy:
            self._good = copy.deepcopy((self.model.state_dict(), self.optimizers.state_dict()))
        return False

    @property
    def is_healthy(self) -> bool:
        """Whether the loss is near its best: only such a state is worth saving."""
        return self.smoothed is not None and self.smoothed < 1.15 * self.best
