"""Sprites on the device in several sizes, ready to be sampled; those for training are augmented again and again."""

from __future__ import annotations

import random
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.recipe import COMMITTED, Recipe
from training.data.sprite_effects import augment
from training.data.sprite_pack import Sprites
from training.data.vocab import CONCEPTS

FRAME = 64  # px; the side of a frame, in whose middle a sprite lies
LEVELS = (64, 53, 44, 36, 30, 25, 20)  # sides of a sprite in its frame; sampling then scales by less than a tenth


class SpritePool:
    """`pixels` [levels, P, 4, 64, 64] with premultiplied alpha, values from 0 to 1."""

    def __init__(self, size: int, device: str | torch.device) -> None:
        precision = torch.float16 if torch.device(device).type == "cuda" else torch.float32
        self.pixels = torch.zeros(len(LEVELS), size, 4, FRAME, FRAME, dtype=precision, device=device)
        self._bounds = torch.tensor([(a * b) ** 0.5 for a, b in pairwise(LEVELS)], device=device)

    def put(self, slots: Tensor, sprites: Tensor) -> None:
        """Stores sprites, float [N, 4, 96, 96] with premultiplied alpha, in the slots int64 [N]."""
        for number, side in enumerate(LEVELS):
            small = F.interpolate(sprites, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
            small = small.clamp(0, 1)
            before = (FRAME - side) // 2
            after = FRAME - side - before
            framed = F.pad(small, (before, after, before, after))
            self.pixels[number, slots] = framed.to(self.pixels.dtype)

    def level_for(self, side: Tensor) -> Tensor:
        """int64: the level whose sprites are nearest to `side` px."""
        return (side.unsqueeze(-1) < self._bounds).sum(-1)


def premultiplied(pixels: Tensor) -> Tensor:
    """float32 [N, 4, S, S] from 0 to 1 of uint8 sprites with straight alpha."""
    out = pixels.float() / 255
    return torch.cat([out[:, :3] * out[:, 3:], out[:, 3:]], 1)


class PlainPool(SpritePool):
    """Every sprite as its artist drew it, in the order of the pack."""

    def __init__(self, sprites: Sprites, device: str | torch.device) -> None:
        super().__init__(len(sprites.pixels), device)
        for rows in torch.arange(len(sprites.pixels)).split(512):
            self.put(rows.to(device), premultiplied(sprites.pixels[rows].to(device)))


class TrainingPool(SpritePool):
    """`variants` augmented sprites of each concept. Those of one number are by one artist, where it drew the concept.

    `weights`: how often each artist is drawn. `refresh` replaces the oldest by new ones.
    """

    def __init__(
        self,
        sprites: Sprites,
        weights: dict[str, float],
        variants: int,
        device: str | torch.device,
        seed: int = 0,
        recipe: Recipe = COMMITTED,
    ) -> None:
        super().__init__(len(CONCEPTS) * variants, device)
        self._recipe = recipe
        self.variants, self.device, self._next = variants, device, 0
        self._sources = premultiplied(sprites.pixels.to(device)).to(self.pixels.dtype)
        rng = random.Random(seed)
        drawn = {a: sprites.of(a) for a in weights}
        turns = rng.choices(list(weights), list(weights.values()), k=variants)
        table, partner = [], []
        for concept in range(len(CONCEPTS)):
            having = [a for a in weights if concept in drawn[a]]
            fallback = rng.choices(having, [weights[a] for a in having], k=2 * variants)
            for number, artist in enumerate(turns):
                chosen = artist if concept in drawn[artist] else fallback[number]
                table.append(drawn[chosen][concept])
                partner.append(drawn[fallback[variants + number]][concept])
        self._table = torch.tensor(table, device=device)  # source of each slot
        self._partner = torch.tensor(
            partner, device=device
        )  # another drawing of the same concept, whose colors it may take
        self._order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed)).to(device)

    @torch.no_grad()
    def refresh(self, count: int) -> None:
        """Augments the sprites of the next `count` slots anew."""
        at = torch.arange(self._next, self._next + count, device=self.device) % len(self._order)
        self._next = (self._next + count) % len(self._order)
        slots = self._order[at]
        sources, partners = self._sources[self._table[slots]].float(), self._sources[self._partner[slots]].float()
        self.put(slots, augment(sources, partners, self._recipe))

    def fill(self, at_once: int = 1024) -> None:
        """Augments every slot once."""
        for _ in range(0, len(self._order), at_once):
            self.refresh(at_once)

    def choose(self, concept: Tensor, mixed: float = 0.5) -> Tensor:
        """Slots int64 [B, K] for concepts [B, K]; in a share `mixed` of the scenes every item has its own variant."""
        shape = concept.shape
        own = torch.randint(self.variants, shape, device=concept.device)
        same = torch.randint(self.variants, (shape[0], 1), device=concept.device).expand(shape)
        free = torch.rand(shape[0], 1, device=concept.device) < mixed
        return concept.clamp(min=0) * self.variants + torch.where(free, own, same)
