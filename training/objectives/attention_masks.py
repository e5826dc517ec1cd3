"""Who may look at whom in the Q-Former: the three self-attention masks of stage 1 (paper, figure 2).

All take `text` bool [B, T], true where a text token stands, and give bool [B, Q + T, Q + T] over the
queries followed by the text: entry [b, i, j] says that position i sees position j.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _blank(text: Tensor, queries: int) -> Tensor:
    size = queries + text.shape[1]
    return torch.zeros(text.shape[0], size, size, dtype=torch.bool)


def unimodal(text: Tensor, queries: int) -> Tensor:
    """ITC: queries see queries, text sees text, neither sees the other."""
    mask = _blank(text, queries)
    mask[:, :queries, :queries] = True
    mask[:, queries:, queries:] = text[:, None, :]
    return mask


def bidirectional(text: Tensor, queries: int) -> Tensor:
    """ITM: everyone sees everyone."""
    mask = _blank(text, queries)
    mask[:, :, :queries] = True
    mask[:, :, queries:] = text[:, None, :]
    return mask


def multimodal_causal(text: Tensor, queries: int) -> Tensor:
    """ITG: queries see queries; text sees all queries and the text up to itself."""
    mask = _blank(text, queries)
    mask[:, :, :queries] = True
    earlier = torch.ones(text.shape[1], text.shape[1], dtype=torch.bool).tril()
    mask[:, queries:, queries:] = earlier & text[:, None, :]
    return mask


def compose(size: int, parts: list[tuple[list[int], Tensor]]) -> Tensor:
    """One mask [B, size, size] in which each part's positions (a list) see each other by the part's own mask.

    So one forward pass serves several objectives: what two parts share (the queries of ITC and ITG, which
    see only queries in both) is computed once, and parts that share nothing never meet.
    """
    out = torch.zeros(parts[0][1].shape[0], size, size, dtype=torch.bool)
    for positions, mask in parts:
        at = torch.tensor(positions)
        out[:, at[:, None], at[None, :]] |= mask
    return out


def additive(mask: Tensor) -> Tensor:
    """The mask as attention takes it: float [B, 1, from, to], 0 where seen and very negative elsewhere."""
    return torch.where(mask, 0.0, -1e4)[:, None]
