"""The image encoder's dense objective: each patch names what covers it and points at its centre."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.architecture import WIDTH
from training.data.render import render_fast
from training.data.scenes import Scene, draw_crowd, draw_scene
from training.data.vocab import COLORS, CONCEPTS, GRID

BACKGROUND = len(CONCEPTS)  # class of an empty patch
IGNORE = -100
PATCHES = GRID * GRID

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def normalise(pictures: Tensor) -> Tensor:
    """uint8 [B, 112, 112, 3] to the float32 [B, 3, 112, 112] the image encoder takes."""
    return ((pictures.float() / 255 - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


@dataclass
class DenseBatch:
    """Pictures uint8 [B, 112, 112, 3]; cover and centre int64 [B, P]; place float32 [B, P, 5]; color int64 [B].

    `kept` int64 [B, P] names the patches that stay: whole objects first, so that most tokens carry signal.
    """

    pictures: Tensor
    cover: Tensor
    centre: Tensor
    place: Tensor
    color: Tensor
    kept: Tensor


def targets(scene: Scene, owner: np.ndarray) -> tuple[np.ndarray, ...]:
    """Per patch: covering concept [196], whether an object's centre lies in it [196], place [196, 5], item (-1: none) [196].

    A place is the offset to the item's centre, its log size, and the centre on the canvas. Without the last two the
    frozen tokens forget where they stand (measured: 3.3 patches of error by linear regression), and no relation can
    be read from them.
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
    centre = np.zeros((GRID, GRID), np.int64)
    for _, x, y, _ in items:
        centre[min(GRID - 1, int(y * GRID)), min(GRID - 1, int(x * GRID))] = 1
    item = np.where(total == 0, -1, best)
    return cover.reshape(-1), centre.reshape(-1), place.reshape(PATCHES, 5), item.reshape(-1)


def keep_order(item: np.ndarray, rng: random.Random) -> np.ndarray:
    """Patches [196] in the order in which they are kept: objects at random, background mixed in below."""
    base = np.array([0.0] + [rng.uniform(0.5, 1.0) for _ in range(int(item.max()) + 1)])
    noise = np.random.default_rng(rng.getrandbits(32)).random(len(item))
    return np.argsort(-(base[item + 1] + np.where(item < 0, 0.75 * noise, 0.0)))


def dense_batch(seed: int, start: int, size: int, crowd: float, tokens: int = PATCHES) -> DenseBatch:
    """Scenes `start` to `start + size` of the stream `seed`."""
    pictures, covers, centres, places, colors, kepts = [], [], [], [], [], []
    for index in range(start, start + size):
        rng = random.Random(f"{seed}:{index}")
        scene = draw_crowd(rng) if rng.random() < crowd else draw_scene(rng)
        picture, owner = render_fast(scene, rng)
        cover, centre, place, item = targets(scene, owner)
        kept = keep_order(item, rng)[:tokens] if tokens < PATCHES else np.arange(PATCHES)
        pictures.append(picture)
        covers.append(cover[kept])
        centres.append(centre[kept])
        places.append(place[kept])
        kepts.append(kept)
        colors.append(COLORS.index(scene.background))
    stack = lambda arrays: torch.from_numpy(np.stack(arrays))  # noqa: E731
    return DenseBatch(stack(pictures), stack(covers), stack(centres), stack(places), torch.tensor(colors), stack(kepts))


class DenseStream(torch.utils.data.IterableDataset):
    """Endless dense batches; start at any scene, so that a resumed run sees new ones."""

    def __init__(self, seed: int, start: int, size: int, crowd: float, tokens: int):
        self.seed, self.start, self.size, self.crowd, self.tokens = seed, start, size, crowd, tokens

    def __iter__(self):
        import cv2

        cv2.setNumThreads(1)
        at = self.start
        while True:
            yield dense_batch(self.seed, at, self.size, self.crowd, self.tokens)
            at += self.size


class DenseHeads(nn.Module):
    """Throw-away linear heads on the final layernormed tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.cover = nn.Linear(WIDTH, len(CONCEPTS) + 1)
        self.centre = nn.Linear(WIDTH, 1)
        self.place = nn.Linear(WIDTH, 5)
        self.color = nn.Linear(WIDTH, len(COLORS))

    def losses(self, features: Tensor, batch: DenseBatch) -> dict[str, Tensor]:
        """Four mean losses from the tokens [B, 1 + P, 192]."""
        patches = features[:, 1:]
        on_object = (batch.cover >= 0) & (batch.cover < BACKGROUND)
        weight = torch.ones(BACKGROUND + 1)
        weight[BACKGROUND] = 0.3
        return {
            "cover": F.cross_entropy(
                self.cover(patches).flatten(0, 1).float(), batch.cover.flatten(), weight, ignore_index=IGNORE
            ),
            "centre": F.binary_cross_entropy_with_logits(
                self.centre(patches).float().squeeze(-1), batch.centre.float(), pos_weight=torch.tensor(4.0)
            ),
            "place": F.smooth_l1_loss(self.place(patches).float()[on_object], batch.place[on_object], beta=0.2),
            "color": F.cross_entropy(self.color(features[:, 0]).float(), batch.color),
        }
