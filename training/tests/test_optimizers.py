"""Muon takes hidden matrices, AdamW the rest; Muon's steps have one size whatever the gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.optim.muon import Muon, orthogonalize
from training.optim.optimizers import build_optimizers


class Small(nn.Module):
    """One parameter of each sort."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 6)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.itm_head = nn.Linear(6, 2)


def test_orthogonalize_brings_the_singular_values_near_one():
    matrix = torch.randn(24, 12, generator=torch.Generator().manual_seed(0))
    for shaped in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalize(shaped))
        assert orthogonalize(shaped).shape == shaped.shape
        assert values.min() > 0.6 and values.max() < 1.3


def test_hidden_matrices_go_to_muon_and_all_else_that_learns_to_adamw():
    model = Small()
    muon, adam = build_optimizers({"stage1": model}, 0.02, 0.001).parts
    assert [p is model.hidden.weight for p in muon.param_groups[0]["params"]] == [True]
    assert {id(p) for p in adam.param_groups[0]["params"]} == {
        id(p) for p in (model.embed_tokens.weight, model.hidden.bias, model.itm_head.weight, model.itm_head.bias)
    }


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_step_of_muon_does_not_depend_on_the_size_of_the_gradient(size: float):
    weight = nn.Parameter(torch.zeros(8, 8))
    weight.grad = size * torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=0.1).step()
    assert weight.detach().norm().item() == pytest.approx(0.1 * 8**0.5, rel=0.2)


def test_set_scale_multiplies_the_rates_that_they_were_built_with():
    optimizers = build_optimizers({"stage1": Small()}, 0.02, 0.001)
    for scale in (0.5, 0.25):
        optimizers.set_scale(scale)
        assert [o.param_groups[0]["lr"] for o in optimizers.parts] == pytest.approx([0.02 * scale, 0.001 * scale])


def test_learning_rates_stay_those_of_this_run_when_momenta_are_restored():
    model = nn.Linear(4, 4)
    before = build_optimizers({"x": model}, 0.01, 0.01).state_dict()
    optimizers = build_optimizers({"x": model}, 0.002, 0.002)
    optimizers.load_state_dict(before)
    optimizers.set_scale(1.0)
    assert {g["lr"] for o in optimizers.parts for g in o.param_groups} == {0.002}
