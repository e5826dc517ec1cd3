"""Which position may attend to which in the Q-Former: the three self-attention masks of stage 1 (paper, figure 2).

All take `text` bool [B, T], true at text tokens and false at padding, and return bool [B, Q + T, Q + T] over the
queries followed by the text: entry [b, i, j] says that position i attends to position j.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _blank(text: Tensor, queries: int) -> Tensor:
    size = queries + text.shape[1]
    return torch.zeros(text.shape[0], size, size, dtype=torch.bool, device=text.device)


def unimodal(text: Tensor, queries: int) -> Tensor:
    """ITC: queries attend to queries, text to text."""
    mask = _blank(text, queries)
    mask[:, :queries, :queries] = True
    mask[:, queries:, queries:] = text[:, None, :]
    return mask


def bidirectional(text: Tensor, queries: int) -> Tensor:
    """ITM: every position attends to every other."""
    mask = _blank(text, queries)
    mask[:, :, :queries] = True
    mask[:, :, queries:] = text[:, None, :]
    return mask


def multimodal_causal(text: Tensor, queries: int) -> Tensor:
    """ITG: queries attend to queries, text to all queries and to the text up to itself."""
    mask = _blank(text, queries)
    mask[:, :, :queries] = True
    earlier = torch.ones(text.shape[1], text.shape[1], dtype=torch.bool, device=text.device).tril()
    mask[:, queries:, queries:] = earlier & text[:, None, :]
    return mask


def compose(size: int, parts: list[tuple[list[int], Tensor]]) -> Tensor:
    """One mask [B, size, size] over parts, each a list of positions and the mask among them.

    So one forward pass serves several objectives: what two parts share (the queries of ITC and ITG, which
    attend only to queries in both) is computed once, and parts that share nothing never meet.
    """
    device = parts[0][1].device
    out = torch.zeros(parts[0][1].shape[0], size, size, dtype=torch.bool, device=device)
    for positions, mask in parts:
        at = torch.tensor(positions).to(device, non_blocking=True)
        out[:, at[:, None], at[None, :]] |= mask
    return out


def additive(mask: Tensor) -> Tensor:
    """The mask as attention layers add it to their scores: float [B, 1, from, to], 0 where true, else -10,000."""
    return torch.where(mask, 0.0, -1e4)[:, None]
