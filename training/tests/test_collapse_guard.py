"""The guard takes a collapsed run back to its last good state, with smaller steps from there."""

from __future__ import annotations

import torch

from training.optim.collapse_guard import CollapseGuard
from training.optim.optimizers import build_optimizers


def guard_of(model: torch.nn.Module, **settings: int) -> CollapseGuard:
    return CollapseGuard(model, build_optimizers({"x": model}, 0.01, 0.01), **settings)


def test_restores_the_last_good_state_and_slows_down():
    model = torch.nn.Linear(4, 4)
    guard = guard_of(model, save_every=10)
    for _ in range(100):
        assert not guard.check(0.5)
    good = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        model.weight.add_(5.0)
    restored = [guard.check(5.0) for _ in range(40)]
    assert restored.count(True) == 1
    assert guard.lr_scale == guard.slowdown
    assert all(torch.equal(v, good[k]) for k, v in model.state_dict().items())


def test_leaves_a_run_alone_whose_loss_only_wavers():
    guard = guard_of(torch.nn.Linear(4, 4))
    assert not any(guard.check(0.5 + 0.1 * (i % 3)) for i in range(500))
    assert guard.lr_scale == 1.0


def test_a_state_is_healthy_only_near_the_best_loss():
    guard = guard_of(torch.nn.Linear(4, 4))
    assert not guard.is_healthy
    for _ in range(100):
        guard.check(0.5)
    assert guard.is_healthy
    for _ in range(10):
        guard.check(1.0)
    assert not guard.is_healthy
