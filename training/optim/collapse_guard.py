"""Watches a run for collapse: Muon's steps have one size whatever the gradient, so one bad batch can undo minutes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from torch import nn

from training.optim.optimizers import Optimisers


@dataclass
class Guard:
    """Goes back to the last good state, with smaller steps, when the smoothed loss has risen far above its best.

    `limit`: rise that counts as collapse; `every`: steps between copies of good states; `calm`: factor of the
    learning rate after each return.
    """

    model: nn.Module
    optimiser: Optimisers
    limit: float = 1.5
    every: int = 100
    calm: float = 0.6
    factor: float = 1.0
    smoothed: float | None = None
    best: float = float("inf")
    steps: int = 0
    _good: tuple[dict, list[dict]] | None = field(default=None, repr=False)

    def check(self, loss: float) -> bool:
        """Takes note of a step's loss; true when the step led to a return."""
        self.steps += 1
        self.smoothed = loss if self.smoothed is None else 0.96 * self.smoothed + 0.04 * loss
        if self.steps < 50:
            return False
        if self.smoothed > self.limit * self.best and self._good is not None:
            self.model.load_state_dict(self._good[0])
            self.optimiser.load_state_dict(self._good[1])
            self.factor *= self.calm
            self.smoothed, self.steps = None, 0
            return True
        self.best = min(self.best, self.smoothed)
        if self.steps % self.every == 0 and self.healthy:
            self._good = copy.deepcopy((self.model.state_dict(), self.optimiser.state_dict()))
        return False

    @property
    def healthy(self) -> bool:
        """Whether the loss is near its best: only such a state is worth keeping."""
        return self.smoothed is not None and self.smoothed < 1.15 * self.best
