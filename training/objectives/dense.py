"""The image encoder's dense objective: each patch names the concept that covers it and points at its center."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.architecture import WIDTH
from training.data.image_processor import GRID
from training.data.render import render_fast
from training.data.scenes import Scene, draw_crowd, draw_scene
from training.data.vocab import COLORS, CONCEPTS

BACKGROUND = len(CONCEPTS)  # class of an empty patch
IGNORE = -100
PATCHES = GRID * GRID


@dataclass
class DenseBatch:
    """B images with the labels of P patches of each.

    `images` uint8 [B, 112, 112, 3]; `visible` int64 [B, P], the patches that enter the transformer; of these, `cover`
    and `center` int64 [B, P] and `place` float32 [B, P, 5], as in `PatchLabels`; `color` int64 [B] of the background.
    """

    images: Tensor
    cover: Tensor
    center: Tensor
    place: Tensor
    color: Tensor
    visible: Tensor


@dataclass
class PatchLabels:
    """Of all 196 patches of an image.

    `cover` int64 [196]: the covering concept, `BACKGROUND`, or `IGNORE` at the rim of an object;
    `center` int64 [196]: 1 where the center of an object lies;
    `place` float32 [196, 5]: offset to the object's center, its log size, and that center on the canvas;
    `item` int64 [196]: index of the object, -1 where there is none.
    """

    cover: np.ndarray
    center: np.ndarray
    place: np.ndarray
    item: np.ndarray


def patch_labels(scene: Scene, owner: np.ndarray) -> PatchLabels:
    """Labels from a scene and the owner map uint8 [56, 56] of its image.

    Without the center on the canvas the frozen tokens forget where they stand (measured: 3.3 patches of error by linear
    regression), and no relation can be read from them.
    """
    parts = owner.reshape(GRID, 4, GRID, 4)
    counts = np.stack([(parts == k).sum((1, 3)) for k in range(1, len(scene.items) + 1)])  # [items, 14, 14]
    best, most, total = counts.argmax(0), counts.max(0), counts.sum(0)
    items = np.array([(i.concept, i.x, i.y, i.side) for i in scene.items], np.float32)
    cover = np.where(most >= 5, items[best, 0].astype(np.int64), IGNORE)
    cover = np.where(total == 0, BACKGROUND, cover)
    middle = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    place = np.stack(
        [
            (items[best, 1] - middle[None, :]) * 5,
            (items[best, 2] - middle[:, None]) * 5,
            np.log(items[best, 3] / 0.25),
            (items[best, 1] - 0.5) * 4,
            (items[best, 2] - 0.5) * 4,
        ],
        -1,
    )
    center = np.zeros((GRID, GRID), np.int64)
    for _, x, y, _ in items:
        center[min(GRID - 1, int(y * GRID)), min(GRID - 1, int(x * GRID))] = 1
    item = np.where(total == 0, -1, best)
    return PatchLabels(cover.reshape(-1), center.reshape(-1), place.reshape(PATCHES, 5), item.reshape(-1))


def patch_order(item: np.ndarray, rng: random.Random) -> np.ndarray:
    """The patches [196] by priority: whole objects in random order, background mixed in below.

    The first of them are visible, so that most tokens carry signal. `item` is that of `PatchLabels`.
    """
    base = np.array([0.0] + [rng.uniform(0.5, 1.0) for _ in range(int(item.max()) + 1)])
    noise = np.random.default_rng(rng.getrandbits(32)).random(len(item))
    return np.argsort(-(base[item + 1] + np.where(item < 0, 0.75 * noise, 0.0)))


def dense_batch(seed: int, start: int, size: int, crowd_share: float, patches: int = PATCHES) -> DenseBatch:
    """Scenes `start` to `start + size` of the stream `seed`, with `patches` visible patches each."""
    examples = []
    for index in range(start, start + size):
        rng = random.Random(f"{seed}:{index}")
        scene = draw_crowd(rng) if rng.random() < crowd_share else draw_scene(rng)
        image, owner = render_fast(scene, rng)
        labels = patch_labels(scene, owner)
        visible = patch_order(labels.item, rng)[:patches] if patches < PATCHES else np.arange(PATCHES)
        color = np.int64(COLORS.index(scene.background))
        examples.append((image, labels.cover[visible], labels.center[visible], labels.place[visible], color, visible))
    return DenseBatch(*(torch.from_numpy(np.stack(column)) for column in zip(*examples, strict=True)))


class DenseStream(torch.utils.data.IterableDataset):
    """Endless dense batches; starts at any scene, so that a resumed run sees new ones."""

    def __init__(self, seed: int, start: int, size: int, crowd_share: float, patches: int) -> None:
        self.seed, self.start, self.size, self.crowd_share, self.patches = seed, start, size, crowd_share, patches

    def __iter__(self) -> Iterator[DenseBatch]:
        cv2.setNumThreads(1)
        at = self.start
        while True:
            yield dense_batch(self.seed, at, self.size, self.crowd_share, self.patches)
            at += self.size


class DenseHeads(nn.Module):
    """Linear heads on the final layer-normed tokens, dropped after the phase."""

    def __init__(self) -> None:
        super().__init__()
        self.cover = nn.Linear(WIDTH, len(CONCEPTS) + 1)
        self.center = nn.Linear(WIDTH, 1)
        self.place = nn.Linear(WIDTH, 5)
        self.color = nn.Linear(WIDTH, len(COLORS))

    def losses(self, features: Tensor, batch: DenseBatch) -> dict[str, Tensor]:
        """Four mean losses from the tokens [B, 1 + P, 192], of which the first is CLS."""
        patches = features[:, 1:]
        on_object = (batch.cover >= 0) & (batch.cover < BACKGROUND)
        weight = torch.ones(BACKGROUND + 1)
        weight[BACKGROUND] = 0.3
        return {
            "cover": F.cross_entropy(
                self.cover(patches).flatten(0, 1).float(), batch.cover.flatten(), weight, ignore_index=IGNORE
            ),
            "center": F.binary_cross_entropy_with_logits(
                self.center(patches).float().squeeze(-1), batch.center.float(), pos_weight=torch.tensor(4.0)
            ),
            "place": F.smooth_l1_loss(self.place(patches).float()[on_object], batch.place[on_object], beta=0.2),
            "color": F.cross_entropy(self.color(features[:, 0]).float(), batch.color),
        }
