"""Scenes as tensors, so that thousands of them are rendered at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.data.scenes import Scene
from training.data.vocab import COLORS


@dataclass
class SceneArrays:
    """B scenes of at most K items.

    `concept` int64 [B, K], -1 where a scene has fewer items; `x`, `y`, `side` float32 [B, K], fractions of the canvas;
    `angle` float32 [B, K] in degrees, counterclockwise; `color` int64 [B], index of the background's name;
    `rgb` float32 [B, 3] of the background, from 0 to 255; `filled`, of scenes sorted by their number of items, the
    fullest first: how many have more than k items, for each k.
    """

    concept: Tensor
    x: Tensor
    y: Tensor
    side: Tensor
    angle: Tensor
    color: Tensor
    rgb: Tensor
    filled: list[int] | None = None

    def __len__(self) -> int:
        return len(self.concept)

    def _map(self, function: Callable[[Tensor], Tensor], filled: list[int] | None) -> SceneArrays:
        tensors = (self.concept, self.x, self.y, self.side, self.angle, self.color, self.rgb)
        return SceneArrays(*map(function, tensors), filled)

    def to(self, device: str | torch.device) -> SceneArrays:
        """The scenes on a device."""
        return self._map(lambda t: t.to(device, non_blocking=True), self.filled)

    def take(self, rows: Tensor) -> SceneArrays:
        """The scenes at indices int64 [N]."""
        return self._map(lambda t: t[rows], None)


def to_arrays(scenes: list[Scene], items: int | None = None) -> SceneArrays:
    """The tensors of scenes, `items` wide, or as wide as the fullest scene needs."""
    width = items or max(len(s.items) for s in scenes)
    filler = (-1, 0.5, 0.5, 0.01, 0.0)
    rows = [
        [(i.concept, i.x, i.y, i.side, i.angle) for i in s.items] + [filler] * (width - len(s.items)) for s in scenes
    ]
    table = torch.tensor(rows, dtype=torch.float32)
    return SceneArrays(
        table[..., 0].long(), table[..., 1], table[..., 2], table[..., 3], table[..., 4],
        torch.tensor([COLORS.index(s.background) for s in scenes]),
        torch.tensor([s.rgb for s in scenes], dtype=torch.float32),
    )  # fmt: skip


def mirrored(scenes: SceneArrays) -> SceneArrays:
    """The compositions mirrored at random along both axes and exchanged between them. For images without texts."""
    flip = torch.rand(3, len(scenes), 1, device=scenes.x.device) < 0.5
    x = torch.where(flip[0], 1 - scenes.x, scenes.x)
    y = torch.where(flip[1], 1 - scenes.y, scenes.y)
    x, y = torch.where(flip[2], y, x), torch.where(flip[2], x, y)
    return replace(scenes, x=x, y=y)


class SceneBank:
    """The last `capacity` scenes that were added, on a device, to be sampled again and again with other sprites."""

    def __init__(self, capacity: int, device: str | torch.device) -> None:
        self.capacity, self.device, self.size, self._next = capacity, device, 0, 0
        self._scenes: SceneArrays | None = None
        self._items = torch.zeros(capacity, dtype=torch.int64)

    def add(self, scenes: SceneArrays) -> None:
        """Adds scenes that are all of one width, in place of the oldest."""
        if self._scenes is None:
            self._scenes = scenes._map(lambda t: t.new_zeros(self.capacity, *t.shape[1:]).to(self.device), None)
        at = (self._next + torch.arange(len(scenes))) % self.capacity
        self._items[at] = (scenes.concept >= 0).sum(1)
        here, there = scenes.to(self.device), at.to(self.device)
        for name in ("concept", "x", "y", "side", "angle", "color", "rgb"):
            getattr(self._scenes, name)[there] = getattr(here, name)
        self._next = (self._next + len(scenes)) % self.capacity
        self.size = min(self.capacity, self.size + len(scenes))

    def sample(self, count: int) -> SceneArrays:
        """`count` scenes at random, the fullest first."""
        assert self._scenes is not None
        rows = torch.randint(self.size, (count,))
        items, order = self._items[rows].sort(descending=True)
        width = self._scenes.concept.shape[1]
        filled = (items[None, :] > torch.arange(width)[:, None]).sum(1).tolist()
        return replace(self._scenes.take(rows[order].to(self.device)), filled=filled)
