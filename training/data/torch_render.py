"""Renders batches of scenes with torch: sprites are sampled through affine or perspective maps and composed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.image_processor import IMAGE_SIDE
from training.data.scene_arrays import SceneArrays
from training.data.sprite_pool import FRAME, LEVELS, SpritePool


@dataclass
class Distortion:
    """What is done to the shape of each item: `stretch`, `shear` and `tilt` (perspective) at most, and mirroring."""

    stretch: float = 0.0
    shear: float = 0.0
    tilt: float = 0.0
    mirror: bool = False


PLAIN = Distortion()
TRAINING = Distortion(stretch=0.12, shear=0.12, tilt=0.12, mirror=True)


def _uniform(like: Tensor, amount: float) -> Tensor:
    return (torch.rand_like(like) * 2 - 1) * amount


def item_maps(scenes: SceneArrays, distortion: Distortion) -> Tensor:
    """float32 [B, K, 3, 3] from canvas coordinates (-1 to 1) to sprite coordinates (-1 to 1 inside the sprite)."""
    angle = scenes.angle * (math.pi / 180)
    cos, sin = angle.cos() / scenes.side, angle.sin() / scenes.side
    a, b, c, d = cos, -sin, sin, cos  # as Pillow turns images: counterclockwise, y downward
    if distortion.stretch:
        stretch = _uniform(angle, distortion.stretch).exp()
        a, b, c, d = a * stretch, b * stretch, c / stretch, d / stretch
    if distortion.shear:
        shear = _uniform(angle, distortion.shear)
        a, b = a + shear * c, b + shear * d
    if distortion.mirror:
        sign = torch.where(torch.rand_like(angle) < 0.5, -1.0, 1.0)
        a, b = a * sign, b * sign
    u, v = scenes.x * 2 - 1, scenes.y * 2 - 1
    last = torch.zeros_like(a), torch.zeros_like(a), torch.ones_like(a)
    rows = torch.stack([a, b, -(a * u + b * v), c, d, -(c * u + d * v), *last], -1).unflatten(-1, (3, 3))
    if not distortion.tilt:
        return rows
    tilt = torch.zeros_like(rows)
    tilt[..., 0, 0] = tilt[..., 1, 1] = tilt[..., 2, 2] = 1
    tilt[..., 2, 0], tilt[..., 2, 1] = _uniform(a, distortion.tilt), _uniform(a, distortion.tilt)
    return tilt @ rows


def sampling_grid(maps: Tensor, side: int) -> Tensor:
    """Sprite coordinates float32 [B, side, side, 2] of a canvas' pixels, from maps [B, 3, 3].

    A row and a column of products and one sum: a product of matrices with three columns is slow on a GPU.
    """
    line = (torch.arange(side, device=maps.device) + 0.5) * (2 / side) - 1
    across = maps[:, :, 0, None] * line
    down = maps[:, :, 1, None] * line + maps[:, :, 2, None]
    local = across[:, :, None, :] + down[:, :, :, None]  # [B, 3, side, side]
    return (local[:, :2] / local[:, 2:].clamp(min=0.2)).permute(0, 2, 3, 1)


@torch.no_grad()
def compose(
    background: Tensor, scenes: SceneArrays, slots: Tensor, pool: SpritePool, distortion: Distortion = PLAIN
) -> tuple[Tensor, Tensor]:
    """Draws the items in order.

    background: float32 [B, 3, S, S], values from 0 to 1; slots: int64 [B, K], the sprite of each item in the pool.
    Returns the images, float32 [B, 3, S, S], and the owner of each pixel, int8 [B, S, S]: item index + 1, or 0.
    """
    image, side = background.clone(), background.shape[-1]
    owner = torch.zeros(image.shape[0], side, side, dtype=torch.int8, device=image.device)
    maps = item_maps(scenes, distortion)
    level = pool.level_for(scenes.side * side)
    zoom = torch.tensor(LEVELS, device=image.device, dtype=torch.float32)[level] / FRAME
    shown = scenes.concept >= 0
    for k in range(scenes.concept.shape[1]):
        rows = scenes.filled[k] if scenes.filled else len(scenes)
        if rows == 0:
            break
        sprites = pool.pixels[level[:rows, k], slots[:rows, k]].float()
        grid = sampling_grid(maps[:rows, k], side) * zoom[:rows, k, None, None, None]
        drawn = F.grid_sample(sprites, grid, align_corners=False)
        drawn *= shown[:rows, k, None, None, None]
        alpha = drawn[:, 3:]
        image[:rows].mul_(1 - alpha).add_(drawn[:, :3])
        owner[:rows].masked_fill_(alpha[:, 0] > 0.5, k + 1)
    return image, owner


def flat_background(scenes: SceneArrays, side: int = IMAGE_SIDE) -> Tensor:
    """The plain background, float32 [B, 3, side, side]."""
    return (scenes.rgb / 255)[:, :, None, None].expand(-1, -1, side, side)


@torch.no_grad()
def render_plain(scenes: SceneArrays, slots: Tensor, pool: SpritePool) -> tuple[Tensor, Tensor]:
    """Images uint8 [B, 112, 112, 3] without any augmentation, and their owner maps int8 [B, 112, 112]."""
    image, owner = compose(flat_background(scenes), scenes, slots, pool)
    return to_bytes(image), owner


def to_bytes(image: Tensor) -> Tensor:
    """float [B, 3, S, S] from 0 to 1 as uint8 [B, S, S, 3]."""
    return (image * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
