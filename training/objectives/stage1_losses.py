"""The three losses of stage 1: ITC, ITM and ITG."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def similarities(images: Tensor, texts: Tensor) -> Tensor:
    """ITC scores [I, T]: the best of each image's queries [I, Q, E] for each text [T, E], all of unit length."""
    return torch.einsum("iqe,te->itq", images, texts).amax(-1)


def contrastive(scores: Tensor, same: Tensor, temperature: Tensor) -> Tensor:
    """ITC: cross-entropy both ways over scores [B, B]; `same` bool [B, B] marks equal captions, which all match."""
    target = same.float() / same.sum(1, keepdim=True)
    logits = scores.float() / temperature
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def sample_hard_negatives(scores: Tensor, same: Tensor, temperature: Tensor) -> Tensor:
    """int64 [B]: for each row a column, drawn by its score, whose caption is not the `same`."""
    weights = (scores.float() / temperature).softmax(1) + 1e-6
    return torch.multinomial(weights.masked_fill(same, 0), 1).squeeze(1)


def matching(query_logits: Tensor, matched: Tensor, wrong_weight: float = 1.0) -> Tensor:
    """ITM: two-class logits [B, Q, 2] are averaged over the queries; `matched` bool [B], index 1 means match.

    `wrong_weight`: what a text that does not match weighs beside one that does.
    """
    weight = torch.tensor([wrong_weight, 1.0], device=query_logits.device)
    return F.cross_entropy(query_logits.float().mean(1), matched.long(), weight)


def grounded_generation(logits: Tensor, ids: Tensor, pad: int) -> Tensor:
    """ITG: position t of logits [B, T, V] predicts ids [B, T] at t + 1; padding is no target."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), ignore_index=pad)
