"""Muon for the hidden matrices and AdamW for the rest, stepped as one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from training.optim.muon import Muon

_NOT_HIDDEN = ("embed", "head", "query_tokens")


@dataclass
class Optimizers:
    """Several optimizers stepped together; `set_scale` multiplies all their learning rates."""

    parts: list[torch.optim.Optimizer]

    def set_scale(self, scale: float) -> None:
        """Sets every learning rate to `scale` times the one it was built with."""
        for o in self.parts:
            for g in o.param_groups:
                g["lr"] = g["base_lr"] * scale

    def step(self) -> None:
        """Updates the parameters and clears their gradients."""
        for o in self.parts:
            o.step()
            o.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        """The states of the optimizers, in order."""
        return [o.state_dict() for o in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Restores momenta; the learning rates stay those of this run."""
        for o, s in zip(self.parts, states, strict=True):
            rates = [g["base_lr"] for g in o.param_groups]
            o.load_state_dict(s)
            for g, rate in zip(o.param_groups, rates, strict=True):
                g["base_lr"] = rate


def build_optimizers(
    modules: dict[str, nn.Module], muon_lr: float, adam_lr: float, weight_decay: float = 0.0
) -> Optimizers:
    """Muon gets each trainable 2-D matrix inside a transformer; AdamW embeddings, heads, norms and biases."""
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
        parts.append(
            torch.optim.AdamW(
                rest, lr=adam_lr, betas=(0.9, 0.98), eps=1e-10, weight_decay=weight_decay, fused=rest[0].is_cuda or None
            )
        )
    for o in parts:
        for g in o.param_groups:
            g["base_lr"] = g["lr"]
    return Optimizers(parts)
