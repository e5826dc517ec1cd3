"""The learning rate over a wall-clock budget: warm-up, plateau, and a decay that ends with the budget."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Warm-up over steps, a plateau, and a linear decay over the last part of the budget.

    >>> Schedule(warmup_steps=10, budget_s=100, decay_fraction=0.5).scale(step=99, elapsed_s=75)
    0.5
    """

    warmup_steps: int
    budget_s: float
    decay_fraction: float = 0.3

    def scale(self, step: int, elapsed_s: float) -> float:
        """Learning-rate factor at a step, `elapsed_s` into the budget; 0 once the budget is spent."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = max(0.0, (self.budget_s - elapsed_s) / self.budget_s)
        return warm * min(1.0, left / self.decay_fraction)
