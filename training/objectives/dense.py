"""The image encoder's dense objective: each patch names the concept that covers it and points at its center."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.architecture import VISION_WIDTH
from training.data.image_processor import GRID, PATCH_SIDE
from training.data.scene_arrays import SceneArrays
from training.data.vocab import COLORS, CONCEPTS

BACKGROUND = len(CONCEPTS)  # class of an empty patch
IGNORE = -100
PATCHES = GRID * GRID
COVERED = 0.3  # least part of a patch that an object must cover to give it its name
CONTRAST_TEMPERATURE = 0.1
CONTRAST_WIDTH = 64


@dataclass
class PatchLabels:
    """Of P patches of B images.

    `cover` int64 [B, P]: the covering concept, `BACKGROUND`, or `IGNORE` at the rim of an object;
    `center` float32 [B, P]: 1 where the center of an object lies;
    `place` float32 [B, P, 5]: offset to the object's center, its log size, and that center on the canvas;
    `item` int64 [B, P]: index of the object, -1 where there is none; `color` int64 [B] of the background.
    """

    cover: Tensor
    center: Tensor
    place: Tensor
    item: Tensor
    color: Tensor

    def take(self, patches: Tensor) -> PatchLabels:
        """The labels of some patches, int64 [B, N]."""
        place = self.place.gather(1, patches.unsqueeze(-1).expand(-1, -1, self.place.shape[-1]))
        rest = (t.gather(1, patches) for t in (self.cover, self.center, self.item))
        cover, center, item = rest
        return PatchLabels(cover, center, place, item, self.color)


def patch_labels(scenes: SceneArrays, owner: Tensor) -> PatchLabels:
    """Labels of all 196 patches from scenes and the owner maps int8 [B, 112, 112] of their images.

    Without the center on the canvas the frozen tokens forget where they stand (measured: 3.3 patches of error by linear
    regression), and no relation can be read from them.
    """
    size, items = scenes.concept.shape
    parts = owner.unflatten(2, (GRID, PATCH_SIDE)).unflatten(1, (GRID, PATCH_SIDE)).transpose(2, 3)
    parts = parts.reshape(size, PATCHES, PATCH_SIDE * PATCH_SIDE)
    counts = torch.stack([(parts == k + 1).sum(-1, dtype=torch.int16) for k in range(items)], -1)  # [B, 196, items]
    most, best = counts.max(-1)
    total = counts.sum(-1)
    at, numbers = center_patches(scenes), torch.arange(items, device=owner.device).expand(size, -1)
    centered = torch.where(scenes.concept >= 0, numbers, -1)
    middle_of = torch.full((size, PATCHES), -1, device=owner.device).scatter_reduce(1, at, centered, "amax")
    # A drawing of lines, or a ring, has nothing in its middle; that patch names it all the same.
    hollow = (middle_of >= 0) & (most < COVERED * PATCH_SIDE**2)
    best = torch.where(hollow, middle_of, best)
    concept = scenes.concept.gather(1, best)
    cover = torch.where((most >= COVERED * PATCH_SIDE**2) | hollow, concept, IGNORE)
    cover = torch.where((total == 0) & ~hollow, BACKGROUND, cover)
    x, y, side = (t.gather(1, best) for t in (scenes.x, scenes.y, scenes.side))
    middle = (torch.arange(GRID, device=x.device) + 0.5) / GRID
    column, row = middle.repeat(GRID), middle.repeat_interleave(GRID)
    place = torch.stack([(x - column) * 5, (y - row) * 5, (side / 0.25).log(), (x - 0.5) * 4, (y - 0.5) * 4], -1)
    item = torch.where((total == 0) & ~hollow, -1, best)
    return PatchLabels(cover, (middle_of >= 0).float(), place, item, scenes.color)


def center_patches(scenes: SceneArrays) -> Tensor:
    """The patch in which each item's center lies, int64 [B, K]."""
    row, column = ((v * GRID).long().clamp(0, GRID - 1) for v in (scenes.y, scenes.x))
    return row * GRID + column


def patch_order(item: Tensor, items: int) -> Tensor:
    """The patches int64 [B, 196] by priority: whole objects in random order, background mixed in below.

    The first of them are visible, so that most tokens carry signal; a few patches of each object come last, so that
    no single detail is always there. `item` is that of `PatchLabels`.
    """
    size = len(item)
    base = torch.zeros(size, items + 1, device=item.device)
    base[:, 1:] = 0.5 + 0.5 * torch.rand(size, items, device=item.device)
    noise = torch.rand(item.shape, device=item.device)
    priority = base.gather(1, item + 1) + torch.where(item < 0, 0.75 * noise, 0.0)
    hidden = torch.rand(item.shape, device=item.device) < 0.1
    return (priority - hidden.float()).argsort(1, descending=True)


class DenseHeads(nn.Module):
    """Heads on the final layer-normed tokens, dropped after the phase."""

    def __init__(self, width: int = VISION_WIDTH) -> None:
        super().__init__()
        self.cover = nn.Linear(width, len(CONCEPTS) + 1)
        self.center = nn.Linear(width, 1)
        self.place = nn.Linear(width, 5)
        self.color = nn.Linear(width, len(COLORS))
        self.contrast = nn.Linear(width, CONTRAST_WIDTH)

    def losses(self, features: Tensor, labels: PatchLabels, contrasted: int = 2048) -> dict[str, Tensor]:
        """Five mean losses from the tokens [B, 1 + P, width], of which the first is CLS."""
        patches = features[:, 1:]
        on_object = (labels.cover >= 0) & (labels.cover < BACKGROUND)
        weight = torch.ones(BACKGROUND + 1, device=features.device)
        weight[BACKGROUND] = 0.3
        names = self.cover(patches).flatten(0, 1).float()
        distance = F.smooth_l1_loss(self.place(patches).float(), labels.place, beta=0.2, reduction="none").mean(-1)
        return {
            "cover": F.cross_entropy(names, labels.cover.flatten(), weight, ignore_index=IGNORE, label_smoothing=0.05),
            "center": F.binary_cross_entropy_with_logits(
                self.center(patches).float().squeeze(-1),
                labels.center,
                pos_weight=torch.tensor(4.0, device=features.device),
            ),
            "place": (distance * on_object).sum() / on_object.sum().clamp(min=1),
            "color": F.cross_entropy(self.color(features[:, 0]).float(), labels.color),
            "contrast": self.contrastive(patches, labels, contrasted),
        }

    def contrastive(self, patches: Tensor, labels: PatchLabels, most: int) -> Tensor:
        """Supervised contrast: patches of one concept in different images attract each other, others repel.

        Of `most` patches, drawn among those on objects.
        """
        on_object = ((labels.cover >= 0) & (labels.cover < BACKGROUND)).flatten()
        noise = torch.rand(on_object.shape, device=patches.device)
        count = min(most, len(on_object))
        chosen = (noise * on_object).topk(count).indices
        used = on_object[chosen]
        concept = labels.cover.flatten()[chosen]
        image = chosen // labels.cover.shape[1]
        vectors = F.normalize(self.contrast(patches.flatten(0, 1)[chosen]).float(), dim=-1)
        elsewhere = (image[:, None] != image) & used[None, :]
        with torch.autocast(vectors.device.type, enabled=False):  # 8 bits are too few for a softmax over thousands
            scores = (vectors @ vectors.T / CONTRAST_TEMPERATURE).masked_fill(~elsewhere, -1e4)
        same = (concept[:, None] == concept) & elsewhere & used[:, None]
        likely = scores.log_softmax(1)
        pairs = same.sum(1)
        return -((likely * same).sum(1) / pairs.clamp(min=1)).sum() / (pairs > 0).sum().clamp(min=1)
