"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    """Roughly the nearest semi-orthogonal matrices to g [..., rows, columns], by Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized by Newton-Schulz, with decoupled weight decay. For matrices only.

    The three parts of a fused qkv matrix are orthogonalized apart, and matrices of one shape together: on a GPU the
    number of operations is what counts.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; its size depends on the learning rate alone."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            if not params:
                continue
            gradients = [p.grad for p in params]
            momenta = [self.state[p]["momentum"] for p in params]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"])
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            alike: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for p, update in zip(params, updates, strict=True):
                parts = 3 if p.shape[0] == 3 * p.shape[1] else 1
                for part, change in zip(p.chunk(parts), update.chunk(parts), strict=True):
                    alike[tuple(part.shape)].append((part, change))
            for (rows, columns), members in alike.items():
                changes = orthogonalize(torch.stack([change for _, change in members]))
                scale = max(1.0, rows / columns) ** 0.5
                torch._foreach_add_([part for part, _ in members], list(changes), alpha=-group["lr"] * scale)
