"""The learning rate warms up over steps and falls to zero at the end of the budget."""

from __future__ import annotations

import pytest

from training.optim.schedule import Schedule

SCHEDULE = Schedule(warmup_steps=10, budget_s=100, decay_fraction=0.4)


@pytest.mark.parametrize(
    ("step", "elapsed_s", "scale"),
    [
        (0, 0, 0.1),
        (4, 1, 0.5),
        (9, 2, 1.0),
        (500, 60, 1.0),
        (500, 80, 0.5),
        (500, 100, 0.0),
        (500, 130, 0.0),
        (4, 80, 0.25),  # a run that begins again warms up during its decay
    ],
)
def test_scale(step: int, elapsed_s: float, scale: float):
    assert SCHEDULE.scale(step, elapsed_s) == pytest.approx(scale)
