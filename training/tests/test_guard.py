"""The guard takes a collapsed run back to its last good state, and steps more softly from there."""

import torch

from training.optim.collapse_guard import Guard
from training.optim.optimizers import optimisers


def test_returns_to_the_last_good_state_with_smaller_steps():
    model = torch.nn.Linear(4, 4)
    opt = optimisers({"x": model}, 0.01, 0.01)
    guard = Guard(model, opt, every=10)
    for _ in range(100):
        assert not guard.check(0.5)
    good = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        model.weight.add_(5.0)
    returns = [guard.check(5.0) for _ in range(40)]
    assert returns.count(True) == 1
    assert guard.factor == guard.calm
    assert all(torch.equal(v, good[k]) for k, v in model.state_dict().items())


def test_leaves_a_run_alone_whose_loss_only_wavers():
    model = torch.nn.Linear(4, 4)
    guard = Guard(model, optimisers({"x": model}, 0.01, 0.01))
    assert not any(guard.check(0.5 + 0.1 * (i % 3)) for i in range(500))
    assert guard.factor == 1.0


def test_learning_rates_stay_those_of_this_run_when_momenta_are_restored():
    model = torch.nn.Linear(4, 4)
    before = optimisers({"x": model}, 0.01, 0.01).state_dict()
    opt = optimisers({"x": model}, 0.002, 0.002)
    opt.load_state_dict(before)
    opt.set_scale(1.0)
    assert {g["lr"] for o in opt.parts for g in o.param_groups} == {0.002}
