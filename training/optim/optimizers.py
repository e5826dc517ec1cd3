"""Muon for the hidden matrices, AdamW for the rest, and a schedule whose decay can be told to end at a given time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration: the nearest semi-orthogonal matrix to g [rows, columns], roughly."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz (Jordan et al. 2024), with decoupled weight decay.

    The three parts of a fused qkv matrix are orthogonalised apart.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(m, group["momentum"])
                parts = 3 if p.shape[0] == 3 * p.shape[1] else 1
                update = torch.cat([orthogonalise(u) for u in update.chunk(parts)])
                scale = max(1.0, p.shape[0] / parts / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


@dataclass
class Optimisers:
    """Muon and AdamW stepped together; `set_scale` multiplies both learning rates."""

    parts: list[torch.optim.Optimizer]

    def set_scale(self, scale: float) -> None:
        for o in self.parts:
            for g in o.param_groups:
                g["lr"] = g["base_lr"] * scale

    def step(self) -> None:
        for o in self.parts:
            o.step()
            o.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [o.state_dict() for o in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Restores momenta; the learning rates stay those of this run."""
        for o, s in zip(self.parts, states, strict=True):
            rates = [g["base_lr"] for g in o.param_groups]
            o.load_state_dict(s)
            for g, rate in zip(o.param_groups, rates, strict=True):
                g["base_lr"] = rate


_NOT_HIDDEN = ("embed", "head", "query_tokens")


def optimisers(
    modules: dict[str, nn.Module], muon_lr: float, adam_lr: float, weight_decay: float = 0.0
) -> Optimisers:
    """Muon gets each trainable 2-D matrix inside a transformer, AdamW embeddings, heads, norms and biases."""
    hidden, rest = [], []
    for prefix, module in modules.items():
        for name, p in module.named_parameters():
            if not p.requires_grad:
                continue
            full = f"{prefix}.{name}"
            is_hidden = p.ndim == 2 and not any(w in full for w in _NOT_HIDDEN)
            (hidden if is_hidden else rest).append(p)
    parts: list[torch.optim.Optimizer] = []
    if hidden:
        parts.append(Muon(hidden, lr=muon_lr, weight_decay=weight_decay))
    if rest:
        parts.append(torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), eps=1e-10, weight_decay=weight_decay))
    for o in parts:
        for g in o.param_groups:
            g["base_lr"] = g["lr"]
    return Optimisers(parts)


@dataclass(frozen=True)
class Schedule:
    """Warm-up over steps, a plateau, and a linear decay over the last part of the wall-clock budget."""

    warmup_steps: int
    budget_s: float
    decay_fraction: float = 0.3

    def scale(self, step: int, elapsed_s: float) -> float:
        """Learning-rate factor at a step, `elapsed_s` into the budget; 0 once the budget is spent."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = max(0.0, (self.budget_s - elapsed_s) / self.budget_s)
        return warm * min(1.0, left / self.decay_fraction)
